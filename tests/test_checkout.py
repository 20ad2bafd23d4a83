"""The commit of a checkout is read as git would say it, without git; changes are known only with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from rescan import checkout

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

GIT = {
    **os.environ,
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "a"),
    **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "a@example.org"),
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, env=GIT)
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "src").mkdir(parents=True)
    (root / "src/a.py").write_text("1")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "checkout")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=one")
    return root


@pytest.mark.parametrize(
    "arrange",
    [
        lambda root: root,
        lambda root: [root, git(root, "pack-refs", "--all")][0],
        lambda root: [root, git(root, "checkout", "--quiet", "--detach")][0],
        lambda root: [root, git(root, "checkout", "--quiet", "-b", "some/branch")][0],
        lambda root: [root.parent / "tree", git(root, "worktree", "add", "--quiet", str(root.parent / "tree"))][0],
        lambda root: [
            root.parent / "tree",
            git(root, "worktree", "add", "--quiet", str(root.parent / "tree")),
            git(root, "pack-refs", "--all"),
        ][0],
    ],
    ids=["loose", "packed", "detached", "branch", "worktree", "packed worktree"],
)
def test_the_commit_is_that_of_git(root, arrange):
    place = arrange(root)
    commit = git(place, "rev-parse", "HEAD")
    assert checkout.commit_of(place) == commit
    assert len(commit) == 40


def test_what_is_no_checkout_has_no_commit(tmp_path, root):
    assert checkout.commit_of(tmp_path) == ""
    for content in ("ref: refs/heads/none", "gitdir", "\udcff", ""):
        (root / ".git/HEAD").write_text(content, "utf-8", "surrogateescape")
        assert checkout.commit_of(root) == ""
    shutil.rmtree(root / ".git")
    (root / ".git").write_text("gitdir: /nowhere")
    assert checkout.commit_of(root) == ""


def test_changes_are_those_of_the_code(root):
    assert checkout.changes_of(root) == "none"
    (root / "config.yaml").write_text("x")  # no code
    assert checkout.changes_of(root) == "none"
    (root / "src/b.py").write_text("2")
    assert checkout.changes_of(root) == "some"
    (root / "src/b.py").unlink()
    (root / "src/a.py").write_text("2")
    assert checkout.changes_of(root) == "some"


def test_without_git_or_its_trust_changes_are_unknown(root, tmp_path, monkeypatch):
    false = tmp_path / "bin/git"
    false.parent.mkdir()
    for script in ("echo 'fatal: detected dubious ownership' >&2; exit 128", "exec sleep 20"):
        false.write_text(f"#!/bin/sh\n{script}\n")
        false.chmod(0o755)
        monkeypatch.setenv("PATH", f"{false.parent}:{os.environ['PATH']}")
        monkeypatch.setattr(checkout, "SECONDS", 0.5)
        began = time.monotonic()
        assert checkout.changes_of(root) == "unknown"
        assert time.monotonic() - began < 10
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout.changes_of(root) == "unknown"
    assert checkout.commit_of(root) == git_commit(root)


def git_commit(root: Path) -> str:
    return (root / ".git/refs/heads/main").read_text().strip()


def test_the_code_is_known_by_its_checksum(monkeypatch, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("1")
    monkeypatch.setattr(checkout, "PACKAGE", package)
    first = checkout._checksum()
    (package / "__pycache__").mkdir()
    (package / "__pycache__/a.pyc").write_text("x")
    assert checkout._checksum() == first
    (package / "a.py").write_text("2")
    assert checkout._checksum() not in (first, "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("none", f"commit {'a' * 12}"),
        ("some", f"commit {'a' * 12} with changes"),
        ("unknown", f"commit {'a' * 12}, changes unknown"),
    ],
)
def test_code_in_words(changes, words):
    assert checkout.in_words("a" * 40, changes) == words
    assert checkout.in_words("", "unknown") == "an unknown commit"
