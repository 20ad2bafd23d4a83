"""Weights of the Hugging Face hub: one safetensors file of a repository, over https, pinned by its first download.

The file lies beside the weights made of it, with its revision and its SHA-256 in `source.json`. Whatever happens to the
repository later, it stays; without a network, too. Another machine may get another revision, but for `@commit` in the
encoder's name: no table of revisions is shipped.
"""

from __future__ import annotations

import json
import os
import re
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any, Optional
from urllib.error import HTTPError
from urllib.request import Request

import numpy as np

from rescan.catalogue.timm_encoders import HubWeights
from rescan.data.readers.weights_files import read_weights
from rescan.data.sources.remote import TIMEOUT, SecureRedirects, opener, save
from rescan.data.sources.weights_writing import write_weights
from rescan.errors import RescanError, is_full, shown
from rescan.files import sha256, write_json, writing
from rescan.log import logger
from rescan.named_files import read_bytes, regular
from rescan.study.data import is_secure

HUB = "https://huggingface.co"
SHA256 = re.compile(r"[0-9a-f]{64}")
ANEW = "delete the folder and run again"
OTHERWISE = "or train from scratch with --config weights=none"


class _Told(SecureRedirects):
    """Follows secure redirects, and keeps what the answers tell: the hub's own, not the storage's behind it."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def keep(self, headers: HTTPMessage) -> None:
        """Keep what the first answer tells."""
        for name, value in headers.items():
            self.headers.setdefault(name.lower(), value)

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Optional[Request]:
        """The request for the new address."""
        self.keep(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def files(out: Path) -> tuple[Path, Path]:
    """Where the hub's file for these weights lies, or is to be put by hand; and what was noted of it."""
    folder = out.with_suffix("")
    return folder / "model.safetensors", folder / "source.json"


def fetch(weights: HubWeights, out: Path) -> dict[str, Any]:
    """Make `out`, a safetensors file with a header, from the hub's file: the one that lies there, else by download.

    Args:
        weights: The file on the hub.
        out: Such as data/weights/timm/convnext_tiny.fb_in1k.safetensors.

    Returns:
        The header: `source` (repository@revision/file, no address), `repository`, `revision` and `sha256`.

    Raises:
        RescanError: The hub cannot be reached, has no such file, or not for everyone; the file is broken off, has
            another checksum than the pinned one, or the one that it had, or is no safetensors file.
    """
    file, note = files(out)
    if file.exists():
        header = _noted(weights, file, note)
        state = read_weights(file)
    else:
        header, state = _download(weights, file, note)
    write_weights(out, state, header)
    logger.info("%s: %d arrays of %s, revision %s", out, len(state), header["source"], header["revision"] or "unknown")
    return header


def _noted(weights: HubWeights, file: Path, note: Path) -> dict[str, Any]:
    """The header for a file that lies there: as noted when it was fetched.

    One put there by hand is noted now: it is taken as what its folder says, and its checksum pins it from now on.
    """
    header = {"source": file.name, "repository": weights.repository, "revision": weights.revision, "sha256": None}
    by_hand = not note.exists()
    if not by_hand:
        try:
            header = {**header, **json.loads(read_bytes(note, remedy=ANEW))}
            header["source"] = _source(weights, header["revision"])
        except (ValueError, TypeError) as error:
            raise RescanError(f"{note}: damaged ({error}); {ANEW}") from None
    actual = sha256(regular(file, remedy=ANEW))
    for key, wanted in (("pinned", weights.sha256), ("noted", header["sha256"])):
        if wanted not in (None, actual):
            raise RescanError(f"{file}: its SHA-256 is {actual}, not the {key} {wanted}; {ANEW}")
    for key, wanted in (("repository", weights.repository), ("revision", weights.revision)):
        if wanted not in (None, header[key]):
            raise RescanError(f"{file}: is of {key} {header[key]}, not of {wanted}; {ANEW}")
    header["sha256"] = actual
    if by_hand:
        logger.warning("%s: was put there by hand, and is taken as it is; its SHA-256 is %s", file, actual)
        write_json(note, header)
    return header


def _source(weights: HubWeights, revision: Optional[str]) -> str:
    """What names the file wherever it was got from: an address would tell of a mirror."""
    return f"{weights.repository}@{revision or 'main'}/{weights.file}"


def _address(weights: HubWeights) -> str:
    """The address of the file, on the hub or on the mirror that is set.

    Raises:
        RescanError: That is no https address, or has more than an address: a password would stand in messages.
    """
    hub = os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
    if any(sign in hub for sign in "@?#"):
        raise RescanError("HF_ENDPOINT: holds a user name, a password or a query; set it to https://host alone")
    url = f"{hub}/{weights.repository}/resolve/{weights.revision or 'main'}/{weights.file}"
    if not is_secure(url):
        raise RescanError(f"HF_ENDPOINT: {hub} is no https address; set it to one, or unset it")
    return url


def _download(weights: HubWeights, file: Path, note: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Download the hub's file, check what is known of it, and note it.

    Returns:
        The header, as `fetch`, and the arrays.
    """
    url = _address(weights)
    by_hand = f"download {url} elsewhere and put it there, {OTHERWISE}"
    told = _Told()
    try:
        with opener(told).open(url, timeout=TIMEOUT) as reply, writing(file) as part:
            told.keep(reply.headers)
            save(reply, part, f"{weights.repository} (MiB)")
            header = _header(weights, url, told.headers, sha256(part))
            state = _read(part, url)
            # Before the file has its name: without its note, it would be one put there by hand.
            write_json(note, header)
    except HTTPError as error:
        why = error.headers.get("X-Error-Message") or error.reason
        asked = "; it is not there, or only for those who sign in" if error.code in (401, 403, 404) else ""
        raise RescanError(f"{file}: the hub answers {error.code} {why}{asked}: {by_hand}") from None
    except (OSError, HTTPException) as error:
        if is_full(error):
            raise
        reason = getattr(error, "reason", error)
        raise RescanError(f"{file}: the hub cannot be reached ({reason}); {by_hand}") from None
    return header, state


def _header(weights: HubWeights, url: str, told: dict[str, str], actual: str) -> dict[str, Any]:
    """The header of a file with this SHA-256, of which the answers told this.

    Raises:
        RescanError: It should have another.
    """
    linked = told.get("x-linked-etag", "").strip('"')
    for key, wanted in (("pinned", weights.sha256), ("the hub's", linked if SHA256.fullmatch(linked) else None)):
        if wanted not in (None, actual):
            raise RescanError(f"{url}: its SHA-256 is {actual}, not {key} {wanted}; removed, run again, {OTHERWISE}")
    revision = told.get("x-repo-commit") or weights.revision
    source = _source(weights, revision)
    return {"source": source, "repository": weights.repository, "revision": revision, "sha256": actual}


def _read(part: Path, url: str) -> dict[str, np.ndarray]:
    """Read what came; refuse it if it is no file of weights, such as a page that asks to sign in."""
    try:
        return read_weights(part)
    except RescanError as error:
        fault = str(error).replace(shown(part), "what came")
        raise RescanError(f"{url}: {fault}, {OTHERWISE}") from None
