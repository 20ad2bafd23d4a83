"""The one line about a file between steps that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rescan.errors import RescanError


def worded(value: Any) -> str:
    """A value of a table, as a message shows it."""
    return repr(value.item() if hasattr(value, "item") else value)


def missing(path: str | Path, step: str) -> RescanError:
    """The error for a file that is not there, made by `step`."""
    return RescanError(f"{path}: no such file; run {step} first")


def damaged(path: str | Path, step: str, fault: str) -> RescanError:
    """The error for a file of `step` that is there but cannot be used."""
    return RescanError(f"{path}: {' '.join(fault.split())}; delete it and run {step} again")
