from __future__ import annotations

import pytest

from rescan.doctor import graphics
from rescan.doctor.fitting import IMAGES
from rescan.training import cards

LISTED = """GPU 0: NVIDIA GeForce RTX 5090 (UUID: GPU-aaaa-1)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb-2)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4-1)
  MIG 1g.5gb      Device  1: (UUID: MIG-cba6-2)
"""


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Make an nvidia-smi that answers these queries; it fails at others, as one does that does not know a field."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setattr(cards, "DEVICES", tmp_path)
    monkeypatch.setattr(cards, "DRIVER", tmp_path / "driver")
    monkeypatch.setattr(graphics, "installed", lambda: IMAGES["cu113"])

    def make(**answers):
        for name, text in answers.items():
            (tmp_path / name).write_text(text)
        program = tmp_path / "bin/nvidia-smi"
        program.write_text(
            f"#!/bin/sh\ncd {tmp_path}\n"
            "case $1 in -L) f=listing;; *compute-apps*) f=apps;; *compute_cap) f=capability;;\n"
            "*mig.mode*) f=mig;; *memory*) f=memory;; *driver_version) f=cards;; *) f=uuids;; esac\n"
            "[ -f $f ] && cat $f || exit 2\n"
        )
        program.chmod(0o755)

    return make


def said():
    return [f"{name}: {text}" for name, text in graphics.gpu_findings()]


def test_two_cards_one_of_them_divided(smi, monkeypatch):
    smi(
        listing=LISTED,
        cards="0, GPU-aaaa-1, NVIDIA GeForce RTX 5090, 580.82.07\n1, GPU-bbbb-2, NVIDIA A100-SXM4-40GB, 580.82.07\n",
        capability="GPU-aaaa-1, 12.0\nGPU-bbbb-2, 8.0\n",
        memory="GPU-aaaa-1, 3072, 32768\nGPU-bbbb-2, [N/A], [N/A]\n",
        mig="GPU-aaaa-1, [N/A]\nGPU-bbbb-2, Enabled\n",
        apps="GPU-aaaa-1, 77, python, 29000\n[Not Supported]\n",
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,MIG-cba6")
    old, instance = IMAGES["cu113"], "GPU 1 (NVIDIA A100-SXM4-40GB MIG 1g.5gb)"
    assert said() == [
        "GPU 0: NVIDIA GeForce RTX 5090, compute capability 12.0, driver 580.82.07, 3.0 of 32 GiB free",
        f"GPU 0: the card is sm_120, and cu113 is built for {', '.join(old.kernels)}: use image=current",
        "GPU 0: is full: trainings take another one, or wait ten minutes and then give up",
        "GPU 0: is used by python (pid 77, 29000 MiB)",
        "GPU 1: NVIDIA A100-SXM4-40GB, compute capability 8.0, driver 580.82.07",
        "GPU 1: fits cu113 (CUDA 11.3) here; in a container, use image=cu113 or image=current",
        "GPU 1: is divided into 2 instances (MIG); each training gets one",
        f"CUDA_VISIBLE_DEVICES: '0,MIG-cba6' leaves GPU 0 (NVIDIA GeForce RTX 5090), {instance}",
    ]


def test_a_divided_card_without_instances_and_no_torch(smi, monkeypatch):
    smi(
        listing="GPU 0: NVIDIA H100 PCIe (UUID: GPU-aaaa-1)\n",
        cards="0, GPU-aaaa-1, NVIDIA H100 PCIe, 535.104.05\n",
        capability="GPU-aaaa-1, 9.0\n",
        mig="GPU-aaaa-1, Enabled\n",
    )
    monkeypatch.setattr(graphics, "installed", lambda: None)
    update = "update the driver to 580.65.06 or newer for image=current"
    assert said()[1:] == [
        f"GPU 0: there is no torch in this environment; in a container, {update}",
        "GPU 0: is in MIG mode without an instance, so nothing can use it: make one (nvidia-smi mig -cgi …)",
    ]


def test_a_driver_too_old_to_tell_the_compute_capability(smi, monkeypatch):
    smi(
        listing="GPU 0: Tesla K80 (UUID: GPU-aaaa-1)\n",
        cards="0, GPU-aaaa-1, Tesla K80, 470.256.02\n",
        uuids="GPU-aaaa-1\n",
    )
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda _: None)
    assert said()[0] == "GPU 0: Tesla K80, compute capability unknown, driver 470.256.02"
    monkeypatch.undo()


def test_no_gpu(smi, tmp_path, monkeypatch):
    (tmp_path / "driver").touch()
    assert len(said()) == 1
    assert said()[0].startswith(
        "GPU: none; the NVIDIA driver is loaded, but no /dev/nvidia* is here: start a container "
    )
    (tmp_path / "nvidia0").touch()
    assert said()[0].startswith("GPU: 1 in /dev, of which nothing is known: nvidia-smi is missing")
    smi()
    monkeypatch.setattr(graphics, "_of_each", None)  # nothing more is asked of an nvidia-smi that fails or hangs
    assert said()[0].startswith("GPU: 1 in /dev, of which nothing is known: nvidia-smi finds no GPU, fails or hangs")
