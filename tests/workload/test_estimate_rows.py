"""What jobs take together, against sums by hand."""

from pathlib import Path

import pytest

from rescan.workload.estimate_rows import Machine, amounts, duration, wall_seconds
from rescan.workload.jobs import Job
from rescan.workload.rates import CARDS, Rates, remember, remembered
from rescan.workload.work import Work

RATES = Rates("a machine", True, False, 100, 10, 50, 25, 20, 4, 2, 1, 3)
TRAINING = Job("train", "arm", Work(on_gpu=True, with_torch=True, images=7, multiply_adds=1000, numbers=100, gpu_mb=9))
AUDIT = Job("audit", "", Work(megapixels=32, seconds=6, memory_mb=10, process_mb=5, disk_mb=2))


def test_a_job_takes_the_sum_of_what_each_kind_of_work_takes():
    assert RATES.seconds(TRAINING.work) == 3 + 1000 / 100 + 100 / 50
    assert RATES.seconds(AUDIT.work) == 1 + 32 / 4 + 6 / 2
    assert RATES.seconds(AUDIT.work, processes=4) == 1 + 32 / 4 / 4 + 6 / 2
    assert RATES.seconds(Work(dimensions=3, multiply_adds=1000, upsampled=100)) == 1 + 1000 / 10 + 100 / 25


def test_hours_of_gpus_and_of_cores_are_apart_and_memory_is_the_largest():
    with_gpu = amounts([TRAINING, TRAINING, AUDIT], Machine(RATES, cores=4, gpus=1, threads=1))
    assert (with_gpu.trainings, with_gpu.images, with_gpu.gpu_seconds, with_gpu.core_seconds) == (2, 14, 30, 12)
    assert (with_gpu.memory_mb, with_gpu.gpu_mb, with_gpu.disk_mb) == (1000, 9, 2)
    without = amounts([TRAINING, AUDIT], Machine(RATES, cores=4, gpus=0, threads=1))
    assert (without.gpu_seconds, without.core_seconds, without.memory_mb) == (0, 27, 1009)


def test_more_gpus_or_cores_take_less_time_but_never_less_than_the_longest_job():
    jobs = [AUDIT, *[TRAINING] * 10]
    one, four, many = (wall_seconds(jobs, Machine(RATES, cores=4, gpus=gpus, threads=1)) for gpus in (1, 4, 100))
    audit = RATES.seconds(AUDIT.work, 4)
    assert (one, four, many) == (audit + 150, audit + 37.5, audit + 15)
    assert wall_seconds(jobs, Machine(RATES, cores=4, gpus=0, threads=2)) == audit + 75


@pytest.mark.parametrize(
    ("seconds", "text"), [(50, "50 seconds"), (600, "10 minutes"), (9000, "2.5 hours"), (1e6, "11.6 days")]
)
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


def test_measured_rates_are_remembered_by_device_and_threads(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert remembered(on_gpu=False, threads=1) is None
    remember(RATES, 1)
    assert remembered(on_gpu=False, threads=1) == RATES
    assert remembered(on_gpu=False, threads=2) is None
    assert remembered(on_gpu=True, threads=1) is None
    (tmp_path / "rescan/rates.json").write_text('{"damaged')
    assert remembered(on_gpu=False, threads=1) is None


def _unknown() -> Path:
    """The home of a user whom the machine does not know."""
    raise RuntimeError("Could not determine home directory.")


def test_rates_that_cannot_be_kept_cost_no_estimate(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember(RATES, 1)
    assert remembered(on_gpu=False, threads=1) is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", _unknown)
    remember(RATES, 1)
    assert remembered(on_gpu=False, threads=1) is None
    assert caplog.text.count("the measured rates cannot be kept") == 2


def test_a_faster_card_has_faster_rates():
    assert CARDS["h100"].rates.multiply_adds > CARDS["rtx4090"].rates.multiply_adds
    assert not CARDS["h100"].rates.measured
