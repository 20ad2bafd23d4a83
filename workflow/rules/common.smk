import os
import sys
from pathlib import Path

sys.path.insert(0, f"{workflow.basedir}/src")

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.workflow import Run

# Relative paths in the config are relative to where the command was run, also with --directory, and in a cluster's jobs.
os.environ.setdefault(
    "RESCAN_LAUNCHED_IN",
    os.environ.get("PWD", ".") if workflow.overwrite_workdir else os.getcwd(),
)
try:
    RUN = Run(config, Path(workflow.basedir), Path(os.environ["RESCAN_LAUNCHED_IN"]))
    IMAGE = RUN.image(
        used="apptainer"
        in {str(m) for m in workflow.deployment_settings.deployment_method}
    )
except RescanError as error:
    raise WorkflowError(str(error))
os.environ.update(RUN.environment())

CONFIG = RUN.config
P = Paths(CONFIG.scale, "{study}")
GPU = 0 if CONFIG.device == "cpu" else 1


def key(*sections):
    """A parameter that changes only when these sections of the study file do."""
    return lambda wildcards: RUN.studies[wildcards.study].key(*sections)


def arms_to_report(study):
    """All arms; with partial=true, those that are scored already."""
    return [
        arm
        for arm in RUN.studies[study].arms
        if not CONFIG.partial or Path(f"{Paths(CONFIG.scale, study).arm(arm)}/metrics.json").exists()
    ]


def of_runs(pattern):
    """The files of a pattern with {{fold}} and {{seed}}, for every run of an arm."""
    return lambda wildcards: [
        pattern.format(**wildcards, fold=fold, seed=seed)
        for fold, seed in RUN.studies[wildcards.study].runs()
    ]
