"""The environment of the workflow's jobs, and the folder that the command was run in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rescan.workflow.plan import Plan


def launch_folder(moved: bool) -> Path:
    """The folder in which the command was run, also for the jobs that it submits to a cluster.

    Args:
        moved: Whether Snakemake works in another folder (`--directory`), which is the current one by now.
    """
    here = os.environ.get("PWD", ".") if moved else str(Path.cwd())
    return Path(os.environ.setdefault("RESCAN_LAUNCHED_IN", here))


def environment(plan: Plan) -> dict[str, str]:
    """Environment of every job: code, interpreter, the folders that Apptainer binds, settings that cause no rerun."""
    local = [data.source.path for data in plan.data_sets() if not data.phantom]
    folders = [str(plan.root), str(Path.cwd()), *(path for path in local if path)]
    data = Path("data")
    folders += [str(data.resolve())] if data.is_symlink() else []
    variables = {
        "PYTHONPATH": _prepend(f"{plan.root}/src", "PYTHONPATH"),
        "PATH": _prepend(str(Path(sys.executable).parent), "PATH"),
        "RESCAN_DEVICE": plan.config.device,
        "RESCAN_THREADS": str(plan.config.threads),
        "RESCAN_JOBS_PER_GPU": str(plan.config.jobs_per_gpu),
    }
    for prefix in ("APPTAINER", "SINGULARITY"):
        already = os.environ.get(f"{prefix}_BIND", "").split(",")
        variables[f"{prefix}_BIND"] = ",".join(dict.fromkeys(bind for bind in [*already, *folders] if bind))
        if plan.config.device != "cpu" and Path("/proc/driver/nvidia/version").exists():
            variables[f"{prefix}_NV"] = "1"
    return variables


def _prepend(first: str, variable: str) -> str:
    rest = [part for part in os.environ.get(variable, "").split(os.pathsep) if part and part != first]
    return os.pathsep.join([first, *rest])
