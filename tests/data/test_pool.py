from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rescan.data import pool
from rescan.data.pool import one_by_one, pooled
from rescan.errors import RescanError


def root_or_crash(number: int) -> float:
    """The root, or what a decoder in C does with some damaged files."""
    if number < 0:
        os.abort()
    if number == 1000:
        os.kill(os.getpid(), signal.SIGKILL)  # as a machine that runs out of memory
    return math.sqrt(number)


def slow_then_crash(number: int) -> int:
    """Crashes in a chunk behind one that takes longer."""
    if number == 0:
        time.sleep(0.5)
    if number == 13:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number


def crash_in_a_pool(item: str) -> int:
    """Crashes once, as a worker does that shares the memory with others."""
    file, _, number = item.rpartition(":")
    if file and not Path(file).exists():
        Path(file).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return int(number)


@pytest.mark.parametrize("processes", [1, 3])
def test_results_come_in_order(processes):
    assert list(pooled(math.sqrt, [i * i for i in range(200)], processes, "roots")) == list(range(200))


@pytest.mark.parametrize("processes", [1, 3])
def test_what_ends_its_process_is_lost_alone(processes):
    items = [-1, 4, *[16] * 40, -3, 25]
    found = list(pooled(root_or_crash, items, processes, "roots", lambda reason: reason, apart=True))
    reason = "its decoder ended the process (SIGABRT): damaged, or too large for memory"
    assert found == [reason, 2, *[4] * 40, reason, 5]


def test_a_crash_behind_a_slow_chunk_is_found():
    found = list(pooled(slow_then_crash, range(40), 2, "work", lambda reason: reason))
    assert found[13].startswith("its decoder ended the process (SIGSEGV)")
    assert found[:13] + found[14:] == [*range(13), *range(14, 40)]


def test_without_a_result_for_it_a_crash_is_an_error_that_names_the_item():
    with pytest.raises(RescanError, match=r"roots: -1: its decoder ended the process \(SIGABRT\)"):
        list(pooled(root_or_crash, [4, -1], 2, "roots"))


def test_a_process_that_ends_by_itself_is_no_fault_of_the_item():
    with pytest.raises(RescanError, match=r"work: 3: its process ended by itself \(exit code 3\)"):
        list(pooled(os._exit, [3], 2, "work", str))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_kill_from_outside_is_no_fault_of_the_item(processes):
    with pytest.raises(RescanError, match=r"roots: 1000: its process was killed \(SIGKILL\), most likely for memory"):
        list(pooled(root_or_crash, [4, 1000], processes, "roots", lambda reason: reason, apart=True))


def test_what_a_pool_has_no_memory_for_is_done_alone(tmp_path):
    items = ["0", "1", f"{tmp_path / 'once'}:2", "3"]
    assert list(pooled(crash_in_a_pool, items, 2, "work", lambda reason: reason)) == [0, 1, 2, 3]


def test_an_error_of_the_function_reaches_the_caller():
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(pooled(math.sqrt, [1.0, -1.0], 2, "roots"))
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(one_by_one(math.sqrt, [1.0, -1.0], "roots"))


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_read_for_long_is_named(processes, monkeypatch, caplog):
    monkeypatch.setattr(pool, "PATIENCE", 0.2)
    assert len(list(pooled(slow_in_the_middle, range(4), processes, "audit"))) == 4
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("audit: nothing was finished") and "being read: 2;" in line for line in said)


def slow_in_the_middle(number: int) -> int:
    time.sleep(1.5 if number == 2 else 0)
    return number


@pytest.mark.parametrize("apart", [False, True])
def test_ctrl_c_while_the_pool_is_starting_is_one_line(tmp_path, apart):
    """The signal reaches the server of the processes, too, which is importing what they need."""
    slow = "import sys, time\nsys.stderr.write('.\\n')\ntime.sleep(1)\ndef double(number): return 2 * number\n"
    (tmp_path / "slow.py").write_text(slow)
    program = f"""
import sys; sys.path.insert(0, ".")
from rescan import stopping; stopping.stoppable()
from rescan.data.pool import pooled
import slow
try:
    list(pooled(slow.double, [1, 2, 3], {1 if apart else 2}, "work", apart={apart}))
except stopping.Stopped:
    sys.stderr.write(stopping.line()); sys.exit(stopping.exit_code())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    assert [process.stderr.readline() for _ in ("here", "in the server")] == [".\n", ".\n"]
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert (rest, process.returncode) == ("stopped by SIGINT; the same command goes on, or begins again", 130)


def test_threads_that_start_processes_leave_the_main_module():
    before = sys.modules["__main__"]
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(lambda: list(one_by_one(root_or_crash, [1, 4], "work"))) for _ in range(8)]
    assert [one.result() for one in found] == [[1.0, 2.0]] * 8
    assert sys.modules["__main__"] is before


def test_a_pool_that_finds_its_own_pipe_closed_is_one_whose_worker_ended(monkeypatch, caplog):
    def submit(*_, **__):
        raise OSError("handle is closed")

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor.submit", submit)
    assert list(pooled(root_or_crash, [1, 4, 9], 2, "work")) == [1, 2, 3]
    assert "a worker process ended" in caplog.text


def test_a_long_path_of_the_folder_for_temporary_files_costs_no_pool(tmp_path):
    """A socket's path has 107 bytes at most."""
    long = tmp_path / ("x" * 60)
    long.mkdir()
    program = "import math; from rescan.data.pool import pooled; print(list(pooled(math.sqrt, [1, 4], 2, 'work')))"
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "TMPDIR": str(long)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stdout, ended.returncode) == ("[1.0, 2.0]\n", 0), ended.stderr
