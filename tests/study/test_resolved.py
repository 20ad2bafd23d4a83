"""Resolved studies are read as they were written."""

from pathlib import Path

import pytest

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.study import Settings, Study, file, read, write_resolved

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("scale", ["demo", "full"])
def test_shipped_studies_are_sound_and_survive_json(path, scale, tmp_path, monkeypatch):
    study = file.load(path, Settings(scale))
    monkeypatch.chdir(tmp_path)
    write_resolved(study, place := Paths(scale, study.name).resolved)
    assert read(place) == study
    assert isinstance(study, Study)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_demo_warms_up_and_clips_so_that_small_sets_do_not_diverge(path):
    study = file.load(path, Settings("demo"))
    trained = {name: recipe for name, recipe in study.arms.items() if recipe.trains}
    assert trained
    for name, recipe in trained.items():
        stages = recipe.stages.values()
        assert [stage.clip_norm for stage in stages] == [1.0] * len(stages), name
        autoencoder = study.autoencoder(name)
        assert autoencoder is None or study.autoencoders[autoencoder].clip_norm == 1.0
        assert all(stage.schedule.get("warmup", 0) >= 0.1 for stage in stages if stage.trainable != "head"), name


@pytest.fixture
def resolved(load, minimal, tmp_path, monkeypatch):
    study = load(minimal, "full")
    monkeypatch.chdir(tmp_path)
    write_resolved(study, path := Path(Paths("full", study.name).resolved))
    return path


def test_names_that_a_study_lacks_are_refused_with_the_nearest(resolved):
    assert read(resolved, arm="other", preparation="small").name == "mine"
    with pytest.raises(RescanError, match="no arm 'othr'; did you mean 'other'"):
        read(resolved, arm="othr")
    with pytest.raises(RescanError, match="no preparation 'smal'; did you mean 'small'"):
        read(resolved, preparation="smal")
    with pytest.raises(RescanError, match="no autoencoder 'none'"):
        read(resolved, autoencoder="none")


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"name": "mine"}', b"\xff\xfe"])
def test_a_file_that_is_no_resolved_study_is_refused(resolved, content):
    resolved.unlink() if content is None else resolved.write_bytes(content)
    with pytest.raises(RescanError, match=r"study\.json: .*make it with `rescan resolve`"):
        read(resolved)


def test_a_study_of_a_copy_of_results_is_not_read_as_the_study_that_lies_here(load, minimal, tmp_path, monkeypatch):
    study = load(minimal, "full")
    own, copy = Path(Paths("full", study.name).resolved), Path("copy/study.json")
    monkeypatch.chdir(tmp_path)
    for path in (own, copy):
        path.parent.mkdir(parents=True)
        write_resolved(study, path)
    assert read(own) == read(own.resolve()) == study
    with pytest.raises(RescanError, match=f"copy/study.json: its results are looked for beside {own}; run this in"):
        read(copy)
