from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sample_files import write_source

from rescan.data.index import Files, files_of, index, locate
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.results.manifest import MANIFEST
from rescan.study import DataSet


def test_the_manifest_comes_from_the_folder_that_source_json_names(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = Paths("demo", "pets")
    with pytest.raises(RescanError, match=r"source\.json: no such file"):
        index(study())
    for folder in ("Training/cat", "Training/dog", "Testing/cat", "Testing/dog"):
        (tmp_path / "elsewhere" / folder).mkdir(parents=True)
        (tmp_path / "elsewhere" / folder / "007.jpg").write_bytes(b"not an image: nothing is decoded")
    write_source(paths, "elsewhere")
    index(study())
    manifest = MANIFEST.read(paths.manifest)
    assert len(manifest) == 4
    assert manifest["path"][0] == "Testing/cat/007.jpg"
    assert manifest["patient"].tolist() == [""] * 4


def test_extra_sources_follow_and_every_file_is_found(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = Paths("demo", "pets")
    for file in ("own/Training/cat/7.jpg", "own/Training/dog/7.jpg", "own/Testing/cat/7.jpg", "own/Testing/dog/7.jpg"):
        Path(file).parent.mkdir(parents=True)
        Path(file).write_bytes(file.encode())
    Path("own/masks/Testing/cat").mkdir(parents=True)
    Path("own/masks/Testing/cat/7.png").write_bytes(b"mask")
    Path("more").mkdir()
    Path("more/7.jpg").write_bytes(b"more/7.jpg")
    Path("more/samples.csv").write_text("path,label,age,patient\n7.jpg,dog,12,p\n")
    layout = {"name": "table", "file": "samples.csv"}
    extra = DataSet.model_validate({"source": {"path": "more"}, "layout": layout})
    pets = study()
    pets = pets.model_copy(update={"data": pets.data.model_copy(update={"extra": {"old": extra}})})
    write_source(paths, "own")
    with pytest.raises(RescanError, match="has no extra source 'old'; run download again"):
        index(pets)
    write_source(paths, "own", extra={"old": "more"})
    index(pets)
    manifest = MANIFEST.read(paths.manifest)
    assert manifest["origin"].tolist() == ["", "", "", "", "old"]
    assert manifest.iloc[-1][["sample", "patient", "published_part"]].tolist() == ["old/7.jpg", "old/p", "extra"]
    assert manifest["age"].tolist() == ["", "", "", "", "12"]
    files = locate(paths, manifest[::-1])
    assert [file.read_text() for file in files] == ["more/7.jpg", *(f"own/{path}" for path in manifest["path"][3::-1])]
    assert locate(paths, manifest, "mask") == [Path("own/masks/Testing/cat/7.png"), None, None, None, None]
    assert locate(paths, manifest[["path"]][:1]) == [Path("own/Testing/cat/7.jpg")]
    with pytest.raises(RescanError, match="no extra source 'other'"):
        locate(paths, manifest.assign(origin="other"))


def test_an_extra_source_may_not_hide_own_samples(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("own/Training/cat/7.jpg", "own/Training/dog/7.jpg", "own/Testing/cat/7.jpg", "own/Testing/dog/7.jpg"):
        Path(file).parent.mkdir(parents=True)
        Path(file).write_bytes(b"")
    pets = study()
    extra = {"Training": DataSet.model_validate({"source": {"path": "x"}, "layout": "table"})}
    pets = pets.model_copy(update={"data": pets.data.model_copy(update={"extra": extra})})
    Path("own/Training/samples.csv").write_text("path,label\ncat/7.jpg,cat\n")
    write_source(Paths("demo", "pets"), "own", extra={"Training": "own/Training"})
    with pytest.raises(RescanError, match=r"pets: data\.extra: Training: "):
        index(pets)


def test_files_of_a_modality(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = Paths("demo", "eyes")
    write_source(paths, "/eyes")
    manifest = pd.DataFrame(
        {
            "path": ["OCTA/1", "OCTA/2"],
            "mask": ["", "masks/2"],
            "layers": ["layers/1.mat", ""],
            "extent": ["2 3 3", ""],
            "path_oct": ["OCT/1", ""],
        }
    )
    first, second = files_of(paths, manifest)
    assert first == Files(Path("/eyes/OCTA/1"), None, Path("/eyes/layers/1.mat"), (2.0, 3.0, 3.0))
    assert second == Files(Path("/eyes/OCTA/2"), Path("/eyes/masks/2"), None, None)
    assert [files and files.path for files in files_of(paths, manifest, "oct")] == [Path("/eyes/OCT/1"), None]
    with pytest.raises(RescanError, match=r"no sample has a file of modality 'dwi'; known: oct"):
        files_of(paths, manifest, "dwi")
