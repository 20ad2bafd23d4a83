"""What memory a job may use, and that it is said before a limit is passed. Sizes are computed by hand."""

from __future__ import annotations

import logging
import resource
import subprocess
import sys

import pytest

from rescan import memory

MIB, GIB = 2**20, 2**30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 16 GiB, 8 of them free, whose cgroups are in a folder."""
    (tmp_path / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nHugePages: 0\n")
    for name, file in (("MEMORY", "meminfo"), ("OWN", "own"), ("CGROUPS", "cgroup")):
        monkeypatch.setattr(memory, name, tmp_path / file)
    monkeypatch.setattr(memory, "LOOK_SECONDS", 0.01)
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cgroup").mkdir()
    return tmp_path


def version_2(machine, *, limit, current, files):
    """A cgroup of version 2 around the step, whose limit stands above it."""
    (machine / "own").write_text("0::/job/step\n")
    (machine / "cgroup/job/step").mkdir(parents=True, exist_ok=True)
    (machine / "cgroup/job/step/memory.max").write_text("max\n")
    (machine / "cgroup/job/memory.max").write_text(f"{limit}\n")
    (machine / "cgroup/job/memory.current").write_text(f"{current}\n")
    (machine / "cgroup/job/memory.stat").write_text(f"anon 5\nactive_file {files - 10}\ninactive_file 10\n")


def version_1(machine, *, limit, current, files):
    """The same of version 1, in a container that sees its own cgroup as the top."""
    (machine / "own").write_text("9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n")
    top = machine / "cgroup/memory"
    top.mkdir(exist_ok=True)
    (top / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (top / "memory.usage_in_bytes").write_text(f"{current}\n")
    (top / "memory.stat").write_text(f"total_active_file {files - 10}\ntotal_inactive_file 10\nactive_file 3\n")


VERSIONS = pytest.mark.parametrize("cgroup", [version_1, version_2])


def found():
    return [(limit.of, limit.size, limit.used()) for limit in memory.limits()]


def test_a_machine_without_limits(machine):
    assert found() == [("the machine", 16 * GIB, 8 * GIB)]
    (machine / "meminfo").unlink()
    assert found() == []


@VERSIONS
def test_a_cgroup_without_the_pages_of_files(machine, cgroup):
    cgroup(machine, limit=4 * GIB, current=3 * GIB, files=1 * GIB)
    assert found() == [("the cgroup", 4 * GIB, 2 * GIB), ("the machine", 16 * GIB, 8 * GIB)]
    cgroup(machine, limit=9223372036854771712, current=3 * GIB, files=1 * GIB)  # none, in version 1
    assert found() == [("the machine", 16 * GIB, 8 * GIB)]


@pytest.mark.usefixtures("machine")
def test_slurm(monkeypatch):
    monkeypatch.setattr(memory, "_own_tree", lambda: 5 * MIB)
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1024")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "3")
    assert found()[0] == ("SLURM", 3 * GIB, 5 * MIB)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "2048")
    assert found()[0] == ("SLURM", 2 * GIB, 5 * MIB)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "odd")
    assert [of for of, _, _ in found()] == ["the machine"]


def test_the_memory_of_this_process_and_of_those_below_it():
    before = memory._own_tree()
    code = "held = bytearray(b'x') * (64 * 2**20); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as process:
        process.stdout.readline()
        grown = memory._own_tree() - before
        process.stdin.close()
        process.wait(10)
    assert 64 * MIB < grown < 64 * MIB + 40 * MIB


@pytest.mark.usefixtures("machine")
def test_a_limit_of_the_process(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2 * GIB, 2 * GIB))
    of, size, used = found()[0]
    assert (of, size) == ("ulimit -v", 2 * GIB)
    assert used > 10 * MIB


@VERSIONS
def test_a_need_that_passes_a_limit_is_said_with_both_numbers(machine, caplog, cgroup):
    caplog.set_level(logging.INFO, "rescan")
    memory.check_need("train of a", 8 * GIB)
    assert caplog.messages == []
    cgroup(machine, limit=4 * GIB, current=3 * GIB, files=1 * GIB)
    memory.check_need("train of a", 2 * GIB)
    assert caplog.messages == []
    memory.check_need("train of a", 2.5 * GIB)
    assert caplog.messages == [
        "train of a: needs about 2.5 GiB of memory, of 4.0 GiB that the cgroup allows 2.0 GiB are free; "
        + memory.REMEDY
    ]


@VERSIONS
def test_the_watch_warns_once_when_a_limit_is_nearly_reached_but_not_for_the_pages_of_files(machine, caplog, cgroup):
    cgroup(machine, limit=100 * MIB, current=99 * MIB, files=50 * MIB)
    with memory.watched():
        memory.threading.Event().wait(0.1)
        assert caplog.messages == []
        cgroup(machine, limit=100 * MIB, current=99 * MIB, files=2 * MIB)
        memory.threading.Event().wait(0.2)
    assert len(caplog.messages) == 1
    assert "memory is nearly full: 0.09 of the 0.10 GiB that the cgroup allows; what needs more" in caplog.messages[0]
