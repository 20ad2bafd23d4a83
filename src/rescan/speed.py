"""Measuring how fast this machine is, in a few seconds: probes of each kind of work that jobs consist of."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import nn

from rescan.errors import RescanError
from rescan.training import cards
from rescan.training.lease import VISIBLE, keep_freed_memory, why_unusable
from rescan.training.precision import Precision, place
from rescan.workload.rates import Rates, remember

REPEATS = 3
CORE_SECONDS = 0.05  # of the probe of a core, on the core that `Work.seconds` are of


def measured(device: str, threads: int) -> Rates:
    """Measure this machine's rates, and remember them.

    Args:
        device: `auto` (a GPU, if torch can use one), `cpu` or `cuda`.
        threads: Of torch, on a CPU.

    Raises:
        RescanError: The device must be `cuda`, and torch can use none.
    """
    fault = None if device == "cpu" else why_unusable(cards.cards(), os.environ.get(VISIBLE))
    if device == "cuda" and fault is not None:
        raise RescanError(f"device=cuda: {fault}; or name another card by --card; see `rescan doctor`")
    rates = measure(torch.device("cpu" if device == "cpu" or fault else "cuda"), threads)
    remember(rates, threads)
    return rates


def measure(device: torch.device, threads: int) -> Rates:
    """Measure this machine's rates.

    Args:
        device: What networks are trained on.
        threads: Of torch, on a CPU.
    """
    torch.set_num_threads(threads)
    on_gpu = device.type == "cuda"
    if not on_gpu:
        keep_freed_memory()
    machine = torch.cuda.get_device_name(device) if on_gpu else f"{threads} × {_processor()}"
    larger = 8 if on_gpu else 1  # batches, to fill a GPU
    convolutions = 3 * 4 * (128 * 128 * 9 * 14**2) * 32 * larger
    convolutions_3d = 3 * 2 * (32 * 32 * 27 * 16**3) * 4 * larger
    norms = 8 * 2 * (64 * 56**2) * 16 * larger
    upsampled = 16 * 32**3 * 2 * larger
    launches = 3 * 80
    return Rates(
        machine=machine,
        measured=True,
        on_gpu=on_gpu,
        multiply_adds=convolutions
        / _training(nn.Sequential(*(_conv(2, 128) for _ in range(4))), (32 * larger, 128, 14, 14), device),
        multiply_adds_3d=convolutions_3d
        / _training(nn.Sequential(*(_conv(3, 32) for _ in range(2))), (4 * larger, 32, 16, 16, 16), device),
        numbers=norms / _training(nn.Sequential(*(_norm() for _ in range(8))), (16 * larger, 64, 56, 56), device),
        upsampled=upsampled / _training(_decoder(), (2 * larger, 16, 16, 16, 16), device),
        launches=launches / _training(nn.Sequential(*(_tiny() for _ in range(40))), (2, 4, 4, 4), device),
        megapixels=1 / _least(_decoding()),
        core=CORE_SECONDS / _least(lambda: sum(number * number for number in range(1_000_000))),
        start=_least(lambda: _run("import rescan.cli, rescan.data.split"), _of_children, 1),
        start_torch=_least(lambda: _run("import rescan.cli, rescan.training.infer"), _of_children, 1),
        gpu_mb=torch.cuda.get_device_properties(device).total_memory / 1e6 if on_gpu else 0,
    )


def _training(network: nn.Sequential, shape: tuple[int, ...], device: torch.device) -> float:
    """Seconds of a forward and a backward pass."""
    precision = Precision(device)
    place(network, device, len(shape) - 2)
    images = torch.rand(shape, device=device, requires_grad=True)
    if precision.on_gpu and len(shape) == 4:
        images = images.detach().to(memory_format=torch.channels_last).requires_grad_()

    def step() -> None:
        with precision.autocast():
            loss = network(images).float().mean()
        loss.backward()
        if precision.on_gpu:
            torch.cuda.synchronize(device)

    step()
    return _least(step, time.perf_counter) if precision.on_gpu else _least(step) / torch.get_num_threads()


def _conv(dimensions: int, maps: int) -> nn.Module:
    return (nn.Conv2d if dimensions == 2 else nn.Conv3d)(maps, maps, 3, padding=1)


def _norm() -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(64), nn.ReLU(inplace=True))


def _decoder() -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv3d(16, 1, 3, padding=1))


def _tiny() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))


def _decoding() -> Callable[[], object]:
    """Decoding and resizing a photograph of one megapixel."""
    random = np.random.default_rng(0)
    clouds = cv2.resize(random.integers(0, 255, (50, 50, 3), dtype=np.uint8), (1000, 1000))
    noisy = (clouds + random.normal(0, 4, clouds.shape)).clip(0, 255).astype(np.uint8)
    file = cv2.imencode(".png", noisy)[1]

    def decode() -> None:
        image = cv2.imdecode(file, cv2.IMREAD_COLOR)
        assert image is not None  # noqa: S101 - it was encoded above
        cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA)

    return decode


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own words


def _least(work: Callable[[], object], clock: Callable[[], float] = time.process_time, repeats: int = REPEATS) -> float:
    """The least time of a call, of several; of a processor by default, as other programs keep it busy, too."""
    times = []
    for _ in range(repeats):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)


def _of_children() -> float:
    """Seconds of processors that this process's children took."""
    own = os.times()
    return own.children_user + own.children_system


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
