"""Work that a thread does ahead, while what was made before is used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import TypeVar, Union

Entry = TypeVar("Entry")


def ahead(entries: Iterator[Entry], depth: int, name: str) -> Generator[Entry, None, None]:
    """Yield entries that a thread makes ahead. What fails in the thread is raised here.

    Args:
        entries: Runs in the thread from the first one that is asked for; at the end it is let go there.
        depth: How many wait, made.
        name: Of the thread.
    """
    ready: queue.Queue[Union[tuple[Entry], BaseException, None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(made: Union[tuple[Entry], BaseException, None]) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put(made, timeout=0.1)
                return

    def work(entries: Iterator[Entry]) -> None:
        try:
            for entry in entries:
                put((entry,))
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads
            put(error)

    thread = threading.Thread(target=work, args=(entries,), name=name, daemon=True)
    del entries
    thread.start()
    try:
        while (made := ready.get()) is not None:
            if isinstance(made, BaseException):
                raise made
            yield made[0]
    finally:
        stop.set()
        thread.join()
