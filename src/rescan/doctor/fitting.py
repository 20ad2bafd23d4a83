"""Do card, driver and torch fit together? Pure functions of versions; NVIDIA's rules and what our images hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rescan.training.cards import runs_on

# The oldest driver (on Linux) for each major version of CUDA. A driver runs all minor versions of the CUDAs that it is
# new enough for, and older CUDAs. Source: NVIDIA's "CUDA Compatibility", minor version compatibility.
OLDEST_DRIVERS = {10: "440.33", 11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}


@dataclass(frozen=True)
class Build:
    """A torch: what it is called, its CUDA ("" if it is for CPUs only), the architectures that it has kernels for."""

    name: str
    cuda: str
    kernels: Sequence[str]


# What the images hold, by flavor.
IMAGES = {
    "cu113": Build("cu113", "11.3", ("sm_37", "sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86")),
    "current": Build("current", "13.2", ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")),
}


def fault(capability: tuple[int, int] | None, driver: str, build: Build) -> str | None:
    """Why a build cannot compute on a card; None if nothing is known against it.

    Args:
        capability: The card's compute capability; None if unknown.
        driver: The driver's version, such as `535.104.05`.
        build: The torch.
    """
    if not build.cuda:
        return f"{build.name} is built for CPUs only"
    oldest = OLDEST_DRIVERS.get(int(build.cuda.partition(".")[0]))
    if oldest is not None and _numbers(driver) < _numbers(oldest):
        return f"the driver {driver} is older than {oldest}, which CUDA {build.cuda} of {build.name} needs"
    if capability is not None and not runs_on(capability, build.kernels):
        kernels = ", ".join(build.kernels)
        return f"the card is sm_{capability[0]}{capability[1]}, and {build.name} is built for {kernels}"
    return None


def advice(capability: tuple[int, int] | None, driver: str) -> str:
    """Which of our images fits a card and its driver, or what to do so that one does."""
    fitting = [flavor for flavor, build in IMAGES.items() if fault(capability, driver, build) is None]
    if fitting:
        return "use " + " or ".join(f"image={flavor}" for flavor in fitting)
    for flavor, build in IMAGES.items():
        if capability is not None and runs_on(capability, build.kernels):
            return (
                f"update the driver to {OLDEST_DRIVERS[int(build.cuda.partition('.')[0])]} or newer for image={flavor}"
            )
    return "no image fits this card: use device=cpu"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
