from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from rescan.data.audit.audit import audit
from rescan.data.index import index
from rescan.data.sources.digests import changed_files
from rescan.data.sources.download import download
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.preparation.preprocess import preprocess
from rescan.results.source import FILES

PATHS = Paths("demo", "pets")


@pytest.fixture
def pets(study, textures, tmp_path, monkeypatch):
    """A study that has been downloaded and indexed: 12 images, some of which have masks, and an extra source."""
    monkeypatch.chdir(tmp_path)
    for number, image in enumerate(textures(16)):
        name = f"{('cat', 'dog')[number % 2]}/x{number}.png"
        for folder in ("raw",) if number < 12 else ("more",):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / name), image)
    (tmp_path / "raw/masks/cat").mkdir(parents=True)
    cv2.imwrite("raw/masks/cat/x0.png", np.full((80, 100), 255, np.uint8))
    own = study({"extra": {"other": {"source": {"path": "more"}, "layout": "class_folders"}}}, test=0.2)
    download(own)
    index(own)
    return own


def same_size(path: str) -> None:
    """Change a byte of a file's pixels; the size stays."""
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)


def test_the_digests_are_those_of_the_files(pets):
    table = FILES.read(PATHS.files)
    assert table["origin"].tolist() == [""] * 13 + ["other"] * 4
    assert changed_files(pets) == []
    assert "masks/cat/x0.png" in set(table["path"])
    sizes = [
        Path("more" if origin else "raw", path).stat().st_size for origin, path in table[["origin", "path"]].to_numpy()
    ]
    assert table["bytes"].tolist() == sizes


@pytest.mark.parametrize("path", ["raw/cat/x0.png", "raw/masks/cat/x0.png", "more/dog/x13.png"])
def test_a_changed_file_is_named(pets, path):
    same_size(path)
    assert changed_files(pets) == [f"{path}: has another content"]
    with Path(path).open("ab") as stream:
        stream.write(b"12345")
    size = Path(path).stat().st_size
    assert changed_files(pets) == [f"{path}: has {size} bytes, had {size - 5}"]
    for step in (lambda: index(pets), lambda: audit(pets, 1), lambda: preprocess(pets, "small", 1)):
        with pytest.raises(
            RescanError, match=f"^changed since download: {path} has {size} bytes, .*run download again"
        ):
            step()
    Path(path).unlink()
    assert changed_files(pets) == [f"{path}: cannot be read (No such file or directory)"]
    download(pets)
    assert changed_files(pets) == []


def test_the_audit_compares_what_it_reads(pets):
    audit(pets, 1)
    same_size("raw/dog/x3.png")
    with pytest.raises(
        RescanError, match=r"^changed since download: dog/x3.png has another content; put the files back"
    ):
        audit(pets, 1)


def test_the_audit_compares_files_with_a_backslash_in_their_name(pets):
    Path("raw/dog/x3.png").rename("raw/dog/x\\3.png")
    download(pets)
    index(pets)
    audit(pets, 1)
    same_size("raw/dog/x\\3.png")
    with pytest.raises(RescanError, match=r"^changed since download: dog/x\\3.png has another content"):
        audit(pets, 1)


def test_a_new_file_is_named(pets):
    Path("raw/cat/new.png").write_bytes(Path("raw/cat/x2.png").read_bytes())
    assert changed_files(pets) == ["raw/cat/new.png: is new"]


def test_a_list_that_is_not_that_of_the_download_is_named(pets):
    table = FILES.read(PATHS.files)
    FILES.write(PATHS.files, table.assign(sha256=table["sha256"].where(table["path"] != "cat/x0.png", "0" * 64)))
    whose = f"{PATHS.files}: is not what {PATHS.source} says of it"
    assert changed_files(pets) == [whose, "raw/cat/x0.png: has another content"]


def test_without_the_list_it_is_said_that_nothing_is_compared(pets, caplog):
    Path(PATHS.files).unlink()
    index(pets)
    assert f"{PATHS.files}: is missing" in caplog.text
    with pytest.raises(RescanError, match=r"files\.csv: no such file; run download"):
        changed_files(pets)


def test_odd_names_of_a_volume_s_files_are_found_again(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        for name in ("1.png", os.fsdecode(b"\xff.txt"), "a\\udcff\\.txt", 'b\r\n,".txt'):
            (tmp_path / "raw" / label / "v" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "raw" / label / "v" / name).write_text(label + name, "utf-8", "surrogateescape")
    (tmp_path / "raw/s.csv").write_text("path,label\ncat/v,cat\ndog/v,dog\n")
    own = study({"layout": {"name": "table", "file": "s.csv"}}, test=0.2)
    download(own)
    assert len(FILES.read(PATHS.files)) == 9
    assert changed_files(own) == []
    (tmp_path / "raw/dog/v" / os.fsdecode(b"\xff.txt")).unlink()
    assert len(changed_files(own)) == 1


def test_a_listed_frame_or_folder_is_compared(pets):
    """What the audit digests of folders and frames is made of the digests of their files."""
    from rescan.data.audit.inspection import inspect
    from rescan.data.sources.digests import check_contents

    Path("raw/s").mkdir()
    for number in (1, 2, 10):
        Path(f"raw/s/{number}.png").write_bytes(Path(f"raw/cat/x{2 * (number % 3)}.png").read_bytes())
    rows = FILES.read(PATHS.files)
    names = [f"s/{number}.png" for number in (1, 2, 10)]
    from rescan.files import sha256

    more = pd.DataFrame({"origin": "", "path": names, "bytes": 1, "sha256": [sha256(f"raw/{name}") for name in names]})
    FILES.write(PATHS.files, pd.concat([rows, more]))
    found = pd.DataFrame([{"origin": "", "path": "s", "sha256": inspect(Path("raw/s")).sha256}])
    check_contents(pets, found)
    with pytest.raises(RescanError, match="s has another content"):
        check_contents(pets, found.assign(sha256="0"))
