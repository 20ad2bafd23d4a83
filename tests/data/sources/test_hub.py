"""A file of the Hugging Face hub: pinned by its first download, offline afterwards. A local server stands for it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save
from safetensors.torch import save as torch_save

from rescan.catalogue.timm_encoders import HubWeights
from rescan.data.sources import hub
from rescan.errors import RescanError

CONTENT = save({"stem.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "head.fc.bias": np.ones(4, np.float32)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT, LATER = "ab" * 20, "cd" * 20
TINY = HubWeights("timm/tiny.of_test")


class Hub(BaseHTTPRequestHandler):
    """As the hub answers: its own headers with a redirect to a storage, whose headers tell other things."""

    content = CONTENT
    revision = COMMIT
    sha256: str | None = SHA256
    status: tuple[int, str, str] | None = None
    storage = ""  # another host
    cut = 0
    length = ""  # as told, if that is not the content's
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/storage/"):
            self.send_response(200)
            self.send_header("ETag", '"of the storage"')
            self.send_header("X-Repo-Commit", "of the storage")
            self.send_header("Content-Length", self.length or str(len(self.content)))
            self.end_headers()
            self.wfile.write(self.content[: len(self.content) - self.cut])
        elif self.status is not None:
            code, kind, message = self.status
            self.send_response(code)
            self.send_header("X-Error-Code", kind)
            self.send_header("X-Error-Message", message)
            self.end_headers()
        else:
            self.send_response(302)
            self.send_header("Location", f"{self.storage}/storage/file")
            self.send_header("X-Repo-Commit", self.revision)
            self.send_header("X-Linked-Size", str(len(self.content)))
            if self.sha256:
                self.send_header("X-Linked-Etag", f'"{self.sha256}"')
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answers(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    handler = type("Answers", (Hub,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        handler.address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("HF_ENDPOINT", handler.address + "/")
        yield handler
        server.shutdown()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "weights/timm/tiny.of_test.safetensors"


def fault(weights, out) -> str:
    with pytest.raises(RescanError) as raised:
        hub.fetch(weights, out)
    assert "\n" not in str(raised.value)
    assert not out.exists()
    return str(raised.value)


def header_of(file) -> dict:
    with safe_open(str(file), framework="numpy") as stored:
        return json.loads(stored.metadata()["rescan"])


def test_the_first_download_notes_what_the_hub_tells_and_is_the_last(answers, out):
    noted = hub.fetch(TINY, out)
    source = f"timm/tiny.of_test@{COMMIT}/model.safetensors"
    assert noted == {"source": source, "repository": "timm/tiny.of_test", "revision": COMMIT, "sha256": SHA256}
    assert header_of(out).items() > noted.items()
    assert {key: value.tolist() for key, value in load_file(out).items()} == {
        "stem.weight": [[0, 1, 2], [3, 4, 5]],
        "head.fc.bias": [1, 1, 1, 1],
    }
    file, note = hub.files(out)
    assert file.read_bytes() == CONTENT
    assert json.loads(note.read_text()) == noted
    written = out.read_bytes()
    out.unlink()
    answers.revision, answers.content, answers.asked[:] = LATER, b"moved", []
    assert hub.fetch(TINY, out) == noted
    assert out.read_bytes() == written
    assert answers.asked == []
    note.write_text(json.dumps({**noted, "source": "https://user:secret@mirror.example.org/model.safetensors"}))
    assert hub.fetch(TINY, out) == noted  # as older versions noted it


def test_a_pinned_revision_and_checksum(answers, out):
    hub.fetch(HubWeights("timm/tiny.of_test", revision=COMMIT, sha256=SHA256), out)
    assert answers.asked[0] == f"/timm/tiny.of_test/resolve/{COMMIT}/model.safetensors"
    out.unlink()
    assert f"is of revision {COMMIT}, not of {LATER}" in fault(HubWeights("timm/tiny.of_test", revision=LATER), out)
    assert "is of repository timm/tiny.of_test, not of timm/tiny.new" in fault(HubWeights("timm/tiny.new"), out)
    assert f"not the pinned {'0' * 64}" in fault(HubWeights("timm/tiny.of_test", sha256="0" * 64), out)


def test_a_hub_that_tells_no_commit(answers, out):
    answers.revision = ""
    noted = hub.fetch(TINY, out)
    assert (noted["source"], noted["revision"]) == ("timm/tiny.of_test@main/model.safetensors", None)


@pytest.mark.parametrize("length", ["many", "-1", "9" * 5000])
def test_a_length_that_is_no_number_does_not_count(answers, out, length):
    answers.length = length
    assert hub.fetch(TINY, out)["sha256"] == SHA256


def test_the_note_is_there_before_the_file(answers, out, monkeypatch):
    """Killed between the two, a file without its note would be one put there by hand."""
    file, note = hub.files(out)
    written = hub.write_json
    seen = []
    monkeypatch.setattr(hub, "write_json", lambda *given: (seen.append(file.exists()), written(*given)))
    hub.fetch(TINY, out)
    assert seen == [False]
    out.unlink()
    file.unlink()
    answers.revision = LATER  # what the note says of a file that never came is written anew
    assert hub.fetch(TINY, out)["revision"] == json.loads(note.read_text())["revision"] == LATER


@pytest.mark.usefixtures("answers")
def test_half_precision_and_numbers_that_are_none(monkeypatch, out):
    def served(array):
        content = torch_save({"stem.weight": array})
        monkeypatch.setattr(Hub, "content", content)
        monkeypatch.setattr(Hub, "sha256", hashlib.sha256(content).hexdigest())

    served(torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
    hub.fetch(TINY, out)
    assert load_file(out)["stem.weight"].tolist() == [1.5, -2.0]
    for path in (out, *hub.files(out)):
        path.unlink()
    served(torch.tensor([1.0, float("nan")]))
    assert "/model.safetensors: what came: stem.weight holds values that are no numbers" in fault(TINY, out)


def test_a_file_put_there_by_hand_is_taken(monkeypatch, out):
    monkeypatch.setenv("HF_ENDPOINT", "https://127.0.0.1:9")
    file, note = hub.files(out)
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    assert hub.fetch(TINY, out)["sha256"] == SHA256
    assert header_of(out)["revision"] is None
    assert json.loads(note.read_text())["sha256"] == SHA256
    out.unlink()
    file.write_bytes(CONTENT + b" ")
    assert f"not the noted {SHA256}; delete the folder and run again" in fault(TINY, out)


@pytest.mark.parametrize(("make", "kind"), [(Path.mkdir, "a folder"), (os.mkfifo, "a pipe, device or socket")])
def test_what_is_no_file_in_the_place_of_one(out, make, kind):
    file, note = hub.files(out)
    file.parent.mkdir(parents=True)
    make(file)
    assert f"{file}: is {kind}, not a file; delete the folder and run again" in fault(TINY, out)
    file.rmdir() if file.is_dir() else file.unlink()
    file.write_bytes(CONTENT)
    make(note)
    assert f"{note}: is {kind}, not a file; delete the folder and run again" in fault(TINY, out)


@pytest.mark.usefixtures("answers")
def test_a_file_that_was_changed_after_its_download(out):
    hub.fetch(TINY, out)
    out.unlink()
    file, note = hub.files(out)
    file.write_bytes(CONTENT[:-1])
    said = fault(TINY, out)
    assert str(file) in said
    assert f"not the noted {SHA256}; delete the folder and run again" in said
    note.write_text("{")
    assert f"{note}: damaged" in fault(TINY, out)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cut": 5}, "broke off after"),
        ({"length": "9" * 400}, "broke off after"),
        ({"sha256": "0" * 64}, f"its SHA-256 is {SHA256}, not the hub's {'0' * 64}; removed, run again"),
        ({"content": b"<!doctype html>" * 9, "sha256": None}, "what came: no file of weights, or damaged"),
        ({"content": b"", "sha256": None}, "what came: no file of weights, or damaged"),
        ({"status": (401, "GatedRepo", "Access to model is restricted")}, "401 Access to model is restricted; it is"),
        ({"status": (401, "RepoNotFound", "Repository not found")}, "401 Repository not found; it is not there"),
        ({"status": (404, "EntryNotFound", "Entry not found")}, "404 Entry not found; it is not there"),
        ({"status": (503, "", "")}, "the hub answers 503"),
        ({"storage": "http://example.org"}, "http://example.org/storage/file, which is no https address"),
    ],
)
def test_what_the_hub_may_answer_is_said_in_one_line(answers, out, changed, said):
    for name, value in changed.items():
        setattr(answers, name, value)
    message = fault(TINY, out)
    assert said in message
    assert answers.address in message
    assert not [path for path in out.parent.rglob("*") if path.is_file()]


def test_a_hub_that_cannot_be_reached(monkeypatch, out):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        message = fault(TINY, out)
    assert "the hub cannot be reached" in message
    assert "/timm/tiny.of_test/resolve/main/model.safetensors elsewhere and put it there" in message
    assert message.startswith(str(hub.files(out)[0]))
    assert "--config weights=none" in message


@pytest.mark.parametrize("address", ["http://example.org", "ftp://hub", "hub.example.org"])
def test_a_mirror_without_https_is_refused(monkeypatch, out, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert fault(TINY, out).startswith(f"HF_ENDPOINT: {address} is no https address")


@pytest.mark.parametrize(
    "address", ["https://user:secret@mirror.example.org", "https://token=secret@hub", "https://hub?key=secret"]
)
def test_a_mirror_with_credentials_is_refused_without_telling_them(monkeypatch, out, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    said = fault(TINY, out)
    assert said.startswith("HF_ENDPOINT: holds a user name, a password or a query")
    assert "secret" not in said
