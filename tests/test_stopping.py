"""SIGINT and SIGTERM end a command in one line, with the exit code of a shell, whatever it is at."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rescan.locks import locked
from rescan.stopping import LINE

ROOT = Path(__file__).parent.parent
START = "import sys; from rescan import stopping; stopping.stoppable(); "
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def run(program: str, folder: Path, number: signal.Signals) -> list[str]:
    """Run a program that ends by a signal; what it says."""
    command = [sys.executable, "-c", START + program]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == CODES[number], process.stderr
    return process.stderr.splitlines()


@pytest.mark.parametrize("number", CODES)
def test_while_it_is_starting(tmp_path, number):
    (tmp_path / "heavy.py").write_text(f"import os\nos.kill(os.getpid(), {int(number)})\n")
    assert run("sys.path.insert(0, '.'); import heavy", tmp_path, number) == [LINE % number.name]


@pytest.mark.parametrize("number", CODES)
def test_what_keeps_an_exception_to_itself_is_ended(tmp_path, number):
    program = f"""
import os, time
stopping.PATIENCE_SECONDS = 0.1
while True:
    try:
        os.kill(os.getpid(), {int(number)}) if not stopping.exit_code() else None
        time.sleep(1)
    except BaseException:
        pass
"""
    assert run(program, tmp_path, number) == [LINE % number.name]


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    program = "import os, signal; signal.signal(2, signal.SIG_IGN); stopping.stoppable(); os.kill(os.getpid(), 2)"
    command = [sys.executable, "-c", f"from rescan import stopping; {program}"]
    assert subprocess.run(command, cwd=tmp_path, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("number", CODES)
def test_a_step_that_is_under_way(tmp_path, number):
    """It waits for the lock of its place, and leaves no file behind."""
    place = tmp_path / "data/weights/resnet18.safetensors"
    command = [sys.executable, "-m", "rescan", "weights", "resnet18", "--log", "log"]
    with locked(place, "weights"):
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        assert "waiting for it" in process.stderr.readline()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == CODES[number]
    assert len(said.splitlines()) == 1
    assert said.rstrip().endswith(LINE % number.name)
    assert said in (tmp_path / "log").read_text()
    assert [path.name for path in place.parent.iterdir()] == [".resnet18.safetensors.lock"]


@pytest.mark.parametrize("number", CODES)
def test_what_must_not_be_half_done_is_done_before(tmp_path, number):
    program = f"""
import os, pathlib
try:
    with stopping.held(), stopping.held():
        os.kill(os.getpid(), {int(number)})
        pathlib.Path("done").touch()
    pathlib.Path("behind").touch()
except stopping.Stopped:
    sys.stderr.write(stopping.line())
    sys.exit(stopping.exit_code())
"""
    assert run(program, tmp_path, number) == [LINE % number.name]
    assert [path.name for path in tmp_path.iterdir()] == ["done"]


@pytest.mark.parametrize("number", CODES)
def test_a_signal_is_noted_and_wakes_who_waits(number, tmp_path):
    program = f"""
import os, signal, threading
before = signal.getsignal({int(number)})
threading.Timer(0.2, os.kill, (os.getpid(), {int(number)})).start()
with stopping.noted() as asked:
    assert asked.wait(50) and stopping.first() == "{number.name}"
assert signal.getsignal({int(number)}) == before
print(stopping.line(), file=sys.stderr)
sys.exit(stopping.exit_code())
"""
    assert run(program, tmp_path, number) == [LINE % number.name]


@pytest.mark.parametrize("number", CODES)
def test_a_second_signal_ends_what_only_noted_the_first(tmp_path, number):
    program = f"""
import os, time
with stopping.noted() as asked:
    os.kill(os.getpid(), {int(number)})
    assert asked.wait(5)
    os.kill(os.getpid(), {int(number)})
    time.sleep(60)
"""
    assert run(program, tmp_path, number) == [LINE % number.name]
