"""Which device to train on; and a GPU's lease: at most `jobs_per_gpu` Rescan jobs share one."""

from __future__ import annotations

import ctypes
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rescan.errors import RescanError
from rescan.log import logger
from rescan.training import cards
from rescan.training.cards import Card, Memory

if TYPE_CHECKING:
    import torch

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 600.0  # for GPUs that are full
VISIBLE = "CUDA_VISIBLE_DEVICES"
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


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

        `CUDA_VISIBLE_DEVICES` is set to the one GPU. Where it is set already, the GPU is one of those that it names; if
        that is a single one (a scheduler's choice, or the user's), it is taken without waiting. All this is before
        anything starts CUDA, so it comes first in a job.

        Yields:
            The device.

        Raises:
            RescanError: The device must be `cuda`, and torch can use none; or all GPUs stay full of other programs'
                memory; or the temporary folder cannot hold locks.
        """
        import torch

        with ExitStack() as stack:
            wanted, named = self.device != "cpu" and _built_for_gpus(), os.environ.get(VISIBLE)
            there = cards.cards() if wanted else []
            choices = cards.visible(named, there) if wanted else []
            if choices:
                card = stack.enter_context(slot(choices, self.jobs_per_gpu, wait=named is None or len(choices) > 1))
                stack.enter_context(_environment({VISIBLE: card.name, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}))
            fault = None if self.device == "cpu" else why_unusable(there, named)
            if self.device == "cuda" and fault is not None:
                raise RescanError(f"device=cuda: {fault}; or use device=cpu; see `rescan doctor`")
            usable = self.device != "cpu" and fault is None
            if not usable:
                stack.close()  # a GPU that this torch cannot use is left to others
                if choices and there:
                    logger.warning("%s: this runs on the CPU; see `rescan doctor`", fault)
            if self.threads is not None:
                torch.set_num_threads(self.threads)
            if not usable:
                keep_freed_memory()
            yield torch.device("cuda" if usable else "cpu")


def keep_freed_memory() -> None:
    """Let GNU's C library keep what one batch frees for the next, up to 256 MB at the end of its heap.

    By default it gives every large tensor back to the kernel, which clears each of its pages when they are asked for
    again: a quarter of the processor time of a small network's training.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 256 << 20)


def _built_for_gpus() -> bool:
    import torch

    return bool(torch.backends.cuda.is_built())  # type: ignore[no-untyped-call]


def why_unusable(there: Sequence[Card], named: str | None) -> str | None:
    """Why torch can use no GPU, and what to do; None if it can. This starts CUDA."""
    import torch

    if not _built_for_gpus():
        return f"torch {torch.__version__} is built for CPUs only; install one that is built for CUDA"
    if torch.cuda.is_available():
        capability, kernels = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
        if cards.runs_on(capability, kernels):
            return None
        model = f"{torch.cuda.get_device_name()} (compute capability {capability[0]}.{capability[1]})"
        return (
            f"{model} cannot run torch {torch.__version__}, which is built for {', '.join(kernels)}; use another image"
        )
    if not there:
        return cards.why_none()
    if not cards.visible(named, list(there)):
        return f"{VISIBLE}={named!r} names none of the {len(there)} GPUs here; unset it"
    return f"torch {torch.__version__} can use none of the {len(there)} GPUs here; the driver may be too old for it"


@contextmanager
def slot(choices: Sequence[Card], jobs_per_gpu: int, *, wait: bool = True) -> Iterator[Card]:
    """Hold a slot of the card with the fewest Rescan jobs, among these the one with the most free memory; yield it.

    A slot is a lock on `rescan-gpu-<card>.<slot>.lock` in the machine's temporary folder: the kernel frees it, whatever
    becomes of its holder. While none is free, it waits; while all that are free are full of other programs' memory,
    for `PATIENCE_SECONDS` at most.

    Args:
        choices: The cards, one or more.
        jobs_per_gpu: How many slots each has.
        wait: Whether to wait; else the first card is taken whatever holds it.

    Raises:
        RescanError: The cards stay full; or the temporary folder cannot hold locks.
    """
    handle, card = None, None
    began, told = time.monotonic(), set()
    while card is None:
        memories = cards.memories()
        full = {c: memories[c.name] for c in choices if c.name in memories and memories[c.name].full}
        card, handle, all_taken = _choose(choices, jobs_per_gpu, memories, avoided=full if wait else {})
        if not wait:
            if full:
                logger.warning("%s, chosen by %s, has only %s", choices[0], VISIBLE, full[choices[0]])
            if card is None:
                logger.info("%s is shared with other jobs, as %s names no other", choices[0], VISIBLE)
            card = choices[0]
        elif card is None:
            said = ", ".join(f"{card} has {memory}" for card, memory in full.items())
            if not all_taken and time.monotonic() - began > PATIENCE_SECONDS:
                raise RescanError(
                    f"other programs fill the GPUs ({said}); end them, name another GPU in {VISIBLE}, or use device=cpu"
                )
            if all_taken not in told:
                told.add(all_taken)
                taken = f"no GPU is free ({len(choices)} here, jobs_per_gpu: {jobs_per_gpu}): waiting for one"
                logger.info(taken if all_taken else f"other programs fill the GPUs: {said}: waiting")
            if all_taken:
                began = time.monotonic()
            time.sleep(POLL_SECONDS if all_taken else 10 * POLL_SECONDS)
    try:
        yield card
    finally:
        if handle is not None:
            os.close(handle)


def _choose(
    choices: Sequence[Card], jobs_per_gpu: int, memories: Mapping[str, Memory], avoided: Mapping[Card, Memory]
) -> tuple[Card | None, int | None, bool]:
    """Lock a slot of the best card; return the card and the lock's descriptor, or None twice; and if all are taken.

    A card of `avoided` is not for the first Rescan job on it: for the next one, the memory may be the first one's.
    """
    chooser = _lock("rescan-gpu.lock", wait=True)  # one at a time: a slot is probed by locking it
    slots = {card: [_lock(_file(card, number)) for number in range(jobs_per_gpu)] for card in choices}
    free = {card: [handle for handle in handles if handle is not None] for card, handles in slots.items()}
    some = [card for card in choices if free[card]]
    fitting = [card for card in some if card not in avoided or len(free[card]) < jobs_per_gpu]
    nothing = Memory(0, 0)
    best = max(fitting, key=lambda c: (len(free[c]), memories.get(c.name, nothing).free), default=None)
    handle = None if best is None else free[best].pop(0)
    for other in [chooser, *chain.from_iterable(free.values())]:
        if other is not None:
            os.close(other)
    return best, handle, not some


def _file(card: Card, number: int) -> str:
    return f"rescan-gpu-{card.name.replace('/', '_')}.{number}.lock"


def _lock(name: str, *, wait: bool = False) -> int | None:
    """Lock a file of the temporary folder; return its descriptor, or None if another process holds it.

    Several users share the files. Reading is enough for flock, so one user's file of mode 0644 is another's to lock;
    but only if it is opened without O_CREAT, which Linux refuses for another's file in a sticky folder
    (fs.protected_regular). Links are not followed and pipes not waited for: anybody may have put them there.
    """
    path = Path(tempfile.gettempdir()) / name
    try:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.fchmod(handle, 0o644)  # whatever the umask is
        except FileExistsError:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise RescanError(
            f"{path}: cannot be opened ({error.strerror}); remove it, or set TMPDIR to a folder of this machine that "
            "can be written to"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError as error:
        os.close(handle)
        raise RescanError(
            f"{path}: cannot be locked ({error.strerror}): this file system has no flock; set TMPDIR to a local folder"
        ) from None
    return handle


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment while the block runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
