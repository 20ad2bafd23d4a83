import re
import sys
from pathlib import Path

sys.path.insert(0, f"{workflow.basedir}/src")

from snakemake.exceptions import WorkflowError

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.study import AUTOENCODERS
from rescan.study.keys import recipe_key, result_key, study_key
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
AUTOENCODER_FOLDER = P.autoencoder("{autoencoder}", "{fold}", "{seed}")
ALL_CORES = 1024  # Snakemake lowers it to --cores
GPU = 0 if CONFIG.device == "cpu" else 1


def key(*sections):
    """A parameter that changes only when these sections of the study file do."""
    return lambda wildcards: study_key(RUN.studies[wildcards.study], *sections)


def recipe_of(wildcards, arm=None):
    """The whole recipe of an arm: that of the wildcards, or the study's first."""
    study = RUN.studies[wildcards.study]
    return study.arms[study.first_arm if arm == "first" else wildcards.arm]


def shown_of(study):
    """What `explore` shows of a study's recipes: the first arm's preparation, and all augmentations."""
    whole = RUN.studies[study]
    recipes = [recipe for recipe in whole.arms.values() if recipe.trains]
    shown = dict.fromkeys(repr(recipe.augmentation) for recipe in recipes)
    return [recipes[0].preparation, whole.split.seeds[0], *shown]


def autoencoder_of(wildcards):
    """How an autoencoder is pre-trained."""
    return RUN.studies[wildcards.study].autoencoders[wildcards.autoencoder]


def store_of(study, preparation):
    """The packed store of a preparation."""
    folder = Paths(CONFIG.scale, study).store(preparation)
    return [
        f"{folder}/{name}" for name in ("images.npy", "items.csv", "preparation.json")
    ]


def store_files(wildcards, arm=None):
    """The packed store that an arm is trained on."""
    return store_of(wildcards.study, recipe_of(wildcards, arm).preparation)


def weights_file(wildcards):
    """The pretrained weights that an arm starts from, as a declared input: training nodes need no network."""
    start = RUN.studies[wildcards.study].start_weights(
        wildcards.arm, wildcards.fold, wildcards.seed
    )
    return [] if start is None else [start]


def beside_files(wildcards):
    """What an arm of volumes shows beside its maps: the model and the store of an arm of projections."""
    study = RUN.studies[wildcards.study]
    beside = study.gradcam.beside
    volumes = study.preparations[recipe_of(wildcards).preparation].dimensions == 3
    if beside is None or not volumes:
        return []
    model = f"{Paths(CONFIG.scale, study.name).run(*study.models(beside)[0][1:])}/model.safetensors"
    return [model, *store_of(study.name, study.arms[beside].preparation)]


def of_runs(name, trained=False):
    """A file of every run of an arm; `trained`: of the runs whose models it reads (of an ensemble, its members')."""

    def files(wildcards):
        study, paths = RUN.studies[wildcards.study], Paths(
            CONFIG.scale, wildcards.study
        )
        runs = (
            [run for _, *run in study.models(wildcards.arm)]
            if trained
            else [(wildcards.arm, *run) for run in study.runs(wildcards.arm)]
        )
        return [f"{paths.run(*run)}/{name}" for run in runs]

    return files


def model_file(wildcards):
    """The model whose outputs a run holds: its own, or that of the arm that it reads."""
    arm = recipe_of(wildcards).models or wildcards.arm
    run = Paths(CONFIG.scale, wildcards.study).run(arm, wildcards.fold, wildcards.seed)
    return f"{run}/model.safetensors"


def members_predictions(wildcards):
    """The predictions that an ensemble averages."""
    study, paths = RUN.studies[wildcards.study], Paths(CONFIG.scale, wildcards.study)
    return [
        f"{paths.run(member, *run)}/predictions.csv"
        for member in study.arms[wildcards.ensemble].ensemble.members
        for run in study.runs(member)
        if str(run[1]) == wildcards.seed
    ]


def ensembles():
    """A pattern of all ensembles' names: they are not trained, nor shown any image."""
    found = {
        arm
        for study in RUN.studies.values()
        for arm, recipe in study.arms.items()
        if recipe.ensemble
    }
    return "|".join(re.escape(arm) for arm in sorted(found)) or "(?!)"


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
    paths, whole = Paths(CONFIG.scale, study), RUN.studies[study]
    files = [paths.source, paths.manifest, paths.audit, paths.groups, paths.splits]
    files.append(paths.explore)
    for arm in arms_to_report(study):
        recipe = whole.arms[arm]
        of_arm = ["posttraining.json", "metrics.json"]
        of_arm += [] if recipe.models or recipe.ensemble else ["gradcam"]
        of_run = ["predictions.csv"]
        of_run += (
            ["model.safetensors", "history.csv", "losses.csv"] if recipe.trains else []
        )
        made = [f"{paths.arm(arm)}/{name}" for name in of_arm]
        made += [
            f"{paths.run(arm, *run)}/{name}"
            for run in whole.runs(arm)
            for name in of_run
        ]
        if name := whole.autoencoder(arm):
            made += [
                f"{paths.autoencoder(name, *run)}/{file}"
                for run in whole.runs(arm)
                for file in ("encoder.safetensors", "history.csv")
            ]
        files += [file for file in made if not CONFIG.partial or Path(file).exists()]
    return [*dict.fromkeys(files), paths.comparison]
