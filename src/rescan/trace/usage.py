"""What a step used: versions of software, the machine, processor time and memory."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import rescan
from rescan.memory import children
from rescan.results.provenance_file import MachineUsed

if TYPE_CHECKING:
    from rescan.results.training_state import TrainingKey

LIBRARIES = (
    *("numpy", "pandas", "scipy", "sklearn", "cv2", "PIL", "nibabel", "pydicom", "matplotlib", "safetensors"),
    *("torch", "torchvision", "monai", "timm"),
)
LABELS = Path("/.singularity.d/labels.json")  # of the image that this runs in
STATUS = Path("/proc/self/status")


def versions() -> dict[str, str]:
    """The versions of Python, Rescan and the libraries that this process has loaded; with torch also that of CUDA."""
    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in LIBRARIES}
    torch = sys.modules.get("torch")
    loaded["cuda"] = torch.version.cuda if torch is not None else None
    own = {"python": platform.python_version(), "rescan": rescan.__version__}
    return {**own, **{name: str(version) for name, version in loaded.items() if version}}


def machine(trained_on: TrainingKey | None) -> MachineUsed:
    """What this process runs on.

    Args:
        trained_on: Of a training, what trained: another process may have, and this one only put its files in place.
    """
    torch = sys.modules.get("torch")
    device = threads = None
    if torch is not None:
        device = torch.cuda.get_device_name() if torch.cuda.is_initialized() else "cpu"
        threads = int(torch.get_num_threads())
    if trained_on is not None:
        known = device not in (None, "cpu") and trained_on.device != "cpu"  # the name of the GPU says more
        device = device if known else trained_on.device
        threads = trained_on.threads
    return MachineUsed(
        system=f"{platform.system()} {platform.machine()}", image=_image(), device=device, threads=threads
    )


def _image() -> str | None:
    """The flavor of the container image that this runs in, else its file's name; None if neither is known."""
    try:
        flavor = json.loads(LABELS.read_bytes()).get("rescan.flavor")
    except (OSError, ValueError, AttributeError):
        flavor = None
    return str(flavor) if flavor else os.environ.get("APPTAINER_NAME", os.environ.get("SINGULARITY_NAME"))


def peak_memory() -> int:
    """The most memory that this process has held, in bytes; other systems than Linux count what it grew from, too."""
    try:
        lines = STATUS.read_text("utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, ValueError, StopIteration):
        scale = 1 if sys.platform == "darwin" else 1024
        return scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def cpu_seconds() -> float:
    """Processor time of this process and its children so far; of pools also what their server's ended workers took."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) + sum(_of_running_children())


def _of_running_children() -> Iterator[float]:
    """Of each running child and those of its own that have ended: `man proc`, fields 14 to 17 of stat."""
    ticks = os.sysconf("SC_CLK_TCK")
    for child in children():
        with suppress(OSError, ValueError):  # it has ended meanwhile
            fields = Path("/proc", child, "stat").read_text("utf-8").rpartition(")")[2].split()
            yield sum(map(int, fields[11:15])) / ticks
