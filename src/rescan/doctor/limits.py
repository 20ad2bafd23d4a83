"""What the machine lets a job use: cores, memory (with the limits of cgroups and SLURM), shared memory, file locks."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rescan import memory

SHARED = Path("/dev/shm")  # noqa: S108 - only looked at


def limit_findings(results: Path) -> Iterator[tuple[str, str]]:
    """Yield cores, memory, shared memory and whether the folders that need locks have them."""
    yield "cores", _cores()
    yield "memory", _memory()
    if SHARED.exists():
        yield "/dev/shm", f"{shutil.disk_usage(SHARED).total / 1e9:.2g} GB; any size will do"  # noqa: S108 - as above
    folder = results if results.is_dir() else Path()
    yield "results", _locks(folder, "mount it with flock, or make results/<scale>/.state a link")
    try:
        yield "temporary", _locks(Path(tempfile.gettempdir()), "set TMPDIR to a local folder")
    except FileNotFoundError as error:
        yield "temporary", f"{error.strerror}: set TMPDIR to a local folder that can be written to"


def _locks(folder: Path, remedy: str) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                text = "file locks work"
            except OSError as error:
                text = f"no file locks ({error.strerror}), which trainings need: {remedy}"
    except OSError as error:
        text = f"cannot be written to ({error.strerror})"
    return f"{folder.resolve()}: {text}"


def _cores() -> str:
    count = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    limits = [f"{allowed} of them are this process's"] if allowed < count else []
    shares = [text.split() for text in _of_cgroups("cpu.max")]
    shares = [share for share in shares if len(share) == 2 and share[0].isdecimal()]
    if shares:
        least = min(int(quota) / int(period) for quota, period in shares)
        limits += [f"the cgroup allows {least:g}"] if least < count else []
    if "SLURM_JOB_ID" in os.environ:
        limits.append(f"SLURM gave {os.environ.get('SLURM_CPUS_ON_NODE', '?')}")
    return "; ".join([str(count), *limits]) + (": give snakemake no more --cores than that" if limits else "")


def _memory() -> str:
    machine = memory.meminfo()
    total, free = (machine.get(name, 0) / memory.GIB for name in ("MemTotal", "MemAvailable"))
    text = f"{total:.0f} GiB, {free:.0f} GiB free"
    least: dict[str, int] = {}
    for limit in memory.limits()[:-1]:
        least[limit.of] = min(limit.size, least.get(limit.of, limit.size))
    said = [f"{of} allows {size / memory.GIB:.1f} GiB" for of, size in least.items()]
    return "; ".join([text, *said]) + (", and what needs more is killed" if said else "")


def _of_cgroups(name: str) -> list[str]:
    """A limit in this process's cgroup and in all above it."""
    files = [folder / name for folder in memory.cgroup_folders("cpu")]
    return [file.read_text().strip() for file in files if file.is_file()]
