from __future__ import annotations

import hashlib
import inspect
import socket
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rescan.data.sources import remote
from rescan.errors import RescanError

CONTENT = bytes(range(256)) * 20_000  # 5 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SECRET = "s3cr3t-t0k3n"
OTHERWISE = "or use a local copy"


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT, but at /missing, and at /to/<address>, a redirect; tests set `ranges`, `stop_after`, `seen`."""

    ranges = True
    stop_after: int | None = None
    seen: list[str | None]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).seen.append(wanted)
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path[len("/to/") :])
            self.end_headers()
            return
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
        if wanted and start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if wanted and self.ranges else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + self.stop_after] if self.stop_after else CONTENT[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Handler.ranges, Handler.stop_after, Handler.seen = True, None, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def fault(function, *arguments) -> str:
    with pytest.raises(RescanError) as raised:
        function(*arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_an_url(server, tmp_path):
    file = remote.fetch_url(f"{server}/a.zip", DIGEST, tmp_path / "new")
    assert file.read_bytes() == CONTENT
    assert remote.fetch_url(f"{server}/a.zip", DIGEST, tmp_path / "new") == file
    assert Handler.seen == [None]  # fetched once


def test_a_broken_download_goes_on(server, tmp_path):
    Handler.stop_after = 2_000_000
    assert "2000000 of 5120000 bytes" in fault(remote.fetch_url, f"{server}/a.zip", DIGEST, tmp_path)
    Handler.stop_after = None
    assert remote.fetch_url(f"{server}/a.zip", DIGEST, tmp_path).read_bytes() == CONTENT
    assert Handler.seen == [None, "bytes=2000000-"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    Handler.stop_after = 2_000_000
    fault(remote.fetch_url, f"{server}/a.zip", DIGEST, tmp_path)
    Handler.ranges, Handler.stop_after = False, None
    assert remote.fetch_url(f"{server}/a.zip", DIGEST, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("stale", [CONTENT, CONTENT + b"more"], ids=["whole", "too long"])
def test_a_part_that_is_whole_or_too_long(server, tmp_path, stale):
    (tmp_path / f"{DIGEST[:16]}.part").write_bytes(stale)
    if stale == CONTENT:
        assert remote.fetch_url(f"{server}/a.zip", DIGEST, tmp_path).read_bytes() == CONTENT
    else:
        assert DIGEST in fault(remote.fetch_url, f"{server}/a.zip", DIGEST, tmp_path)
        assert not list(tmp_path.iterdir())


def test_a_wrong_sha256(server, tmp_path):
    message = fault(remote.fetch_url, f"{server}/a.zip", "0" * 64, tmp_path)
    assert DIGEST in message
    assert "0" * 64 in message
    assert not list(tmp_path.iterdir())


def test_redirects_are_followed_to_https_and_this_computer_only(server, tmp_path):
    assert remote.fetch_url(f"{server}/to/{server}/a.zip", DIGEST, tmp_path / "a").read_bytes() == CONTENT
    for address in ("http://127.0.0.2/a.zip", "ftp://127.0.0.1/a.zip"):
        message = fault(remote.fetch_url, f"{server}/to/{address}", DIGEST, tmp_path)
        assert f"leads to {address}, which is no https address" in message
    assert not list(tmp_path.glob("*.part"))


def test_what_cannot_be_fetched(server, tmp_path):
    assert "404" in fault(remote.fetch_url, f"{server}/missing", DIGEST, tmp_path)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/a.zip"
        assert "check the network" in fault(remote.fetch_url, closed, DIGEST, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A home in which no token of the machine's user is seen."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    return folder


class Api:
    """Kaggle's client, as far as it is used."""

    def __init__(self, error: BaseException | None = None, when: str = "download") -> None:
        self.error, self.when = error, when

    def authenticate(self) -> None:
        sys.stdout.write("chatter of the client")
        if self.error and self.when == "authenticate":
            raise self.error

    def dataset_download_files(self, dataset, path=None, **options) -> None:
        if self.error:
            raise self.error
        assert options == {"quiet": True, "unzip": False}
        (Path(path) / f"{dataset.split('/')[1]}.zip").write_bytes(CONTENT)

    def competition_download_files(self, competition, path=None, **options) -> None:
        if self.error:
            raise self.error
        assert options == {"quiet": True}
        (Path(path) / f"{competition}.zip").write_bytes(CONTENT)


def use(monkeypatch, api: Api) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    monkeypatch.setitem(sys.modules, "kaggle", types.SimpleNamespace(api=api))


def test_kaggle(tmp_path, monkeypatch, capsys):
    use(monkeypatch, Api())
    assert remote.fetch_kaggle("owner/brain-mri", OTHERWISE, tmp_path / "new").read_bytes() == CONTENT
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "place",
    [
        ".kaggle/access_token",
        ".kaggle/kaggle.json",
        ".kaggle/credentials.json",
        ".config/kaggle/kaggle.json",
        "KAGGLE_KEY",
    ],
)
def test_a_token_is_seen_before_the_client_is_imported(tmp_path, monkeypatch, home, place):
    monkeypatch.setitem(sys.modules, "kaggle", None)  # importing it fails
    message = fault(remote.fetch_kaggle, "owner/brain-mri", OTHERWISE, tmp_path)
    assert "no Kaggle token" in message
    assert "https://www.kaggle.com/settings" in message
    assert message.endswith(OTHERWISE)
    if place == "KAGGLE_KEY":
        monkeypatch.setenv("KAGGLE_KEY", SECRET)
        assert "no Kaggle token" in fault(remote.fetch_kaggle, "owner/brain-mri", OTHERWISE, tmp_path)
        monkeypatch.setenv("KAGGLE_USERNAME", "me")
    else:
        (home / place).parent.mkdir(parents=True)
        (home / place).write_text(SECRET)
    assert "not installed" in fault(remote.fetch_kaggle, "owner/brain-mri", OTHERWISE, tmp_path)


def http_error(status: int) -> OSError:
    error = OSError(f"{status} for url with {SECRET}")
    error.response = types.SimpleNamespace(status_code=status)
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(1), "refuses the token"),
        (http_error(401), "check the token"),
        (http_error(403), "check the token"),
        (http_error(404), "no such data set"),
        (http_error(503), "503"),
        (ConnectionError(f"no route, {SECRET}"), "check the network"),
        (ValueError(SECRET), "the client failed (ValueError)"),
    ],
)
@pytest.mark.parametrize("when", ["authenticate", "download"])
def test_what_kaggle_may_answer(tmp_path, monkeypatch, error, said, when):
    use(monkeypatch, Api(error, when))
    message = fault(remote.fetch_kaggle, "owner/brain-mri", OTHERWISE, tmp_path)
    assert said in message
    assert SECRET not in message
    assert message.endswith(OTHERWISE)


def test_a_competition(tmp_path, monkeypatch, capsys):
    use(monkeypatch, Api())
    file = remote.fetch_competition("aptos2019-blindness-detection", OTHERWISE, tmp_path / "new")
    assert file == tmp_path / "new" / "aptos2019-blindness-detection.zip"
    assert file.read_bytes() == CONTENT
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (http_error(401), "check the token"),
        (http_error(403), "accept its rules at https://www.kaggle.com/competitions/aptos/rules"),
        (http_error(404), "no such competition"),
        (http_error(503), "503"),
        (ConnectionError(f"no route, {SECRET}"), "check the network"),
    ],
)
def test_what_kaggle_may_answer_of_a_competition(tmp_path, monkeypatch, error, said):
    use(monkeypatch, Api(error))
    message = fault(remote.fetch_competition, "aptos", OTHERWISE, tmp_path)
    assert message.startswith("Kaggle competition aptos: ")
    assert said in message
    assert SECRET not in message
    assert message.endswith(OTHERWISE)


def test_a_competition_by_its_whole_address(tmp_path):
    assert "the last part" in fault(remote.fetch_competition, "https://kaggle.com/c/aptos", OTHERWISE, tmp_path)


def test_a_data_set_without_an_owner(tmp_path):
    assert "owner/name" in fault(remote.fetch_kaggle, "brain-mri", OTHERWISE, tmp_path)


def test_the_real_client_has_what_is_used(monkeypatch):
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", SECRET)
    kaggle = pytest.importorskip("kaggle")
    parameters = inspect.signature(kaggle.api.dataset_download_files).parameters
    assert next(iter(parameters)) == "dataset"
    assert {"path", "quiet", "unzip"} <= set(parameters)
    parameters = inspect.signature(kaggle.api.competition_download_files).parameters
    assert next(iter(parameters)) == "competition"
    assert {"path", "quiet"} <= set(parameters)
    assert callable(kaggle.api.authenticate)
