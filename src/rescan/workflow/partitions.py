"""The partitions of a SLURM cluster that jobs go to: whether they are there, and what a job may ask of their nodes."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any, NamedTuple

from rescan import catalogue
from rescan.errors import RescanError

KEY = "slurm_partition"
NAMES = re.compile(r"[\w.,-]+")  # one, or several with commas between; other values are expressions of Snakemake's
FORMAT = "%P|%c|%m|%l"  # partition, * behind the default; cores and MB of its nodes; its time limit
TIME = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")  # days-hours:minutes:seconds


class Limits(NamedTuple):
    """What a job may ask for, that is not to stay in the queue for ever."""

    cores: int = sys.maxsize  # of the smallest node
    memory_mb: int = sys.maxsize  # of the largest node
    minutes: int = sys.maxsize


def check_partitions(settings: Any, threads: int) -> None:
    """Check that the partitions that jobs are to go to exist, and that their nodes have the cores of a training.

    Args:
        settings: Snakemake's settings of resources: `default_resources.args` are texts `name=value`,
            `overwrite_resources` maps rule to name to Snakemake's resource, whose `raw` is the text.
        threads: Of a training.

    Raises:
        RescanError: A partition is not there, its nodes have too few cores, or SLURM does not answer.
    """
    names = _named(settings)
    try:
        rows = _sinfo()
    except (OSError, subprocess.CalledProcessError) as error:
        why = " ".join(str(getattr(error, "stderr", "") or error).split())
        raise RescanError(f"SLURM does not answer ({why}); run this on a login node of the cluster") from None
    there = {name.rstrip("*") for name, *_ in rows}
    for name in sorted(names - there):
        raise RescanError(f"{KEY}: no partition {name!r}{catalogue.suggest(name, there)}")
    chosen = _chosen(rows, names)
    for name in sorted({row[0].rstrip("*") for row in chosen} - {row[0].rstrip("*") for row in _with_nodes(chosen)}):
        raise RescanError(f"{KEY}: the partition {name!r} has no nodes; choose another one of those that sinfo lists")
    cores = _limits(rows, names).cores
    if threads > cores:
        raise RescanError(
            f"threads: {threads}, but a node of the cluster has {cores} cores; add --config threads={cores}"
        )


def limits(settings: Any) -> Limits:
    """The limits of the partitions that jobs are to go to: of the default one where none is named; none without SLURM.

    Args:
        settings: As for `check_partitions`.
    """
    try:
        rows = _sinfo()
    except (OSError, subprocess.CalledProcessError):
        return Limits()
    return _limits(rows, _named(settings))


def _chosen(rows: list[list[str]], names: set[str]) -> list[list[str]]:
    """The rows of the partitions that jobs go to."""
    default = [row for row in rows if row[0].endswith("*")] or rows
    return [row for row in rows if row[0].rstrip("*") in names] if names else default


def _with_nodes(rows: list[list[str]]) -> list[list[str]]:
    """The rows that tell of nodes."""
    return [row for row in rows if all(text.isdecimal() and int(text) for text in row[1:3])]


def _limits(rows: list[list[str]], names: set[str]) -> Limits:
    chosen = _with_nodes(_chosen(rows, names))
    if not chosen:
        return Limits()
    return Limits(
        min(int(cores) for _, cores, _, _ in chosen),
        max(int(memory) for _, _, memory, _ in chosen),
        min(_minutes(time) for *_, time in chosen),
    )


def _named(settings: Any) -> set[str]:
    values = [
        value for name, _, value in (text.partition("=") for text in settings.default_resources.args) if name == KEY
    ]
    for resources in settings.overwrite_resources.values():
        values += [str(resource.raw) for name, resource in resources.items() if name == KEY]
    return {name for value in values if NAMES.fullmatch(value) for name in value.split(",")}


def _sinfo() -> list[list[str]]:
    """A row per partition and kind of its nodes."""
    command = ["sinfo", "--noheader", "--exact", f"--format={FORMAT}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
    return [row for row in (line.split("|") for line in answer.stdout.splitlines()) if len(row) == FORMAT.count("%")]


def _minutes(text: str) -> int:
    """A time limit of SLURM's; "infinite" and others that are no time are no limit."""
    match = TIME.fullmatch(text)
    days, hours, minutes = (int(match[place] or 0) for place in (1, 2, 3)) if match else (0, 0, sys.maxsize)
    return (days * 24 + hours) * 60 + minutes
