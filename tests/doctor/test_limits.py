from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from rescan import memory
from rescan.doctor import limits


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 8 cores and 16 GiB, whose cgroups are in a folder."""
    (tmp_path / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nHugePages: 0\n")
    (tmp_path / "own").write_text("0::/job/step\n")
    (tmp_path / "cgroup/job/step").mkdir(parents=True)
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "OWN", tmp_path / "own")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(limits.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_MEM_PER_NODE", raising=False)
    return tmp_path


def test_a_machine_without_limits(machine):
    (machine / "cgroup/job/cpu.max").write_text("max 100000\n")
    (machine / "cgroup/job/memory.max").write_text("max\n")
    found = dict(limits.limit_findings(machine))
    assert found["cores"] == "8"
    assert found["memory"] == "16 GiB, 8 GiB free"
    assert found["results"] == f"{machine}: file locks work"


def test_limits_of_cgroups_and_of_slurm(machine, monkeypatch):
    (machine / "cgroup/job/cpu.max").write_text("250000 100000\n")
    (machine / "cgroup/job/step/memory.max").write_text(str(3 * 2**30))
    (machine / "cgroup/memory.max").write_text(str(12 * 2**30))
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "4096")
    found = dict(limits.limit_findings(machine))
    assert found["cores"].startswith("8; 4 of them are this process's; the cgroup allows 2.5; SLURM gave 4: give")
    assert (
        found["memory"]
        == "16 GiB, 8 GiB free; the cgroup allows 3.0 GiB; SLURM allows 4.0 GiB, and what needs more is killed"
    )


@pytest.mark.usefixtures("machine")
def test_no_folder_for_temporary_files(monkeypatch):
    def nowhere():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(limits.tempfile, "gettempdir", nowhere)
    found = dict(limits.limit_findings(Path("/")))
    assert found["temporary"].startswith("No usable temporary directory found in ['/tmp']: set TMPDIR")


def test_folders_without_locks(machine, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    found = dict(limits.limit_findings(machine))
    assert "no file locks (No locks available), which trainings need: set TMPDIR" in found["temporary"]
    assert "make results/<scale>/.state a link" in found["results"]


def test_a_folder_that_cannot_be_written_to_is_not_said_to_lack_locks(machine):
    (machine / "file").touch()
    assert limits._locks(machine / "file", "") == f"{machine}/file: cannot be written to (Not a directory)"
