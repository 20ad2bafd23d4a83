"""Which device to train on; and a GPU's lease: at most `jobs_per_gpu` Rescan jobs share one."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rescan.errors import RescanError
from rescan.log import logger

if TYPE_CHECKING:
    import torch

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Machine:
    """What a job may use of the machine that it runs on.

    Attributes:
        device: `auto` (a GPU if torch can use one), `cpu` or `cuda`.
        threads: Torch's threads, which change last digits on a CPU; as many as torch chooses if None.
        jobs_per_gpu: How many jobs may share a GPU.
    """

    device: str = "auto"
    threads: int | None = 1
    jobs_per_gpu: int = 1

    @contextmanager
    def lease(self) -> Iterator[torch.device]:
        """Hold the device: for a GPU, one of its slots, until the block ends; waits while all are taken.

        `CUDA_VISIBLE_DEVICES` chooses the GPU; where it is set already (by SLURM, or by the user) there is no lease. It
        is set before anything initializes CUDA, so this comes first in a job.

        Yields:
            The device.

        Raises:
            RescanError: The device must be `cuda`, and torch can use none.
        """
        import torch

        with ExitStack() as stack:
            if self.device != "cpu" and "CUDA_VISIBLE_DEVICES" not in os.environ and (gpus := count_gpus()):
                os.environ["CUDA_VISIBLE_DEVICES"] = str(stack.enter_context(slot(gpus, self.jobs_per_gpu)))
                stack.callback(os.environ.pop, "CUDA_VISIBLE_DEVICES", None)
            usable = self.device != "cpu" and torch.cuda.is_available()
            if self.device == "cuda" and not usable:
                raise RescanError(
                    "device=cuda: torch can use no GPU here; use device=cpu or auto, or see `rescan doctor`"
                )
            if not usable:
                stack.close()  # a GPU that this torch cannot use is left to others
            if self.threads is not None:
                torch.set_num_threads(self.threads)
            yield torch.device("cuda" if usable else "cpu")


def count_gpus() -> int:
    """Count the machine's NVIDIA GPUs without initializing CUDA."""
    if devices := list(Path("/dev").glob("nvidia[0-9]*")):
        return len(devices)
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    listing = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)  # noqa: S603 - no user input
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


@contextmanager
def slot(gpus: int, jobs_per_gpu: int) -> Iterator[int]:
    """Hold a slot of the GPU with the most free ones, and yield the GPU's number; wait while none is free.

    A slot is a lock on `rescan-gpu<k>.<slot>.lock` in the machine's temporary folder: the kernel frees it, whatever
    becomes of its holder.
    """
    choice = _choose(gpus, jobs_per_gpu)
    if choice is None:
        logger.info("all %d GPUs are taken by %d jobs each: waiting for one", gpus, jobs_per_gpu)
    while choice is None:
        time.sleep(POLL_SECONDS)
        choice = _choose(gpus, jobs_per_gpu)
    gpu, handle = choice
    try:
        yield gpu
    finally:
        os.close(handle)


def _choose(gpus: int, jobs_per_gpu: int) -> tuple[int, int] | None:
    """Lock a slot of the least loaded GPU; return the GPU's number and the lock's descriptor, or None if none is."""
    chooser = _lock("rescan-gpu.lock", wait=True)  # one at a time: a slot is probed by locking it
    slots = {gpu: [_lock(f"rescan-gpu{gpu}.{number}.lock") for number in range(jobs_per_gpu)] for gpu in range(gpus)}
    free = {gpu: [handle for handle in handles if handle is not None] for gpu, handles in slots.items()}
    gpu = max(free, key=lambda gpu: len(free[gpu]))
    choice = (gpu, free[gpu].pop(0)) if free[gpu] else None
    for handle in [chooser, *chain.from_iterable(free.values())]:
        if handle is not None:
            os.close(handle)
    return choice


def _lock(name: str, *, wait: bool = False) -> int | None:
    """Lock a file of the temporary folder; return its descriptor, or None if another process holds it."""
    path = Path(tempfile.gettempdir()) / name
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        handle = os.open(path, os.O_RDONLY)  # reading is enough for flock, so that several users can share the files
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
