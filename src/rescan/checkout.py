"""The code that runs: the commit of its checkout, whether it was changed since, and a checksum of all of it.

The commit is read from the files of git, which needs no git: images have none. Only git itself knows of changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import rescan

PACKAGE = Path(rescan.__file__).parent
ROOT = PACKAGE.parents[1]
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
SECONDS = 5  # that git may take, as on a slow disk
Changes = Literal["none", "some", "unknown"]


class Code(NamedTuple):
    """The code of this process.

    Attributes:
        commit: Of the checkout; "" if it is unknown, or the code comes from no checkout.
        changes: Whether files of src/ differ from the commit, or new ones lie there.
        checksum: BLAKE2b of the package's files, 16 hexadecimal digits: equal ones mean equal code.
    """

    commit: str
    changes: Changes
    checksum: str


WORDS: dict[Changes, str] = {"none": "", "some": " with changes", "unknown": ", changes unknown"}


def in_words(commit: str, changes: Changes) -> str:
    """A commit in short, and whether it is all of the code."""
    return f"commit {commit[:12]}{WORDS[changes]}" if commit else "an unknown commit"


@cache
def code() -> Code:
    """The code of this process; looked at once."""
    commit = commit_of(ROOT) if (ROOT / "Snakefile").is_file() else ""
    return Code(commit, changes_of(ROOT) if commit else "unknown", _checksum())


def version() -> str:
    """Rescan's version; of a checkout also its commit."""
    return f"Rescan {rescan.__version__}" + (f", {in_words(code().commit, code().changes)}" if code().commit else "")


def commit_of(root: Path) -> str:
    """The commit of a checkout, from git's files; "" if they do not tell."""
    try:
        folder = root / ".git"
        if folder.is_file():  # a worktree or a submodule
            folder = root / folder.read_text("utf-8").partition("gitdir:")[2].strip()
        head = (folder / "HEAD").read_text("utf-8").strip()
        if COMMIT.fullmatch(head):
            return head
        name = head.partition("ref:")[2].strip()
        common = folder / "commondir"
        shared = folder / common.read_text("utf-8").strip() if common.is_file() else folder
        return next(filter(None, (_loose(place, name) or _packed(place, name) for place in (folder, shared))), "")
    except (OSError, UnicodeDecodeError, ValueError):
        return ""


def _loose(folder: Path, name: str) -> str:
    path = folder / name
    text = path.read_text("utf-8").strip() if name and path.is_file() else ""
    return text if COMMIT.fullmatch(text) else ""


def _packed(folder: Path, name: str) -> str:
    path = folder / "packed-refs"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    commits = (line.partition(" ")[0] for line in lines if line.partition(" ")[2] == name)
    return next(filter(COMMIT.fullmatch, commits), "")


def changes_of(root: Path) -> Changes:
    """Whether files of src/ were changed since the commit, as git says, if it is there and trusts the folder."""
    command = ["git", "-C", str(root), "status", "--porcelain", "--ignore-submodules", "--", "src"]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return "some" if done.stdout.strip() else "none"


def _checksum() -> str:
    digest = hashlib.blake2b(digest_size=8)
    try:
        for path in sorted(path for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts and path.is_file()):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0{len(content)}\0".encode() + content)
    except OSError:
        return ""
    return digest.hexdigest()
