"""Rates: how fast a machine does each kind of work; measured ones are remembered."""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rescan.files import write_json
from rescan.log import logger
from rescan.workload.work import Work


@dataclass(frozen=True)
class Rates:
    """What a machine does in a second.

    Attributes:
        machine: What it is, in words.
        measured: Whether they were measured; otherwise they are nominal.
        on_gpu: Whether networks run on a GPU.
        multiply_adds: Of networks of images, on what they are trained on: a GPU, or a training's cores.
        multiply_adds_3d: Of networks of volumes.
        numbers: Of activations, written and read again.
        upsampled: Numbers upsampled and convolved to one map.
        launches: Layers run one after the other, whose work is nothing.
        megapixels: Decoded and prepared by one core.
        core: How fast a core is, as a multiple of the one that `Work.seconds` are of.
        start: Seconds from a job's start to its work, without torch …
        start_torch: … and with it.
        gpu_mb: Memory of its GPU; 0 without.
    """

    machine: str
    measured: bool
    on_gpu: bool
    multiply_adds: float
    multiply_adds_3d: float
    numbers: float
    upsampled: float
    launches: float
    megapixels: float
    core: float
    start: float
    start_torch: float
    gpu_mb: float = 0

    def seconds(self, work: Work, processes: int = 1) -> float:
        """How long a job takes.

        Args:
            work: The job's.
            processes: That share the decoding of images.
        """
        multiply_adds = self.multiply_adds if work.dimensions == 2 else self.multiply_adds_3d
        return (
            (self.start_torch if work.with_torch else self.start)
            + work.launches / self.launches
            + work.multiply_adds / multiply_adds
            + work.numbers / self.numbers
            + work.upsampled / self.upsampled
            + work.megapixels / self.megapixels / processes
            + work.seconds / self.core
        )


# A slow machine of today: what jobs ask of a cluster must be enough there, too.
NOMINAL_CPU = Rates("a slow core", False, False, 1.5e10, 6e9, 6e7, 4e6, 1e4, 5.0, 0.5, 3.0, 8.0)
NOMINAL_GPU = Rates("a slow card", False, True, 1.5e12, 8e11, 1e10, 2e9, 2.5e4, 5.0, 0.5, 3.0, 15.0)


@dataclass(frozen=True)
class Card:
    """A GPU's published peak rates.

    Attributes:
        name: As its vendor calls it.
        tera_flops: Dense bfloat16 or float16 with float32 sums, in tensor cores.
        gigabytes: Of memory read or written in a second.
        memory: In gigabytes.
    """

    name: str
    tera_flops: float
    gigabytes: float
    memory: int

    @property
    def rates(self) -> Rates:
        """Nominal rates: of the peak, networks of images reach a fifth, those of volumes a tenth, memory a half.

        A number of an activation is written and read about ten times, in two bytes, by a forward and a backward pass.
        """
        multiply_adds = self.tera_flops * 1e12 / 2
        numbers = 0.5 * self.gigabytes * 1e9 / 20
        return Rates(
            machine=self.name,
            measured=False,
            on_gpu=True,
            multiply_adds=multiply_adds / 5,
            multiply_adds_3d=multiply_adds / 10,
            numbers=numbers,
            upsampled=numbers / 4,
            launches=6e4,
            megapixels=20,
            core=1,
            start=2,
            start_torch=8,
            gpu_mb=self.memory * 1000,
        )


# From the vendors' data sheets.
CARDS = {
    "h100": Card("H100 SXM, 80 GB", 989, 3350, 80),
    "a100": Card("A100 SXM, 80 GB", 312, 2039, 80),
    "l4": Card("L4, 24 GB", 121, 300, 24),
    "v100": Card("V100 SXM2, 16 GB", 125, 900, 16),
    "t4": Card("T4, 16 GB", 65, 320, 16),
    "rtx4090": Card("RTX 4090, 24 GB", 165, 1008, 24),
    "rtx3090": Card("RTX 3090, 24 GB", 71, 936, 24),
}


def remember(rates: Rates, threads: int) -> None:
    """Write measured rates to the user's cache, or say why that cannot be."""
    try:
        path = _cache()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**_read(path), _key(rates.on_gpu, threads): asdict(rates)})
    except (OSError, RuntimeError) as error:
        logger.warning("the measured rates cannot be kept (%s); set XDG_CACHE_HOME to a folder for them", error)


def remembered(on_gpu: bool, threads: int) -> Rates | None:
    """The rates that were measured on this machine, with the torch that is installed; None if there are none."""
    with suppress(KeyError, TypeError, RuntimeError):
        return Rates(**_read(_cache())[_key(on_gpu, threads)])
    return None


def _cache() -> Path:
    """The file in the user's cache. Path raises RuntimeError where nobody's home is known."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "rescan", "rates.json")


def _read(path: Path) -> dict[str, Any]:
    """What is in the cache; a damaged file is as good as none."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_bytes())
        return content if isinstance(content, dict) else {}
    return {}


def _key(on_gpu: bool, threads: int) -> str:
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "none"
    return f"{platform.node()}, {'GPU' if on_gpu else f'{threads} threads'}, torch {torch}"
