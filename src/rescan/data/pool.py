"""Mapping a function over many samples in a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from rescan.errors import RescanError
from rescan.log import progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def pooled(function: Callable[[Item], Result], items: Sequence[Item], processes: int, what: str) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, and show the progress.

    Args:
        function: Called in the workers: it, its argument and its result must be picklable; results should be small.
        items: What to call it with.
        processes: Number of worker processes; 1 works in this process.
        what: The work in a word, for the progress line.

    Raises:
        RescanError: A worker was killed.
    """
    if processes <= 1:
        yield from progress(map(function, items), len(items), what)
        return
    # Forking this process would copy its threads' locks but not its threads: OpenCV's pool then hangs in the workers.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([getattr(function, "func", function).__module__])
    pool = ProcessPoolExecutor(processes, context, _start_worker)
    try:
        chunk = max(1, min(64, len(items) // (4 * processes)))
        yield from progress(pool.map(function, items, chunksize=chunk), len(items), what)
    except BrokenProcessPool:
        raise RescanError(f"{what}: a worker process was killed, most likely for memory; use fewer threads") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(1)  # the processes are the parallelism
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker with its parent; the workers of a killed step would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
