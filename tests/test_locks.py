"""Of two at once one works and the other waits; a lock outlives no process."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from rescan import locks
from rescan.errors import RescanError
from rescan.locks import lock_of, locked

HOLD = """
import sys
from rescan.locks import locked
with locked(sys.argv[1], "step"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(locks, "POLL_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(locks.logger, "propagate", True)


@contextmanager
def held_by_another_process(place):
    command = [sys.executable, "-c", HOLD, str(place)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.communicate("", timeout=60)


def test_a_second_one_waits_and_says_for_whom_or_stops_at_a_reason(tmp_path, monkeypatch, caplog):
    place = tmp_path / "new/images.npy"
    with held_by_another_process(place) as process:
        holder = rf"{place}: another `step` of it is under way \(pid {process.pid} on {socket.gethostname()}\)"
        reasons = iter([None, None, "stopped in time"]).__next__
        with (
            pytest.raises(RescanError, match=f"{holder}; stopped in time"),
            locked(place, "step", reasons),
        ):
            pass
        monkeypatch.setattr(locks.time, "sleep", lambda _: process.communicate(""))  # it ends while it is waited for
        with caplog.at_level("INFO", "rescan"):
            caplog.clear()
            with locked(place, "step"):
                pass
        assert len(caplog.messages) == 1
        assert caplog.messages[0].endswith("waiting for it")
    with locked(place, "step"):
        assert f"pid {os.getpid()} on" in lock_of(place).read_text()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    with held_by_another_process(tmp_path / "a") as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        with locked(tmp_path / "a", "step", lambda: "must not wait"):
            pass


def test_a_lock_that_was_removed_keeps_nobody_out(tmp_path, monkeypatch):
    """Another process could take the lock of the new folder: this one goes on with that, too."""
    folder = tmp_path / "study"
    with held_by_another_process(folder / "a") as process:

        def remove(_):
            shutil.rmtree(folder)
            process.communicate("")

        monkeypatch.setattr(locks.time, "sleep", remove)
        with locked(folder / "a", "step"):
            assert f"pid {os.getpid()} on" in lock_of(folder / "a").read_text()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_once_or_refused(tmp_path, monkeypatch, number, caplog):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(locks, "_without_locks", set())
    for name in ("a", "b"):
        with locked(tmp_path / name, "step"):
            pass
    assert [message.partition("file system ")[2] for message in caplog.messages] == [
        f"without locks ({os.strerror(number)}), which keep two step apart; do not start two at once"
    ]
    with pytest.raises(RescanError, match=r"without locks .*; mount it") as caught, locked(tmp_path, "s", must=True):
        pass
    assert "\n" not in str(caught.value)
