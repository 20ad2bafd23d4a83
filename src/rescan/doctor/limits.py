"""What the machine lets a job use: cores, memory (with the limits of cgroups and SLURM), shared memory, file locks."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

CGROUPS, MEMORY, SHARED = Path("/sys/fs/cgroup"), Path("/proc/meminfo"), Path("/dev/shm")  # noqa: S108 - only looked at
OWN = Path("/proc/self/cgroup")


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
    lines = (line.split() for line in MEMORY.read_text().splitlines()) if MEMORY.exists() else ()
    values = {words[0].rstrip(":"): int(words[1]) / 2**20 for words in lines if len(words) > 1}
    total = values.get("MemTotal", 0.0)
    text = f"{total:.0f} GiB, {values.get('MemAvailable', 0.0):.0f} GiB free"
    least = min((int(limit) / 2**30 for limit in _of_cgroups("memory.max") if limit.isdecimal()), default=total)
    if least < total:
        text += f"; the cgroup allows {least:.1f} GiB, and what needs more is killed"
    if (given := os.environ.get("SLURM_MEM_PER_NODE", "")).isdecimal():
        text += f"; SLURM gave {int(given) / 1024:.1f} GiB"
    return text


def _of_cgroups(name: str) -> list[str]:
    """A limit in this process's cgroup and in all above it."""
    own = [line.partition("::")[2].strip("/") for line in OWN.read_text().splitlines()] if OWN.exists() else []
    folders = {CGROUPS, *(folder for path in own if path for folder in (CGROUPS / path, *(CGROUPS / path).parents))}
    files = [folder / name for folder in folders if folder.is_relative_to(CGROUPS) and (folder / name).is_file()]
    return [file.read_text().strip() for file in files]
