from __future__ import annotations

import errno
import fcntl
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch

from rescan.errors import RescanError
from rescan.training import cards, lease
from rescan.training.cards import Card

HOLD = """
import os, sys
from rescan.training.cards import Card
from rescan.training.lease import slot
if len(sys.argv) > 3:
    os.setgroups([]), os.setgid(int(sys.argv[3])), os.setuid(int(sys.argv[3]))
with slot([Card(name) for name in sys.argv[1].split(",")], int(sys.argv[2])) as card:
    print(card.name, flush=True)
    sys.stdin.read()
"""
TWO = [Card("0"), Card("1")]
FAULTS = """
import resource, sys, torch
from rescan.training.lease import Machine
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(16 << 20), torch.ones(8 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
by_default = faults()
with Machine("cpu").lease():
    faults()
    print(by_default, faults())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The machine's temporary folder; a machine without GPUs, with a torch that could use them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.02)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cards, "DEVICES", tmp_path)
    monkeypatch.setattr(cards, "DRIVER", tmp_path / "driver")
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


@pytest.fixture
def smi(folder):
    """Make an nvidia-smi that lists GPUs and tells their free memory in MiB, of 10,000."""

    def make(listing, memory=()):
        rows = "".join(f"{uuid}, {free}, 10000\n" for uuid, free in dict(memory).items())
        (folder / "listing").write_text(listing)
        (folder / "memory").write_text(rows)
        program = folder / "bin/nvidia-smi"
        program.write_text(f'#!/bin/sh\ncase "$1" in -L) cat {folder}/listing;; *) cat {folder}/memory;; esac\n')
        program.chmod(0o755)

    return make


TWO_LISTED = "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa-1)\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb-2)\n"
MIG_LISTED = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4-1)
  MIG 1g.5gb      Device  1: (UUID: MIG-cba6-2)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb-2)
"""


@pytest.fixture
def usable(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A100")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80"])


@pytest.fixture
def hold():
    """Start processes that hold a slot each, and end them with the test."""
    processes = []

    def start(names, jobs, *user):
        arguments = [sys.executable, "-c", HOLD, names, str(jobs), *user]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_jobs_spread_over_gpus_and_the_least_loaded_is_taken(hold):
    jobs = [hold("0,1", 2) for _ in range(3)]
    assert sorted(gpu for _, gpu in jobs[:2]) == ["0", "1"]
    with lease.slot(TWO, 2) as card:
        assert card.name != jobs[2][1]
    alone = [process for process, gpu in jobs if gpu != jobs[2][1]]
    alone[0].communicate("")
    with lease.slot(TWO, 2) as card:  # one GPU has two jobs now, the other none
        assert card.name != jobs[2][1]


def test_a_job_waits_while_all_are_taken_and_a_killed_one_frees_its_slot(hold, caplog):
    holder, _ = hold("0", 1)
    timer = threading.Timer(0.4, holder.send_signal, [signal.SIGKILL])
    timer.start()
    with caplog.at_level("INFO", "rescan"), lease.slot(TWO[:1], 1) as card:
        assert card.name == "0"
        assert holder.wait() == -signal.SIGKILL
    assert "no GPU is free (1 here, jobs_per_gpu: 1): waiting" in caplog.text


def test_one_job_at_a_time_chooses():
    chooser = lease._lock("rescan-gpu.lock")
    chosen = []

    def choose():
        with lease.slot(TWO[:1], 1) as card:
            chosen.append(card.name)

    thread = threading.Thread(target=choose)
    thread.start()
    time.sleep(0.3)
    assert not chosen
    os.close(chooser)
    thread.join(10)
    assert chosen == ["0"]


@pytest.mark.usefixtures("usable")
def test_a_lease_sets_the_visible_device_for_its_time(smi):
    smi(TWO_LISTED)
    with lease.Machine("auto").lease() as device:
        assert (device.type, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda", "GPU-aaaa-1")
        assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        with lease.Machine("cuda").lease():  # another work folder's job, or another container's
            pass
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("named", "first", "second"),
    [
        ("0,1", "GPU-aaaa-1", "GPU-bbbb-2"),
        ("1,0", "GPU-bbbb-2", "GPU-aaaa-1"),
        ("GPU-bbbb,GPU-aaaa", "GPU-bbbb-2", "GPU-aaaa-1"),
        ("1", "GPU-bbbb-2", "GPU-bbbb-2"),  # a scheduler's choice, or the user's: shared rather than waited for
        ("1,-1,0", "GPU-bbbb-2", "GPU-bbbb-2"),
        ("1,GPU-cccc,0", "GPU-bbbb-2", "GPU-bbbb-2"),  # of another machine
        ("1,1", "GPU-bbbb-2", "GPU-bbbb-2"),
        (" 1 , GPU-a ", "GPU-bbbb-2", "GPU-aaaa-1"),
    ],
)
@pytest.mark.usefixtures("usable")
def test_jobs_share_out_the_gpus_of_ones_own_variable(smi, monkeypatch, named, first, second):
    smi(TWO_LISTED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    with lease.Machine("cuda").lease():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == first
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        with lease.Machine("cuda").lease():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == second
    assert os.environ["CUDA_VISIBLE_DEVICES"] == named


@pytest.mark.usefixtures("usable")
def test_a_named_gpu_is_seen_to_be_taken_by_jobs_that_may_choose(smi, monkeypatch):
    smi(TWO_LISTED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with lease.Machine("cuda").lease(), lease.slot(cards.cards(), 1) as card:
        assert card.name == "GPU-bbbb-2"


@pytest.mark.usefixtures("usable")
def test_instances_of_divided_gpus_are_leased_one_by_one(smi, monkeypatch):
    smi(MIG_LISTED)
    names = [(card.name, card.model) for card in cards.cards()]
    assert names == [
        ("MIG-c6d4-1", "NVIDIA A100-SXM4-40GB MIG 3g.20gb"),
        ("MIG-cba6-2", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"),
        ("GPU-bbbb-2", "NVIDIA A100-SXM4-40GB"),
    ]
    with (
        lease.slot(cards.cards(), 1) as one,
        lease.slot(cards.cards(), 1) as two,
        lease.slot(cards.cards(), 1) as three,
    ):
        assert {one.name, two.name, three.name} == {name for name, _ in names}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-cba6,MIG-c6d4")
    with lease.Machine("cuda").lease():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "MIG-cba6-2"
    for named in ("MIG-GPU-aaaa-1/1/0", "0"):  # of old drivers; the number of a divided GPU
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        with lease.Machine("cuda").lease():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == named


@pytest.mark.parametrize("named", ["", "-1", "NoDevFiles", "7", "0 1", ",0", "GPU-", "GPU-cccc", "MIG-c6d4"])
def test_a_variable_that_names_no_gpu(smi, monkeypatch, named):
    smi(TWO_LISTED)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    with lease.Machine("auto").lease() as device:
        assert (device.type, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cpu", named)
    message = f"device=cuda: CUDA_VISIBLE_DEVICES='{named}' names none of the 2 GPUs here; unset it"
    with pytest.raises(RescanError, match=message), lease.Machine("cuda").lease():
        pass


def test_a_gpu_full_of_other_programs_is_avoided_waited_for_and_at_last_refused(smi, monkeypatch, caplog):
    smi(TWO_LISTED, {"GPU-aaaa-1": 1000, "GPU-bbbb-2": 9000})
    here = cards.cards()
    with lease.slot(here, 1) as card:
        assert card.name == "GPU-bbbb-2"
    smi(TWO_LISTED, {"GPU-aaaa-1": 1000, "GPU-bbbb-2": 1000})
    timer = threading.Timer(0.3, smi, [TWO_LISTED, {"GPU-aaaa-1": 9000, "GPU-bbbb-2": 1000}])
    timer.start()
    with caplog.at_level("INFO", "rescan"), lease.slot(here, 2) as card:
        assert card.name == "GPU-aaaa-1"
        smi(TWO_LISTED, {"GPU-aaaa-1": 100, "GPU-bbbb-2": 1000})  # by the job that has come first
        with lease.slot(here, 2) as second:
            assert second.name == "GPU-aaaa-1"
    assert "GPU 0 (NVIDIA A100-SXM4-40GB) has 1.0 of 10 GiB free" in caplog.text
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(RescanError, match=r"other programs fill the GPUs .GPU 0"), lease.slot(here, 1):
        pass
    with lease.slot(here[:1], 1, wait=False) as card:  # there is no other: said, and taken
        assert card == here[0]
    assert "has only 0.1 of 10 GiB free" in caplog.text


def test_devices_without_a_usable_gpu(smi, folder, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RescanError, match=r"device=cuda: no NVIDIA driver is loaded"), lease.Machine("cuda").lease():
        pass
    (folder / "driver").touch()
    with pytest.raises(RescanError, match=r"no /dev/nvidia. is here: start a container"), lease.Machine("cuda").lease():
        pass
    smi(TWO_LISTED)
    with lease.Machine("auto").lease() as device:
        assert device.type == "cpu"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
        with lease.slot(cards.cards()[:1], 1):  # not kept from those who can use it
            pass
    assert "can use none of the 2 GPUs here" in caplog.text
    with lease.Machine("cpu").lease() as device:
        assert device.type == "cpu"
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    with pytest.raises(RescanError, match="is built for CPUs only"), lease.Machine("cuda").lease():
        pass


@pytest.mark.usefixtures("usable")
def test_a_gpu_that_torch_has_no_kernels_for(smi, monkeypatch, caplog):
    smi(TWO_LISTED)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_90", "sm_100"])
    message = r"NVIDIA A100 .compute capability 8.0. cannot run torch .*, which is built for sm_90, sm_100"
    with pytest.raises(RescanError, match=message), lease.Machine("cuda").lease():
        pass
    with lease.Machine("auto").lease() as device:
        assert device.type == "cpu"
    assert "this runs on the CPU" in caplog.text


def test_gpus_without_a_working_nvidia_smi(folder):
    program = folder / "bin/nvidia-smi"
    program.write_text("#!/bin/sh\nprintf 'GPU 0: \\377'\n")  # no UTF-8
    program.chmod(0o755)
    assert cards.cards() == []
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    program.chmod(0o755)
    assert cards.cards() == []
    for name in ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (folder / name).touch()
    assert [card.name for card in cards.cards()] == ["2", "10"]
    assert cards.memories() == {}
    program.unlink()
    assert [card.name for card in cards.visible("10", cards.cards())] == ["10"]


def test_an_nvidia_smi_that_hangs_tells_nothing(folder, monkeypatch):
    monkeypatch.setattr(cards, "HANGS_AFTER", 0.1)
    program = folder / "bin/nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    assert cards.cards() == []


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((3, 7), ["sm_37", "sm_50"], True),
        ((8, 9), ["sm_80", "sm_86"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_86"], False),
        ((9, 0), ["sm_86", "compute_86"], True),
        ((12, 0), ["sm_90", "sm_100"], False),
        ((12, 1), ["sm_120"], True),
        ((9, 1), ["sm_90a"], False),
        ((9, 4), ["gfx942"], True),
    ],
)
def test_which_kernels_a_card_runs(capability, architectures, runs):
    assert cards.runs_on(capability, architectures) is runs


def test_lock_files_are_for_all_users_and_follow_no_links(folder):
    before = os.umask(0o077)
    try:
        os.close(lease._lock("rescan-gpu-0.0.lock"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "rescan-gpu-0.0.lock").stat().st_mode) == 0o644
    victim = folder / "victim"
    (folder / "rescan-gpu-1.0.lock").symlink_to(victim)
    with pytest.raises(RescanError, match=r"rescan-gpu-1.0.lock: cannot be opened .*set TMPDIR"):
        lease._lock("rescan-gpu-1.0.lock")
    assert not victim.exists()
    os.mkfifo(folder / "rescan-gpu-2.0.lock")
    os.close(lease._lock("rescan-gpu-2.0.lock"))  # at once


@pytest.mark.skipif(
    os.geteuid() != 0 or "4294967295" not in Path("/proc/self/uid_map").read_text(),
    reason="only root can be two users, and not in a container that knows one",
)
def test_two_users_share_the_locks(hold, monkeypatch):
    shared = tempfile.mkdtemp(dir="/tmp")  # as /tmp is: anybody's, and sticky
    try:
        Path(shared).chmod(0o1777)
        monkeypatch.setenv("TMPDIR", shared)
        monkeypatch.setattr(tempfile, "tempdir", None)
        mine, gpu = hold("0,1", 1)
        other, others = hold("0,1", 1, "65534")
        assert {gpu, others} == {"0", "1"}
        mine.communicate("")
        _, third = hold("0,1", 1, "65534")  # a file that root made
        assert third == gpu
        other.kill()
        other.wait()
        with lease.slot(TWO, 1) as card:  # a file that the other user made
            assert card.name == others
    finally:
        shutil.rmtree(shared)


def test_a_temporary_folder_without_locks(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(
        RescanError, match=r"rescan-gpu.lock: cannot be locked .*: this file system has no flock; set TMPDIR"
    ):
        lease._lock("rescan-gpu.lock")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_tensors_on_a_cpu_take_the_memory_of_those_before_them():
    told = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout
    by_default, leased = map(int, told.split())
    assert leased < by_default / 10
