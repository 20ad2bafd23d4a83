"""How much memory a job may use, and how much of it is used: limits of cgroups, SLURM, the process, the machine."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rescan.log import logger

CGROUPS, MEMORY, PROCESSES = Path("/sys/fs/cgroup"), Path("/proc/meminfo"), Path("/proc")
OWN = Path("/proc/self/cgroup")
GIB = 2**30
OF_PROCESS = "ulimit -v"
NEARLY_FULL = 0.95  # of a limit
LOOK_SECONDS = 0.5
REMEDY = "use a smaller batch or fewer processes, or give it more memory"


class Limit(NamedTuple):
    """A limit of memory.

    Attributes:
        of: Who sets it.
        size: Bytes.
        used: Gives the bytes that are in use, without those that the system can take back, such as files' pages.
    """

    of: str
    size: int
    used: Callable[[], int]


def limits() -> list[Limit]:
    """All limits that are known here, the machine's own memory the last."""
    machine = meminfo()
    total = machine.get("MemTotal", 0)
    found = [*_of_cgroups(), *_of_slurm()]
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if space != resource.RLIM_INFINITY:
        found.append(Limit(OF_PROCESS, space, _address_space))
    found = [limit for limit in found if not total or limit.size < total]
    if total:
        found.append(Limit("the machine", total, lambda: total - meminfo().get("MemAvailable", total)))
    return found


def free_memory() -> int:
    """Bytes that this process may still take; very many where no limit is known."""
    return max(0, min((limit.size - limit.used() for limit in limits()), default=2**62))


def meminfo() -> Mapping[str, int]:
    """The machine's memory, in bytes, by the kernel's names: MemTotal, MemAvailable, …; empty where it does not say."""
    with suppress(OSError):
        lines = (line.split() for line in MEMORY.read_text("ascii").splitlines())
        return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}
    return {}


def check_need(what: str, needed: float) -> None:
    """Say so if a job will probably need more memory than it may use.

    What one process may use (ulimit -v) is not counted: it is of addresses, and torch takes many that it never uses.

    Args:
        what: The job.
        needed: Bytes, as estimated.
    """
    rooms = [(limit.size - limit.used(), limit) for limit in limits() if limit.of != OF_PROCESS]
    room, limit = min(rooms, key=lambda pair: pair[0], default=(0, None))
    if limit is not None and needed > room:
        logger.warning(
            "%s: needs about %.1f GiB of memory, of %.1f GiB that %s allows %.1f GiB are free; %s",
            *(what, needed / GIB, limit.size / GIB, limit.of, max(0, room) / GIB, REMEDY),
        )


@contextmanager
def watched() -> Iterator[None]:
    """Warn once when a limit is nearly reached while the block runs, so that the log explains if the kernel kills."""
    over = threading.Event()
    threading.Thread(target=_watch, args=(over,), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(over: threading.Event) -> None:
    known = limits()
    while not over.wait(LOOK_SECONDS):
        for limit in known:
            used = limit.used()
            if used > NEARLY_FULL * limit.size:
                logger.warning(
                    "memory is nearly full: %.2f of the %.2f GiB that %s allows; what needs more is killed: %s",
                    *(used / GIB, limit.size / GIB, limit.of, REMEDY),
                )
                return


def _of_cgroups() -> Iterator[Limit]:
    """Yield the limits of this process's cgroups and of those above them, of both versions."""
    for folder in cgroup_folders("memory"):
        for maximum, current, prefix in (
            ("memory.max", "memory.current", ""),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
        ):
            with suppress(OSError, ValueError):  # the first says "max" where it has none
                size = int((folder / maximum).read_text())
                yield Limit("the cgroup", size, lambda f=folder, c=current, p=prefix: _used_in(f, c, p))  # type: ignore[misc]


def cgroup_folders(controller: str) -> list[Path]:
    """The folders of this process's cgroups and of those above them, of a controller (version 1) and of version 2."""
    with suppress(OSError):
        lines = [line.split(":", 2) for line in OWN.read_text().splitlines()]
        tops = {"": CGROUPS, controller: CGROUPS / controller}
        own = [
            (tops[name], tops[name] / path.strip("/"))
            for _, names, path in lines
            for name in names.split(",")
            if name in tops
        ]
        found = {above: None for top, folder in own for above in (folder, *folder.parents) if above.is_relative_to(top)}
        return [folder for folder in {**found, **dict.fromkeys(tops.values())} if folder.is_dir()]
    return []


def _used_in(folder: Path, current: str, prefix: str) -> int:
    """What a cgroup uses, without the pages of files."""
    with suppress(OSError, ValueError):
        lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        pages = {words[0]: int(words[1]) for words in lines if len(words) == 2}
        files = sum(pages.get(f"{prefix}{kind}", 0) for kind in ("active_file", "inactive_file"))
        return int((folder / current).read_text()) - files
    return 0


def _of_slurm() -> Iterator[Limit]:
    """Yield what SLURM gave the job on this machine; what is used is that of this process and of those below it."""
    with suppress(ValueError):
        if text := os.environ.get("SLURM_MEM_PER_NODE"):
            yield Limit("SLURM", int(text) * 2**20, _own_tree)
        elif text := os.environ.get("SLURM_MEM_PER_CPU"):
            yield Limit("SLURM", int(text) * int(os.environ.get("SLURM_CPUS_ON_NODE", "1")) * 2**20, _own_tree)


def _own_tree(process: str = "self") -> int:
    """Bytes of this process and all below it, without the pages of files."""
    own = 0
    with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
        lines = (PROCESSES / process / "status").read_text().splitlines()
        own = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
    return own + sum(map(_own_tree, children(process)))


def children(process: str = "self") -> Iterator[str]:
    """Yield the numbers of the running processes that a process has started."""
    for tasks in (PROCESSES / process / "task").glob("*/children"):
        with suppress(OSError):  # it has ended meanwhile
            yield from tasks.read_text().split()


def _address_space() -> int:
    with suppress(OSError, ValueError):
        return int((PROCESSES / "self/statm").read_text().split()[0]) * resource.getpagesize()
    return 0
