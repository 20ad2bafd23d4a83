"""Fetching an archive over the network: from an URL, resumed where it broke off, or from Kaggle by its own client."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rescan.errors import NoRoomError, RescanError, is_full, shown
from rescan.files import sha256, sync
from rescan.log import logger, progress
from rescan.named_files import at_home
from rescan.study.data import is_secure

TIMEOUT = 60  # seconds without an answer
MOST_DIGITS = 4300  # of a number that Python reads; 3.9 knows no limit
BLOCK = 1 << 20  # bytes
GOES_ON = "make room there and run again, it goes on from there"


class SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only where the study file could have sent us itself."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request for the new address."""
        if not is_secure(newurl):
            fault = f"leads to {shown(newurl)}, which is no https address"
            raise RescanError(f"{req.full_url}: {fault}; give a local copy, or another address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener(redirects: SecureRedirects | None = None) -> urllib.request.OpenerDirector:
    """What opens addresses, and follows redirects to secure ones."""
    return urllib.request.build_opener(redirects or SecureRedirects)


def fetch_url(url: str, digest: str, folder: Path) -> Path:
    """Fetch a file, going on where an earlier try broke off, and check it.

    Args:
        url: An address that a study file may have (`is_secure`).
        digest: The SHA-256 that the file must have, in hexadecimal.
        folder: Where to keep it.

    Returns:
        The whole, checked file.

    Raises:
        RescanError: No such file, no network, it is elsewhere without https, or another SHA-256 (then it is removed).
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / digest[:16]
    part = file.with_suffix(".part")
    if file.is_file():
        return file
    have = part.stat().st_size if part.is_file() else 0
    headers, total = {"Range": f"bytes={have}-"} if have else {}, 0
    try:
        with opener().open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as reply:  # noqa: S310 - `Source` checks it
            have = have if reply.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            total = have + _length(reply)
            save(reply, part, f"downloading {url} (MiB)", have)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # else the part is whole, or not of this file
            raise RescanError(f"{url}: the server answers {error.code} {error.reason}; check source.url") from None
    except (OSError, http.client.HTTPException) as error:
        if is_full(error):
            need = f"; needs about {total / 1e6:.3g} MB" if total else ""
            raise NoRoomError(f"{part}: no space left{need}; {GOES_ON}") from None
        reason = getattr(error, "reason", None) or error
        raise RescanError(
            f"{url}: cannot be fetched ({reason}); check the network and run again, it goes on from there"
        ) from None
    actual = sha256(part)
    if actual != digest:
        part.unlink()
        raise RescanError(
            f"{url}: its sha256 is {actual}, not {digest} as in the study file; removed, run again or mend source"
        )
    sync(part)
    part.rename(file)
    return file


def save(reply: Any, file: Path, label: str, have: int = 0) -> None:
    """Write what an answer brings to a file, in blocks and with its progress.

    Args:
        reply: The answer, as an opener gives it.
        file: It is written anew, or behind what it has.
        label: Of the progress, which counts MiB.
        have: How many bytes it has that the answer does not bring again.

    Raises:
        ConnectionError: The answer ended before the length that it gave.
    """
    length = _length(reply)
    with file.open("ab" if have else "wb") as out:
        for block in progress(iter(lambda: reply.read(BLOCK), b""), -(-length // BLOCK), label):
            out.write(block)
    if file.stat().st_size < have + length:
        raise ConnectionError(f"the connection broke off after {file.stat().st_size} of {have + length} bytes")


def _length(reply: Any) -> int:
    """How many bytes an answer says that it has; 0 if it does not, or that is no number."""
    text = str(reply.headers.get("Content-Length", ""))
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else 0


def fetch_kaggle(data_set: str, otherwise: str, folder: Path) -> Path:
    """Fetch a Kaggle data set's archive by Kaggle's own client, which resumes and uses the user's token.

    Args:
        data_set: owner/name, as in the data set's address.
        otherwise: What else the user can do, for messages.
        folder: Where to keep the archive.

    Returns:
        The archive.

    Raises:
        RescanError: No token, a refused token, no such data set, no network, or no client installed.
    """
    if data_set.count("/") != 1:
        raise RescanError(f"source.kaggle_dataset: {data_set!r} is not owner/name, as in the data set's address")
    meanings = {
        403: "access refused (403); check the token, and the data set's terms at kaggle.com",
        404: "no such data set (404); check source.kaggle_dataset",
    }
    with _client(
        f"Kaggle data set {data_set}", "source.kaggle_dataset (owner/name)", meanings, otherwise, folder
    ) as api:
        api.dataset_download_files(data_set, path=str(folder), quiet=not sys.stderr.isatty(), unzip=False)
    return folder / f"{data_set.split('/')[1]}.zip"


def fetch_competition(competition: str, otherwise: str, folder: Path) -> Path:
    """Fetch the archive of a Kaggle competition's data, whose rules the user must have accepted.

    Args:
        competition: Its name, as in its address.
        otherwise: What else the user can do, for messages.
        folder: Where to keep the archive.

    Returns:
        The archive.

    Raises:
        RescanError: As for `fetch_kaggle`, or the rules have not been accepted.
    """
    if not re.fullmatch(r"[\w.-]+", competition):
        raise RescanError(
            f"source.kaggle_competition: {competition!r} is not a competition's name, the last part of its address"
        )
    rules = f"https://www.kaggle.com/competitions/{competition}/rules"
    meanings = {
        403: f"access refused (403); accept its rules at {rules} with the account that the token is of",
        404: "no such competition (404); check source.kaggle_competition",
    }
    with _client(f"Kaggle competition {competition}", "source.kaggle_competition", meanings, otherwise, folder) as api:
        api.competition_download_files(competition, path=str(folder), quiet=not sys.stderr.isatty())
    return folder / f"{competition}.zip"


@contextlib.contextmanager
def _client(what: str, key: str, meanings: dict[int, str], otherwise: str, folder: Path) -> Iterator[Any]:
    """Kaggle's client, authenticated; whatever goes wrong while it is used becomes a `RescanError` of one line.

    Args:
        what: What is fetched.
        key: Where the study file names it.
        meanings: What the status of an answer means.
        otherwise: What else the user can do.
        folder: Where the archive will be; created if needed.
    """
    if not has_kaggle_token():
        raise RescanError(
            "no Kaggle token; make one at https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token "
            f"(or kaggle.json), or set KAGGLE_API_TOKEN (or KAGGLE_USERNAME and KAGGLE_KEY), {otherwise}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    logger.info("downloading %s", what)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the client prints
            import kaggle

            kaggle.api.authenticate()
            yield kaggle.api
    except ImportError as error:
        raise RescanError(f"Kaggle's client is not installed ({error}); pip install kaggle, {otherwise}") from None
    except SystemExit:
        raise RescanError(
            f"Kaggle refuses the token; make a new one at https://www.kaggle.com/settings/api, {otherwise}"
        ) from None
    except Exception as error:  # noqa: BLE001 - the client's own message may hold credentials
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in meanings:
            reason = meanings[status]
        elif status == 401:
            reason = "access refused (401); check the token"
        elif status is not None:
            reason = f"the server answers {status}; try again later"
        elif is_full(error):
            raise NoRoomError(f"{folder}: no space left; {GOES_ON}") from None
        elif isinstance(error, OSError):  # what `requests` raises is one
            reason = (
                f"cannot be fetched ({type(error).__name__}); check the network and run again, it goes on from there"
            )
        else:
            reason = f"the client failed ({type(error).__name__}); check {key}"
        raise RescanError(f"{what}: {reason}, {otherwise}") from None


def has_kaggle_token() -> bool:
    """Whether Kaggle's client can find a token: importing it without one may end the process."""
    home = at_home("~/.kaggle")
    config = at_home(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "kaggle"
    files = [home / name for name in ("access_token", "access_token.txt", "credentials.json", "kaggle.json")]
    files += [Path(os.environ.get("KAGGLE_CONFIG_DIR") or config) / "kaggle.json"]
    variables = ("KAGGLE_API_TOKEN",), ("KAGGLE_USERNAME", "KAGGLE_KEY")
    return any(all(map(os.environ.get, group)) for group in variables) or any(file.is_file() for file in files)
