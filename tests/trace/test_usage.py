"""What a step used is measured as the system measures it."""

from __future__ import annotations

import os
import resource
import time

import pytest

from rescan.data.pool import pooled
from rescan.results.training_state import TrainingKey
from rescan.trace import usage

MB = 1_000_000


def burn(seconds: float) -> float:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return seconds


def test_the_work_of_a_pools_processes_counts():
    before = usage.cpu_seconds()
    assert sum(pooled(burn, [0.3, 0.3], 2, "burning")) == 0.6
    assert usage.cpu_seconds() - before > 0.6


def test_peak_memory_is_that_of_this_process():
    before = usage.peak_memory()
    block = b"x" * int(before + 50 * MB)
    assert usage.peak_memory() >= len(block)
    del block
    assert usage.peak_memory() >= before + 50 * MB  # the most, not the present
    assert usage.peak_memory() <= 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + MB


@pytest.mark.parametrize(
    ("labels", "name", "image"),
    [
        ('{"rescan.flavor": "cu113"}', "rescan-cu113.sif", "cu113"),
        ('{"other": "x"}', "mine.sif", "mine.sif"),
        ("{", "mine.sif", "mine.sif"),
        (None, None, None),
    ],
)
def test_the_image_is_named_by_its_flavor_or_its_file(labels, name, image, tmp_path, monkeypatch):
    monkeypatch.setattr(usage, "LABELS", tmp_path / "labels.json")
    for variable in ("APPTAINER_NAME", "SINGULARITY_NAME"):
        monkeypatch.delenv(variable, raising=False)
    if labels is not None:
        usage.LABELS.write_text(labels)
        monkeypatch.setenv("SINGULARITY_NAME", name)
    assert usage.machine(None).image == image


@pytest.mark.parametrize(("kind", "threads"), [("cpu", 3), ("cuda", 0)])
def test_a_training_that_only_puts_files_in_place_is_credited_to_the_device_that_trained(kind, threads):
    fields = dict.fromkeys(("recipe", "images", "split", "pretrained_weights"), "")
    key = TrainingKey.model_construct(**fields, fold=0, seed=0, version_of_the_trainer=1, device=kind, threads=threads)
    machine = usage.machine(key)
    assert (machine.device, machine.threads) == (kind, threads)
    assert os.uname().nodename not in machine.system
