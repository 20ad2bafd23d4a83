from __future__ import annotations

import pytest

from rescan.data.index import index
from rescan.errors import RescanError
from rescan.files import read_table, write_json
from rescan.paths import Paths


def test_the_manifest_comes_from_the_folder_that_source_json_names(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = Paths("demo", "pets")
    with pytest.raises(RescanError, match=r"source\.json: no such file"):
        index(study())
    for folder in ("Training/cat", "Training/dog", "Testing/cat", "Testing/dog"):
        (tmp_path / "elsewhere" / folder).mkdir(parents=True)
        (tmp_path / "elsewhere" / folder / "007.jpg").write_bytes(b"not an image: nothing is decoded")
    write_json(paths.source, {"root": "elsewhere"})
    index(study())
    manifest = read_table(paths.manifest)
    assert len(manifest) == 4
    assert manifest["path"][0] == "Testing/cat/007.jpg"
    assert manifest["patient"].tolist() == [""] * 4
