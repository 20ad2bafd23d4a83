"""training_range.safetensors: what is written is read, and damages give one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from damages import faults, of_bytes
from nibabel.affines import voxel_sizes
from safetensors.numpy import load_file, save_file
from sample_files import NORMAL, make_range
from scipy.spatial.transform import Rotation

from rescan.errors import RescanError
from rescan.results.training_range import LEVELS, Spread, extent_of, read_range, write_range

FILE = "training_range.safetensors"


def test_what_is_written_is_read_and_equal_contents_make_equal_bytes(tmp_path):
    training = make_range()
    for name in ("a", "b"):
        write_range(tmp_path / name, training)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    read = read_range(tmp_path / "a")
    assert read.header == training.header
    assert list(read.gaussians) == ["features"]
    assert all((one == other).all() for one, other in zip(read.gaussians["features"], NORMAL))
    write_range(tmp_path / "c", make_range(None))
    assert read_range(tmp_path / "c").gaussians == {}


def test_a_damaged_file_gives_one_line(tmp_path):
    write_range(tmp_path / FILE, make_range())
    damages = list(of_bytes((tmp_path / FILE).read_bytes()))
    assert faults(tmp_path / FILE, damages, lambda: read_range(tmp_path / FILE), [], "infer") == []


def rewritten(file: Path, change) -> None:
    """Write the file with other tensors or another header, as another program would."""
    write_range(file, make_range())
    header = make_range().header.model_dump(mode="json")
    tensors = load_file(file)
    change(tensors, header)
    save_file(tensors, file, {"rescan": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda tensors, _: tensors["features.center"].fill(7), "not as they were written"),
        (lambda _, header: header["features"].update(limit=99.0), "not as they were written"),
        (lambda _, header: header.pop("images"), "images is missing"),
        (lambda _, header: header["features"].update(noise=0.0), "noise: input should be greater than 0"),
        (lambda _, header: header.update(more=1), "unknown key more"),
        (lambda _, header: header.clear(), "is missing"),
    ],
)
def test_another_content_is_refused(tmp_path, change, fault):
    rewritten(tmp_path / FILE, change)
    with pytest.raises(RescanError, match=fault) as caught:
        read_range(tmp_path / FILE)
    assert "run infer again" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"center": np.full(4, np.nan, np.float32)}, "no finite numbers"),
        ({"center": np.zeros(5, np.float32)}, "shapes of its numbers do not fit"),
        ({"variances": np.array([-1, 1], np.float32)}, "negative variance"),
    ],
)
def test_numbers_that_make_no_distance_are_refused_whatever_the_checksum_says(tmp_path, values, fault):
    write_range(tmp_path / FILE, make_range(NORMAL._replace(**values)))
    with pytest.raises(RescanError, match=fault):
        read_range(tmp_path / FILE)


def test_a_distance_without_its_numbers_is_refused(tmp_path):
    write_range(tmp_path / FILE, make_range()._replace(gaussians={}))
    with pytest.raises(RescanError, match="its header and its numbers do not belong together"):
        read_range(tmp_path / FILE)


def test_what_a_volume_measures_is_nibabels_voxel_size_times_its_voxels():
    turned = Rotation.from_euler("xyz", [20, 30, 40], degrees=True).as_matrix() * [0.5, 2, 3]
    affines = np.stack([np.eye(4), np.eye(4)])
    affines[1, :3, :3] = turned
    expected = [[4, 5, 6], voxel_sizes(affines[1]) * [4, 5, 6]]
    np.testing.assert_allclose(extent_of(affines, (4, 5, 6)), expected)


def test_a_spread_has_all_levels_in_order():
    rising = [float(number) for number in range(len(LEVELS))]
    assert Spread(training=rising, held_out=rising).at(0.5) == (5, 5)
    with pytest.raises(ValueError, match="must not fall"):
        Spread(training=rising[::-1], held_out=rising)
    with pytest.raises(ValueError, match="at least 11"):
        Spread(training=rising[1:], held_out=rising)
