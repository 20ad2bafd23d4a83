from __future__ import annotations

import hashlib
import logging
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from sample_files import read_json

from rescan.catalogue import PHANTOMS
from rescan.data.sources import download as module
from rescan.data.sources import remote
from rescan.data.sources.download import download
from rescan.errors import RescanError
from rescan.study import Data, Split, Study

CLASSES = ["glioma", "notumor"]
DATA = Path("data/demo/brain")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def small_study(**data) -> Study:
    """What downloading looks at of a study."""
    data = {"source": {"path": "local"}, "layout": "class_folders", "classes": CLASSES, **data}
    return Study.model_construct(name="brain", scale="demo", data=Data.model_validate(data), split=Split())


def fill(root: Path) -> Path:
    for number, folder in enumerate(("Training/glioma", "Training/notumor", "Testing/glioma", "Testing/notumor"), 1):
        (root / folder).mkdir(parents=True)
        for index in range(number):
            (root / folder / f"{index} (ä).jpg").write_bytes(f"{folder}{index}".encode())
    return root


COUNTS = {"train": {"glioma": 1, "notumor": 2}, "test": {"glioma": 3, "notumor": 4}}


def pack(archive: Path, folder: Path) -> Path:
    kind, suffix = ("gztar", ".tar.gz") if archive.name.endswith(".tar.gz") else ("zip", ".zip")
    shutil.make_archive(archive.name[: -len(suffix)], kind, folder)
    return archive


def fault(study: Study) -> str:
    with pytest.raises(RescanError) as raised:
        download(study)
    assert str(raised.value).startswith("brain: ")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_local_folder_is_used_in_place(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    fill(Path("local"))
    expected = {"train": {"glioma": 1, "notumor": 5}, "test": {"glioma": 3}}
    download(small_study(expected=expected))
    source = read_json(DATA / "source.json")
    assert not (DATA / "raw").exists()
    assert source["kind"] == "path"
    assert source["root"] == source["from"] == "local"
    assert source["classes"] == COUNTS
    assert source["differs"] == ["train/notumor: 2 files, 5 expected"]
    assert "train/notumor: 2 files, 5 expected" in caplog.text
    lines = []
    for path in Path("local").rglob("*.jpg"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{path.relative_to('local').as_posix()} {path.stat().st_size} {digest}\n")
    assert source["checksum"] == hashlib.blake2b("".join(sorted(lines)).encode(), digest_size=32).hexdigest()
    assert source["files"] == 10
    assert source["bytes"] == sum(path.stat().st_size for path in Path("local").rglob("*.jpg"))


def test_the_checksum_sees_contents_names_and_tables():
    fill(Path("local"))
    Path("local/samples.csv").write_text(
        "path,label,part\nTraining/glioma/0 (ä).jpg,glioma,train\nTesting/glioma/0 (ä).jpg,glioma,test\n"
    )
    checksums = set()
    for change in ("", "content", "name", "label"):
        if change == "content":
            Path("local/Training/glioma/0 (ä).jpg").write_bytes(b"other")
        if change == "name":
            Path("local/Training/notumor/0 (ä).jpg").rename("local/Training/notumor/z.jpg")
        if change == "label":
            table = Path("local/samples.csv")
            table.write_text(table.read_text().replace("jpg,glioma,test", "jpg,notumor,test"))
        for layout in ("class_folders", "table"):
            download(small_study(layout=layout))
            checksums.add(read_json(DATA / "source.json")["checksum"])
    assert len(checksums) == 3 + 3  # folders: as it was, content, name; table: as it was, content, label


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_local_archive(name):
    archive = pack(Path(name), fill(Path("elsewhere/top")).parent)
    download(small_study(source={"path": str(archive)}))
    source = read_json(DATA / "source.json")
    assert source["classes"] == COUNTS
    assert source["root"] == str(DATA / "raw")
    before = (DATA / "raw").stat().st_mtime_ns
    download(small_study(source={"path": str(archive)}))
    assert (DATA / "raw").stat().st_mtime_ns == before  # not extracted again
    assert read_json(DATA / "source.json") == source


def test_another_archive_replaces_what_was_there():
    download(small_study(source={"path": str(pack(Path("a.zip"), fill(Path("a"))))}))
    Path("a/Testing/glioma/new.jpg").write_bytes(b"new")
    download(small_study(source={"path": str(pack(Path("b.zip"), Path("a")))}))
    assert read_json(DATA / "source.json")["classes"]["test"]["glioma"] == 4
    assert sorted(path.name for path in DATA.iterdir()) == ["files.csv", "raw", "source.json"]


def test_a_refused_archive_leaves_nothing():
    with zipfile.ZipFile("evil.zip", "w") as archive:
        archive.writestr("Training/glioma/a.jpg", b"1")
        archive.writestr("../../../evil", b"2")
    assert "leads out of the folder" in fault(small_study(source={"path": "evil.zip"}))
    assert list(DATA.iterdir()) == []
    assert not list(Path.cwd().parent.rglob("evil"))


def test_a_folder_that_somebody_else_filled_is_kept():
    archive = pack(Path("a.zip"), fill(Path("a")))
    (DATA / "raw").mkdir(parents=True)
    (DATA / "raw" / "mine.jpg").write_bytes(b"precious")
    assert "move it away" in fault(small_study(source={"path": str(archive)}))
    assert (DATA / "raw" / "mine.jpg").read_bytes() == b"precious"


def test_the_source_is_not_there():
    assert "the source folder nowhere/here is not there" in fault(small_study(source={"path": "nowhere/here"}))


def test_an_unreadable_file_is_named():
    fill(Path("local"))
    Path("local/Training/glioma/broken.jpg").symlink_to("nowhere")
    assert "local/Training/glioma/broken.jpg: No such file" in fault(small_study())


def test_an_url_and_kaggle_share_the_way_in(monkeypatch):
    archive = pack(Path("a.zip"), fill(Path("a")))
    calls = []

    def fetch(kind):
        def fake(*arguments):
            folder = arguments[-1]
            folder.mkdir(parents=True)
            calls.append(kind)
            return Path(shutil.copy(archive, folder / "got.zip"))

        return fake

    monkeypatch.setattr(remote, "fetch_url", fetch("url"))
    monkeypatch.setattr(remote, "fetch_kaggle", fetch("kaggle"))
    monkeypatch.setattr(remote, "fetch_competition", fetch("competition"))
    sources = [
        ("url", {"url": "https://x.org/a", "sha256": "0" * 64}),
        ("kaggle", {"kaggle_dataset": "owner/name"}),
        ("kaggle", {"kaggle_competition": "name"}),
    ]
    for kind, source in sources:
        for _ in range(2):
            download(small_study(source=source))
        assert read_json(DATA / "source.json")["kind"] == kind
        assert read_json(DATA / "source.json")["classes"] == COUNTS
        assert sorted(path.name for path in DATA.iterdir()) == ["files.csv", "raw", "source.json"]
    assert calls == ["url", "kaggle", "competition"]  # once each: what is there is not fetched again


def eyes(root: Path, images: list[str], top: str = "") -> Path:
    """A data set in the layout of APTOS 2019, with one sample without a label; of the classes, all have number 1."""
    for name in (*(f"train_images/{image}.png" for image in images), "test_images/t.png"):
        (root / top / name).parent.mkdir(parents=True, exist_ok=True)
        (root / top / name).write_bytes(name.encode())
    (root / top / "train.csv").write_text("id_code,diagnosis\n" + "".join(f"{image},1\n" for image in images))
    (root / top / "test.csv").write_text("id_code\nt\n")
    return root


def graded(**data) -> Study:
    study = small_study(layout="aptos", ordered=True, **data)
    return study.model_copy(update={"split": Split.model_validate({"test": 0.2})})


def test_samples_without_a_label_and_expected_counts_of_all():
    eyes(Path("local"), ["a", "b"], "top")
    download(graded(expected={"all": {"glioma": 0, "notumor": 3}}))
    source = read_json(DATA / "source.json")
    assert source["classes"] == {"all": {"notumor": 2}}
    assert source["unlabeled"] == 1
    assert source["differs"] == ["all/notumor: 2 files, 3 expected"]
    assert source["files"] == 3 + 2  # images and tables
    assert source["extra"] == {}
    table = Path("local/top/train.csv")
    table.write_text(table.read_text().replace("a,1", "a,0"))
    download(graded())
    assert read_json(DATA / "source.json")["checksum"] != source["checksum"]


def test_extra_sources(monkeypatch):
    eyes(Path("local"), ["a"])
    more, kept = pack(Path("more.zip"), eyes(Path("more"), ["b", "c"])), []

    def fetch(name, otherwise, folder):
        assert "data.extra.kaggled.source" in otherwise
        folder.mkdir(parents=True)
        kept.append(folder)
        return Path(shutil.copy(more, folder / f"{name}.zip"))

    monkeypatch.setattr(remote, "fetch_competition", fetch)
    extra = {
        "more": {"source": {"path": "more.zip"}, "layout": "aptos"},
        "kaggled": {"source": {"kaggle_competition": "eyes"}, "layout": "aptos"},
        "made": {"source": {"kaggle_competition": "eyes"}, "layout": "class_folders", "phantom": phantom()},
    }
    for _ in range(2):
        download(graded(extra=extra))
    assert len(kept) == 1  # what is there is not fetched again
    source = read_json(DATA / "source.json")
    assert source["root"] == "local"
    assert source["classes"] == {"all": {"notumor": 1}}
    roots = {name: entry["root"] for name, entry in source["extra"].items()}
    assert roots == {name: str(DATA / "raw_extra" / name) for name in extra}
    assert [entry["kind"] for entry in source["extra"].values()] == ["path", "kaggle", "phantom"]
    assert source["extra"]["more"]["classes"] == source["extra"]["kaggled"]["classes"] == {"all": {"notumor": 2}}
    assert source["extra"]["more"]["files"] == 2 + 2
    assert source["extra"]["more"]["checksum"] == source["extra"]["kaggled"]["checksum"] != source["checksum"]
    assert sum(source["extra"]["made"]["classes"]["all"].values()) == 12
    assert sorted(path.name for path in DATA.iterdir()) == ["files.csv", "raw_extra", "source.json"]
    assert sorted(path.name for path in (DATA / "raw_extra").iterdir()) == sorted(extra)


def phantom(**options) -> dict:
    return {"name": "brain_mri", **PHANTOMS["brain_mri"].defaults, "samples": 12, "size": 48, **options}


def test_phantoms_are_made_once_for_the_same_options(monkeypatch):
    study = small_study(phantom=phantom(), expected={"train": {"glioma": 1321}})
    download(study)
    source = read_json(DATA / "source.json")
    assert source["kind"] == "phantom"
    assert source["differs"] == []  # what is expected is the real set
    assert sum(map(sum, (part.values() for part in source["classes"].values()))) == 12
    first = (DATA / "raw").stat().st_ino
    download(study)
    assert (DATA / "raw").stat().st_ino == first
    download(small_study(phantom=phantom(seed=1)))
    assert read_json(DATA / "source.json")["checksum"] != source["checksum"]
    monkeypatch.setattr("rescan.catalogue.phantoms.VERSION", 99)
    second = (DATA / "raw" / module.MADE_FROM).read_text()
    download(small_study(phantom=phantom(seed=1)))
    assert (DATA / "raw" / module.MADE_FROM).read_text() != second


def test_killed_in_the_middle_it_starts_clean(monkeypatch):
    study = small_study(phantom=phantom())

    def killed(folder, *_, **__):
        (folder / "Training" / "glioma").mkdir(parents=True)
        (folder / "Training" / "glioma" / "half.jpg").write_bytes(b"half")
        os._exit(9)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr("rescan.phantoms.brain_mri.brain_mri.make", killed)
        try:
            download(study)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 9 << 8
    assert (DATA / ".raw.part" / "Training" / "glioma" / "half.jpg").exists()
    assert not (DATA / "raw").exists()
    download(study)
    assert not list(DATA.rglob("half.jpg"))
    assert sorted(path.name for path in DATA.iterdir()) == ["files.csv", "raw", "source.json"]
