"""Fingerprints of a study: equal ones mean that existing results are still valid."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from rescan.files import fingerprint
from rescan.study.recipe import NOT_TRAINED

if TYPE_CHECKING:
    from rescan.study.study import Study

TRAINING_VERSION = 3  # raise it when the same recipe and data would give another model
RESULTS_VERSION = 3  # raise it when the same predictions would give other results, or another form of them


def study_key(study: Study, *sections: str) -> str:
    """Fingerprint of some sections, as dotted paths, or of all: a rule's parameter, so that only they rerun it."""
    content = study.model_dump(mode="json")
    parts = [reduce(lambda tree, key: tree[key], section.split("."), content) for section in sections]
    return fingerprint(parts or content)


def preparation_key(study: Study, name: str) -> str:
    """Fingerprint of a preparation."""
    return fingerprint([study.preparations[name].model_dump(mode="json")])


def recipe_key(study: Study, arm: str) -> str:
    """Fingerprint of all that an arm's training depends on in the study file, and of the trainer's version."""
    recipe = study.arms[arm]
    epoch_head = recipe.epoch_head if recipe.chooses_by_class else ""
    return fingerprint([*training_content(study, arm), epoch_head, study.data.classes, TRAINING_VERSION])


def autoencoder_key(study: Study, name: str) -> str:
    """Fingerprint of all that an autoencoder's training depends on in the study file, and of the trainer's version."""
    return fingerprint([*autoencoder_content(study, name), TRAINING_VERSION])


def result_key(study: Study, arm: str) -> str:
    """Fingerprint of all that an arm's results depend on in the study file."""
    recipe = study.arms[arm]
    members = [result_key(study, member) for member in recipe.ensemble.members] if recipe.ensemble else []
    reading = recipe.model_dump(mode="json", include=NOT_TRAINED - {"against"})
    training = recipe_key(study, recipe.models or arm)
    points = [point.model_dump(mode="json", exclude_none=True) for point in study.operating_points]
    return fingerprint([RESULTS_VERSION, reading, training, study.data.ordered, study.data.endpoints, members, *points])


def training_content(study: Study, arm: str) -> list[Any]:
    """What an arm's training depends on in its recipe; the order of stages and heads matters, too."""
    recipe = study.arms[arm]
    preparation = study.preparations[recipe.preparation].model_dump(mode="json")
    order = [list(recipe.stages), list(recipe.network.heads)]
    name = study.autoencoder(arm)
    start = autoencoder_content(study, name) if name else []
    # What is in a file of weights counts, which `TrainingKey` holds, not where it lies.
    return [recipe.public.model_dump(mode="json", exclude=NOT_TRAINED), order, preparation, *start]


def autoencoder_content(study: Study, name: str) -> list[Any]:
    """What an autoencoder's training depends on in the study file."""
    autoencoder = study.autoencoders[name]
    return [autoencoder.model_dump(mode="json"), study.preparations[autoencoder.preparation].model_dump(mode="json")]
