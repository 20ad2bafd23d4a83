"""Reading a bundle: each damaged one is refused in one line, or gives what the whole one gives."""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from sample_arms import finish, small_study

from rescan.arm_models import load_arm
from rescan.bundle_files import opened
from rescan.errors import RescanError
from rescan.files import sha256
from rescan.handover.bundling import bundle

MODEL = "fold0_seed0/model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a bundle."""
    place = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        bundle(Path(finish(small_study(seeds=1))), place / "model.zip")
    return (place / "model.zip").read_bytes()


def files_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files, *, listed=True, compression=zipfile.ZIP_STORED):
    """A zip of files; `listed`: their sizes and checksums are made right in bundle.json."""
    files = dict(files)
    if listed:
        content = json.loads(files["bundle.json"])
        content["files"] = {
            name: {"bytes": len(own), "sha256": hashlib.sha256(own).hexdigest()}
            for name, own in files.items()
            if name != "bundle.json"
        }
        files["bundle.json"] = json.dumps(content).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, own in files.items():
            archive.writestr(name, own)
    return out.getvalue()


def with_manifest(files, /, **changes):
    content = {**json.loads(files["bundle.json"]), **changes}
    return zipped({**files, "bundle.json": json.dumps(content).encode()}, listed=False)


def with_header(model, **changes):
    """A model file whose header says something else of itself."""
    (length,) = struct.unpack("<Q", model[:8])
    header = json.loads(model[8 : 8 + length])
    own = {**json.loads(header["__metadata__"]["rescan"]), **changes}
    own.pop("checksum")
    header["__metadata__"]["rescan"] = json.dumps(own)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + model[8 + length :]


def damages(whole):
    files = files_of(whole)
    model = files[MODEL]
    yield "not a zip", b"hello", "is no bundle"
    yield "empty", b"", "is no bundle"
    yield "PK only", b"PK", "not a whole zip"
    for share in (0.1, 0.5, 0.9, 0.999):
        yield f"the first {share:.1%}", whole[: int(len(whole) * share)], "not a whole zip"
    yield "without the last byte", whole[:-1], "not a whole zip"
    yield "bytes behind its end", whole + b"\0", "not a whole zip"
    yield "bytes before its start", b"PK\0\0" + b"\0" * 60 + whole, "not a whole zip"
    place = whole.index(model[-1000:]) + 10
    yield (
        "a flipped byte of the weights",
        whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :],
        "CRC-32|Bad",
    )
    flipped = model[:-5] + bytes([model[-5] ^ 255]) + model[-4:]
    yield "other weights, not listed", zipped({**files, MODEL: flipped}, listed=False), "is not as it was written"
    yield "other weights, listed", zipped({**files, MODEL: flipped}), "not as they were written"
    yield "shorter weights", zipped({**files, MODEL: model[:-8]}, listed=False), "bytes, not"
    foreign = with_header(model, arm="other")
    yield "weights of another arm", zipped({**files, MODEL: foreign}), "is of arm 'other', not of 'one'"
    foreign = with_header(model, classes=["x", "y"])
    yield "weights of other classes", zipped({**files, MODEL: foreign}), "is of classes"
    foreign = with_header(model, seed=7)
    yield "weights of another seed", zipped({**files, MODEL: foreign}), "is of seed 7, not of 0"
    yield "no model at all", zipped({**files, MODEL: b"\x08\0\0\0\0\0\0\0{}      "}), "header is not that of a Rescan"
    for name in files:
        lost = {other: own for other, own in files.items() if other != name}
        fault = "holds no bundle.json" if name == "bundle.json" else f"{name} is missing"
        yield f"without {name}", zipped(lost, listed=False), fault
    yield "without its model, nor listed", zipped({n: own for n, own in files.items() if n != MODEL}), "is missing"
    yield "a program", zipped({**files, "run.py": b"print(1)"}), "'run.py', not a .json"
    yield "a file more", zipped({**files, "run.py": b"print(1)"}, listed=False), "which bundle.json does not name"
    for name in ("../out.md", "/tmp/out.md", "a/../../out.md", "C:\\out.md", "..\\out.md", "new\nline.md"):
        yield f"a path {name!r}", zipped({**files, name: b"x"}), "refused, nothing was extracted"
    posttraining = json.loads(files["posttraining.json"])
    posttraining["models"][0]["file"] = "../../../elsewhere/model.safetensors"
    away = {**files, "posttraining.json": json.dumps(posttraining).encode()}
    yield "a network elsewhere", zipped(away), "names other networks than bundle.json"
    yield "a newer format", with_manifest(files, format=2), "of format 2, this Rescan reads up to 1: update"
    yield "a newer format with new keys", with_manifest(files, format=3, mood=1, files=[]), "of format 3"
    yield "an unknown key", with_manifest(files, mood=1), "unknown key mood"
    yield "a format of a wrong type", with_manifest(files, format="1"), "format: input should be"
    yield "no networks", with_manifest(files, networks=[]), "networks: "
    yield "no JSON", zipped({**files, "bundle.json": b"{"}, listed=False), "not valid JSON"
    yield "deep JSON", zipped({**files, "bundle.json": b"[" * 100_000}, listed=False), "bundle.json: "
    yield "a list", zipped({**files, "bundle.json": b"[]"}, listed=False), "bundle.json: "
    twice = zipped(files)
    out = io.BytesIO(twice)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(out, "a") as archive:
        archive.writestr(MODEL, model)
    yield "a member twice", out.getvalue(), "comes twice"
    out = io.BytesIO(twice)
    with zipfile.ZipFile(out, "a") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    yield "a link", out.getvalue(), "which bundle.json does not name"
    bomb = zipped({**files, "zeros.json": bytes(300_000_000)}, compression=zipfile.ZIP_DEFLATED)
    yield "a bomb that says so", bomb, "holds 30[0-9] MB, over 20 times its own size"


def test_every_damage_is_one_line_that_names_the_bundle(whole, tmp_path):
    file, bad = tmp_path / "model.zip", []
    for what, content, fault in damages(whole):
        file.write_bytes(content)
        try:
            with opened(file) as folder:
                load_arm(folder)
            bad.append(f"{what}: taken")
        except RescanError as error:
            text = str(error)
            if "\n" in text or str(file) not in text or "rescan-bundle-" in text or not re.search(fault, text):
                bad.append(f"{what}: {text}")
    assert "\n".join(bad) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["model.zip"]


def test_a_bundle_that_is_packed_again_by_another_program_is_taken(whole, tmp_path):
    file = tmp_path / "model.zip"
    file.write_bytes(zipped(dict(reversed(files_of(whole).items())), listed=False, compression=zipfile.ZIP_DEFLATED))
    with opened(file) as folder:
        assert load_arm(folder).classes == ["a", "b"]
        kept = folder
        assert sha256(folder / MODEL)
    assert not kept.exists()


def test_what_is_no_bundle(tmp_path):
    with pytest.raises(RescanError, match=r"nothing: cannot be read \(No such file or directory\); give the folder"):
        opened(tmp_path / "nothing").__enter__()
    with opened(tmp_path) as folder:
        assert folder == tmp_path
