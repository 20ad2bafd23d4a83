"""The environment of the workflow's jobs, and the folder that the command was run in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rescan.errors import RescanError
from rescan.workflow.image import BINDS, binds_of
from rescan.workflow.plan import Plan

DRIVER = Path("/proc/driver/nvidia/version")  # where there is one of NVIDIA


def launch_folder(moved: bool) -> Path:
    """The folder in which the command was run, also for the jobs that it submits to a cluster.

    Args:
        moved: Whether Snakemake works in another folder (`--directory`), which is the current one by now.
    """
    here = os.environ.get("PWD", ".") if moved else str(Path.cwd())
    return Path(os.environ.setdefault("RESCAN_LAUNCHED_IN", here))


def check_folder() -> None:
    """Refuse a folder that Snakemake, whose files come first, cannot write in; it would say so in a traceback.

    Raises:
        RescanError: This is one.
    """
    for folder in (Path(), Path(".snakemake")):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            remedy = "run this in a folder of your own, or name one by --directory"
            raise RescanError(f"{folder.resolve()}: nothing can be written in it; {remedy}")


def environment(plan: Plan) -> dict[str, str]:
    """Environment of every job: code, interpreter, the folders that Apptainer binds, settings that cause no rerun."""
    variables = {
        "PYTHONPATH": _prepend(f"{plan.root}/src", "PYTHONPATH"),
        "PATH": _prepend(str(Path(sys.executable).parent), "PATH"),
        "RESCAN_DEVICE": plan.config.device,
        "RESCAN_THREADS": str(plan.config.threads),
        "RESCAN_JOBS_PER_GPU": str(plan.config.jobs_per_gpu),
    }
    for prefix in ("APPTAINER", "SINGULARITY"):
        # Under both names the same: Apptainer leaves the value of the older one out where they differ.
        variables[f"{prefix}_BIND"] = ",".join(dict.fromkeys([*binds_of(*BINDS), *bound(plan)]))
        if plan.config.device != "cpu" and DRIVER.exists():
            variables[f"{prefix}_NV"] = "1"
        # In the image this folder is the home; these two would be left among the user's files.
        caches = Path(".snakemake/cache").resolve()
        variables[f"{prefix}ENV_MPLCONFIGDIR"] = str(caches / "matplotlib")
        variables[f"{prefix}ENV_CUDA_CACHE_PATH"] = str(caches / "cuda")
    return variables


def bound(plan: Plan) -> list[str]:
    """The folders and archives that a container shows to its jobs: the checkout, this folder, local sources.

    Of this folder, also where its links lead to: data or results may lie on another disk.
    """
    here = [Path(name) for name in ("data", "results", "logs")]
    places = [path for folder in here for path in (folder, *folder.glob("*"), *folder.glob("*/*"))]
    elsewhere = [str(path.resolve()) for path in places if path.is_symlink() and path.exists()]
    return list(dict.fromkeys([str(plan.root), str(Path.cwd()), *plan.local_sources(), *elsewhere]))


def _prepend(first: str, variable: str) -> str:
    rest = [part for part in os.environ.get(variable, "").split(os.pathsep) if part and part != first]
    return os.pathsep.join([first, *rest])
