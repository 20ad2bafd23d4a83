import sys
from pathlib import Path

sys.path.insert(0, f"{workflow.basedir}/src")

from snakemake.exceptions import WorkflowError

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.workflow import Run, launch_folder

try:
    RUN = Run(
        config, Path(workflow.basedir), launch_folder(bool(workflow.overwrite_workdir))
    )
    IMAGE = RUN.image(
        used="apptainer"
        in {str(method) for method in workflow.deployment_settings.deployment_method}
    )
except RescanError as error:
    raise WorkflowError(str(error))
RUN.set_environment()

CONFIG = RUN.config
HOST = f"{workflow.basedir}/envs/host.yaml"
P = Paths(CONFIG.scale, "{study}")
ARM_FOLDER = P.arm("{arm}")
RUN_FOLDER = P.run("{arm}", "{fold}", "{seed}")
ALL_CORES = 1024  # Snakemake lowers it to --cores
GPU = 0 if CONFIG.device == "cpu" else 1


def key(*sections):
    """A parameter that changes only when these sections of the study file do."""
    return lambda wildcards: RUN.studies[wildcards.study].key(*sections)


def recipe_of(wildcards, arm=None):
    """The whole recipe of an arm: that of the wildcards, or the study's first."""
    study = RUN.studies[wildcards.study]
    return study.arms[study.first_arm if arm == "first" else wildcards.arm]


def store_files(wildcards, arm=None):
    """The packed store that an arm is trained on."""
    folder = Paths(CONFIG.scale, wildcards.study).store(
        recipe_of(wildcards, arm).preparation
    )
    return [
        f"{folder}/{name}" for name in ("images.npy", "items.csv", "preparation.json")
    ]


def weights_file(wildcards):
    """The pretrained weights that an arm starts from, as a declared input: training nodes need no network."""
    network = recipe_of(wildcards).network
    return [] if network.weights == "none" else [Paths.weights(network.encoder)]


def of_runs(name):
    """A file of every run of an arm."""
    return lambda wildcards: [
        f"{Paths(CONFIG.scale, wildcards.study).run(wildcards.arm, fold, seed)}/{name}"
        for fold, seed in RUN.studies[wildcards.study].runs()
    ]


def arms_to_report(study):
    """All arms; with partial=true, those that are scored already, as their recipes are now."""
    arms = RUN.studies[study].arms
    return [
        arm for arm in arms if not CONFIG.partial or RUN.studies[study].is_scored(arm)
    ]


def of_arms(study, *names):
    """Files of every arm of a study that the page shows; with partial=true, those that are there."""
    files = [
        f"{Paths(CONFIG.scale, study).arm(arm)}/{name}"
        for arm in arms_to_report(study)
        for name in names
    ]
    return [file for file in files if not CONFIG.partial or Path(file).exists()]


def everything(study):
    """All that lies between a study's source and the page, for `rule all`.

    Snakemake deletes the outputs of a failed job, and makes a file again only if a target asks for it: unasked, what was made of
    the deleted file would stay and be shown.
    """
    paths, runs = Paths(CONFIG.scale, study), RUN.studies[study].runs()
    of_run = [
        f"fold{fold}_seed{seed}/{name}"
        for fold, seed in runs
        for name in ("model.safetensors", "history.csv", "predictions.csv")
    ]
    data = [paths.source, paths.manifest, paths.audit, paths.groups, paths.splits]
    arms = of_arms(study, *of_run, "posttraining.json", "metrics.json", "gradcam")
    return [*data, paths.explore, *arms, paths.comparison]
