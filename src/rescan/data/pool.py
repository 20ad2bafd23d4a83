"""Mapping a function over many samples in a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any, Optional, TypeVar

import cv2

from rescan.errors import RescanError
from rescan.log import logger, progress
from rescan.stopping import held
from rescan.temporary_folders import locked_folder

Item = TypeVar("Item")
Result = TypeVar("Result")

SOCKETS = "rescan-pool-"  # how the names of folders of sockets begin
LONGEST = 107 - len("/rescan-pool-12345678/pymp-12345678/listener-12345678")  # a socket's path has 107 bytes at most
PATIENCE = 300  # seconds
MOST_IN_CHUNK = 64  # items that a worker takes at once
_main_module = threading.Lock()
CRASHES = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}  # of the code, not from outside


def pooled(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int,
    what: str,
    lost: Optional[Callable[[str], Result]] = None,
    *,
    apart: bool = False,
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, and show the progress.

    If a worker dies, the items that it may have been at are tried again one by one: decoders in C end their process at
    some damaged files.

    Args:
        function: Called in the workers: it, its argument and its result must be picklable; results should be small. It
            may be called twice with an item.
        items: What to call it with. Messages name one by its `str`.
        processes: Number of worker processes; 1 works in this process.
        what: The work in a word, for messages.
        lost: Gives the result of an item that ends its process, from the reason in a few words.
        apart: Whether to leave this process even if `processes` is 1.

    Raises:
        RescanError: An item ends its process, and there is no `lost`; or its process is killed, which is no item's
            fault.
    """
    if processes <= 1 and not apart:
        yield from progress(_watched(map(function, items), items, what), len(items), what)
        return
    results = (
        _in_pool(function, items, processes, what, lost) if processes > 1 else one_by_one(function, items, what, lost)
    )
    yield from progress(_watched(results, items, what), len(items), what)


def _watched(results: Iterable[Result], items: Sequence[Item], what: str) -> Iterator[Result]:
    """Yield the results; where none comes for long, say what is being read: a decoder may hang."""
    done, ended = 0, threading.Event()

    def watch() -> None:
        before = -1
        while not ended.wait(PATIENCE):
            if done == before and done < len(items):
                message = "%s: nothing was finished for %d minutes; being read: %s; if it hangs, take the file out"
                logger.warning(message, what, PATIENCE // 60, items[done])
            before = done

    threading.Thread(target=watch, daemon=True).start()
    try:
        for result in results:
            done += 1
            yield result
    finally:
        ended.set()


def _in_pool(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int,
    what: str,
    lost: Optional[Callable[[str], Result]],
) -> Iterator[Result]:
    context = _context(function)
    chunk = max(1, min(MOST_IN_CHUNK, len(items) // (4 * processes)))
    start = 0
    while start < len(items):
        pool = ProcessPoolExecutor(processes, context, _start_worker)
        try:
            with held():
                results = pool.map(function, items[start:], chunksize=chunk)
            for result in results:
                yield result
                start += 1
        except (BrokenProcessPool, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            # Where a worker ends early, the pool may find its own pipe closed: an OSError without a number.
            suspects = items[start : start + chunk * (processes + 1)]  # more are never under way
            message = "%s: a worker process ended, for a damaged file or for memory; the next %d are read one by one"
            logger.warning(message, what, len(suspects))
            for result in one_by_one(function, suspects, what, lost):
                yield result
                start += 1
        finally:
            pool.shutdown(cancel_futures=True)


def one_by_one(
    function: Callable[[Item], Result], items: Sequence[Item], what: str, lost: Optional[Callable[[str], Result]] = None
) -> Iterator[Result]:
    """Yield `function(item)` for each item, from another process, and from a new one behind each item that ends it.

    See `pooled` for arguments and errors.
    """
    context = _context(function)
    done = 0
    while done < len(items):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_work_through, args=(function, items[done:], sending), daemon=True)
        with held(), _without_main(function):
            process.start()
        sending.close()  # then it is closed when the process ends
        try:
            while done < len(items):
                result, error = receiving.recv()
                if error is not None:
                    raise error
                yield result
                done += 1
        except (EOFError, ConnectionError):
            process.join()
            yield _of_lost(items[done], process.exitcode or 0, what, lost)
            done += 1
        finally:
            receiving.close()
            process.kill()
            process.join()


@contextmanager
def _without_main(function: Callable[..., object]) -> Iterator[None]:
    """Let processes start without the main module, which none of them needs: a script of three lines would run again.

    Args:
        function: What they call; if it is of the main module, that stays.
    """
    with _main_module:  # threads may start processes at the same time
        main = sys.modules["__main__"]
        if getattr(function, "func", function).__module__ != "__main__":
            sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _context(function: Callable[..., object]) -> Any:
    _keep_sockets_apart()
    # Forking this process would copy its threads' locks but not its threads: OpenCV's pool then hangs in the workers.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, getattr(function, "func", function).__module__])
    resource_tracker.ensure_running()  # by itself, for it ends by letting signals through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the server inherits: while it imports
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@lru_cache(maxsize=1)  # once in a process
def _keep_sockets_apart() -> None:
    """Let multiprocessing keep its sockets in a folder that is locked; remove those of processes that were killed."""
    folder, before = str(locked_folder(SOCKETS, LONGEST)[0]), tempfile.tempdir
    util.Finalize(None, shutil.rmtree, (folder, True), exitpriority=-101)  # behind that of what is in it
    tempfile.tempdir = folder
    try:
        util.get_temp_dir()
    finally:
        tempfile.tempdir = before


def _work_through(function: Callable[[Item], Result], items: Sequence[Item], sending: Connection) -> None:
    _start_worker()
    for item in items:
        answer: Any
        try:
            answer = function(item), None
        except Exception as error:  # noqa: BLE001 - raised again where the results are wanted
            answer = None, error
        sending.send(answer)


def _of_lost(item: Item, code: int, what: str, lost: Optional[Callable[[str], Result]]) -> Result:
    """The result of an item whose process ended, by its exit code."""
    if code >= 0:  # no decoder ends a process so
        raise RescanError(f"{what}: {item}: its process ended by itself (exit code {code}); why may stand above")
    name = signal.Signals(-code).name
    if -code not in CRASHES:
        remedy = "give it more memory, or take the file out"
        raise RescanError(f"{what}: {item}: its process was killed ({name}), most likely for memory; {remedy}")
    reason = f"its decoder ended the process ({name}): damaged, or too large for memory"
    if lost is None:
        raise RescanError(f"{what}: {item}: {reason}; mend the file, or take it out")
    return lost(reason)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for their parent, with which they end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(1)  # the processes are the parallelism
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker with its parent; the workers of a killed step would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
