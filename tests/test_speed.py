"""Probes of this machine's speed."""

from dataclasses import astuple

import pytest

torch = pytest.importorskip("torch")

from rescan import speed  # noqa: E402
from rescan.errors import RescanError  # noqa: E402
from rescan.workload.rates import remembered  # noqa: E402


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_rates_are_measured_and_remembered(monkeypatch):
    monkeypatch.setattr(speed, "_run", lambda _: sum(range(100_000)))  # importing torch again takes seconds
    threads = torch.get_num_threads()
    rates = speed.measured("cpu", threads)
    assert rates == remembered(on_gpu=False, threads=threads)
    assert rates.measured
    assert not rates.on_gpu
    assert all(rate > 0 for rate in astuple(rates)[3:10])
    assert rates.multiply_adds > rates.numbers  # a multiply-add costs less than a trip to the memory


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_gpu_that_is_not_there_is_one_line():
    with pytest.raises(RescanError, match=r"^device=cuda: .*; or name another card by --card"):
        speed.measured("cuda", 1)


def test_a_gpu_without_kernels_in_this_torch_is_not_measured(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_86"])
    with pytest.raises(RescanError, match=r"^device=cuda: NVIDIA H100 .compute capability 9.0. cannot run torch"):
        speed.measured("cuda", 1)
    monkeypatch.setattr(speed, "measure", lambda device, _: device)
    monkeypatch.setattr(speed, "remember", lambda *_: None)
    assert speed.measured("auto", 1).type == "cpu"
