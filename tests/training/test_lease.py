from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from rescan.errors import RescanError
from rescan.training import lease

HOLD = """
import sys, time
from rescan.training.lease import slot
with slot(int(sys.argv[1]), int(sys.argv[2])) as gpu:
    print(gpu, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


@pytest.fixture
def hold():
    """Start processes that hold a slot each, and end them with the test."""
    processes = []

    def start(gpus, jobs):
        arguments = [sys.executable, "-c", HOLD, str(gpus), str(jobs)]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_jobs_spread_over_gpus_and_the_least_loaded_is_taken(hold):
    jobs = [hold(2, 2) for _ in range(3)]
    assert sorted(gpu for _, gpu in jobs[:2]) == [0, 1]
    with lease.slot(2, 2) as gpu:
        assert gpu != jobs[2][1]
    alone = [process for process, gpu in jobs if gpu != jobs[2][1]]
    alone[0].communicate("")
    with lease.slot(2, 2) as gpu:  # one GPU has two jobs now, the other none
        assert gpu != jobs[2][1]


def test_a_job_waits_while_all_are_taken_and_a_killed_one_frees_its_slot(hold, caplog):
    holder, gpu = hold(1, 1)
    assert gpu == 0
    timer = threading.Timer(0.4, holder.send_signal, [signal.SIGKILL])
    timer.start()
    with caplog.at_level("INFO", "rescan"), lease.slot(1, 1) as gpu:
        assert gpu == 0
        assert holder.wait() == -signal.SIGKILL
    assert "taken" in caplog.text


def test_one_job_at_a_time_chooses():
    chooser = lease._lock("rescan-gpu.lock")
    chosen = []

    def choose():
        with lease.slot(1, 1) as gpu:
            chosen.append(gpu)

    thread = threading.Thread(target=choose)
    thread.start()
    time.sleep(0.3)
    assert not chosen
    os.close(chooser)
    thread.join(10)
    assert chosen == [0]


def test_a_lease_sets_the_visible_device_for_its_time(folder, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(lease, "count_gpus", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with lease.Machine("auto").lease() as first:
        assert (first.type, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda", "0")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with lease.Machine("cuda").lease():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
        assert not list(folder.glob("rescan-gpu5*"))


def test_devices_without_a_usable_gpu(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(lease, "count_gpus", lambda: 1)
    with lease.Machine("auto").lease() as device:
        assert device.type == "cpu"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
        with lease.slot(1, 1) as gpu:  # not kept from those who can use it
            assert gpu == 0
    with lease.Machine("cpu").lease() as device:
        assert device.type == "cpu"
    with pytest.raises(RescanError, match="device=cuda"), lease.Machine("cuda").lease():
        pass


def test_counting_gpus_by_nvidia_smi(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho '  MIG 1g: y'\necho 'GPU 1: B (UUID: z)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(lease, "Path", lambda _: tmp_path)  # no /dev/nvidia0
    assert lease.count_gpus() == 2
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    assert lease.count_gpus() == 1
