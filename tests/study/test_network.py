"""What a network's encoder starts from, as a study file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rescan.errors import RescanError
from rescan.study.keys import recipe_key


def with_weights(text, weights):
    return text.replace("weights: none", f"weights: {weights!r}")


def test_a_files_path_starts_at_the_study_file(load, minimal, path):
    for given, expected in (
        ("pre/w.safetensors", path.parent / "pre/w.safetensors"),
        ("../w.PTH", path.parent.parent / "w.PTH"),
        ("w.pt", path.parent / "w.pt"),
        ("/somewhere/w.pth", Path("/somewhere/w.pth")),
        ("~/w.pth", Path.home() / "w.pth"),
    ):
        study = load(with_weights(minimal, given), "full")
        for arm in study.arms:
            network = study.arms[arm].network
            assert (network.start, network.weights) == ("file", str(expected))
            assert network.public.weights == expected.name
            assert study.autoencoder(arm) is None
            made = study.runs(arm)[0].start_weights
            assert made.startswith(f"data/weights/{network.encoder}.{expected.stem}-")
            assert made.endswith(".safetensors")


def test_files_of_one_name_do_not_meet(load, minimal):
    made = {load(with_weights(minimal, f"{at}/w.pth"), "full").runs("base")[0].start_weights for at in ("a", "b")}
    assert len(made) == 2


def test_where_a_file_lies_does_not_matter_but_what_it_is_called(load, minimal):
    keys = [
        recipe_key(load(with_weights(minimal, file), "full"), "base") for file in ("a/w.pth", "b/w.pth", "a/other.pth")
    ]
    assert keys[0] == keys[1] != keys[2]
    assert recipe_key(load(minimal, "full"), "base") not in keys


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("https://x.org/w.safetensors", "is an address; download the file and give its path"),
        ("pre/w.bin", r"'pre/w\.bin' ends in none of \.safetensors, \.pth, \.pt, as files of weights do"),
        ("imagenett", "no weights 'imagenett'; did you mean 'imagenet'"),
    ],
)
def test_what_is_no_file_of_weights_is_said(load, minimal, weights, said):
    with pytest.raises(RescanError, match=said):
        load(with_weights(minimal, weights), "full")


def test_no_autoencoder_is_called_like_a_file(load, volumes):
    with pytest.raises(RescanError, match=r"'compressed\.pth' is the name of a file or folder that Rescan uses"):
        load(volumes.replace("compressed", "compressed.pth"), "full")
