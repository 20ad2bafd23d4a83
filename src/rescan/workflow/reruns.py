"""Parameters of the rules that say what, beside its inputs, reruns a job: each changes only if its result would."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from rescan import catalogue
from rescan.catalogue import phantoms
from rescan.files import fingerprint
from rescan.paths import Paths
from rescan.study import DataSet, Recipe, Study
from rescan.study.keys import autoencoder_key, preparation_key, recipe_key, result_key, study_key
from rescan.walk import files_below
from rescan.workflow.plan import Plan
from rescan.workflow.wildcards import Wildcards

NO_DATA = (".csv", ".tsv", ".xlsx", ".yaml", ".yml")  # study files, predictions: unless the layout reads such a table


@dataclass(frozen=True)
class Keys:
    """What a job depends on in the study, by its wildcards."""

    plan: Plan

    def sections(self, *sections: str) -> Callable[[Wildcards], str]:
        """A parameter that changes only when these sections of the study file do."""
        return lambda wildcards: study_key(self._study(wildcards), *sections)

    def data(self, wildcards: Wildcards) -> str:
        """What the download depends on: the data section, the phantom's version, the state of a local source."""
        study = self._study(wildcards)
        sections = [*DataSet.model_fields, "classes", "labels", "ordered", "expected", "extra"]
        states = [_state(data) for data in (study.data, *study.data.extra.values())]
        key = study_key(study, *(f"data.{section}" for section in sections)) + " multilabel" * study.data.multilabel
        key += " frames" * (study.data.frames == "each")
        return fingerprint([key, states])

    def index(self, wildcards: Wildcards) -> str:
        """How the samples are listed; with how ids are shown where that is not by default."""
        study = self._study(wildcards)
        sections = [f"data.{section}" for section in ("layout", "classes", "labels", "ordered", "extra")]
        key = study_key(study, *sections, "split.test") + ("" if study.data.patients == "hashed" else " as_is")
        return key + " multilabel" * study.data.multilabel + " frames" * (study.data.frames == "each")

    def audit(self, wildcards: Wildcards) -> str:
        """What the audit looks for; of external data also what is shared with the home's; and if values may be NaN."""
        study = self._study(wildcards)
        gaps = any(preparation.nan == "black" for preparation in study.preparations.values())
        home = ["home"] if study.home else []
        key = study_key(study, "data.classes", "data.ordered", "data.extra", "split.group_by", *home)
        return key + " nan" * gaps + " multilabel" * study.data.multilabel

    def preparation(self, wildcards: Wildcards) -> str:
        """A preparation of the study."""
        return preparation_key(self._study(wildcards), wildcards.preparation)

    def exploration(self, wildcards: Wildcards) -> list[Any]:
        """The first arm's preparation and all augmentations, of which `explore` draws examples."""
        study = self._study(wildcards)
        recipes = [recipe for recipe in study.arms.values() if recipe.trains]
        augmentations = dict.fromkeys(repr(recipe.augmentation) for recipe in recipes)
        return [recipes[0].preparation, study.split.seeds[0], *augmentations]

    def weights_file(self, wildcards: Wildcards) -> list[Any]:
        """The state of the file of a person's own that weights are made of."""
        own = self.plan.own_weights.get(Paths.weights(wildcards.encoder))
        return _signature(Path(own.file))[1:] if own else []

    def pretraining(self, wildcards: Wildcards) -> str:
        """How an autoencoder is trained."""
        return autoencoder_key(self._study(wildcards), wildcards.autoencoder)

    def training(self, wildcards: Wildcards) -> str:
        """How an arm is trained."""
        return recipe_key(self._study(wildcards), wildcards.arm)

    def inference(self, wildcards: Wildcards) -> list[Any]:
        """How an arm's outputs are computed."""
        recipe = self._recipe(wildcards)
        return [recipe.inference.model_dump_json(), recipe.epoch_head]

    def ensemble(self, wildcards: Wildcards) -> str:
        """How an ensemble averages its members."""
        ensemble = self._study(wildcards).arms[wildcards.ensemble].ensemble
        return "" if ensemble is None else ensemble.model_dump_json()

    def results(self, wildcards: Wildcards) -> str:
        """All that an arm's results depend on."""
        return result_key(self._study(wildcards), wildcards.arm)

    def comparisons(self, wildcards: Wildcards) -> list[str | None]:
        """The arm that each arm is compared with."""
        study = self._study(wildcards)
        return [study.base(arm) for arm in study.arms]

    def whole(self, wildcards: Wildcards) -> str:
        """All of the study."""
        return study_key(self._study(wildcards))

    def _study(self, wildcards: Wildcards) -> Study:
        return self.plan.everything[wildcards.study]

    def _recipe(self, wildcards: Wildcards) -> Recipe:
        return self._study(wildcards).arms[wildcards.arm]


def _state(data: DataSet) -> Any:
    """The version of a phantom; of a local source names, sizes and times of change of its files."""
    if data.phantom:
        return phantoms.VERSION
    if not data.source.path:
        return ""
    source = Path(data.source.path)
    if not source.exists():
        return []  # the download will say so
    tables = [table.format(**data.layout) for table in catalogue.LAYOUTS[data.layout["name"]].tables]
    outside = [_signature(Path(table)) for table in tables if Path(table).is_absolute()]
    if not source.is_dir():
        return [_signature(source), *outside]
    names = {PurePosixPath(table).name for table in tables}
    files = files_below(source, failed=lambda _: None)  # the layout will say what of them it needs
    read = (
        file
        for file in files
        if not file.name.lower().endswith(NO_DATA)
        or file.name in names
        or any(fnmatch(file.name, name) for name in names if "*" in name)
    )
    states = map(_signature, read)
    return [*sorted(states, key=lambda state: state[0].replace(os.sep, "\0")), *outside]  # as paths are sorted


def _signature(file: Path | os.DirEntry[str]) -> list[Any]:
    """A file's path, size and time of change; its path alone if it is not there."""
    path = os.fsencode(file).decode("utf-8", "backslashreplace")  # a name may be no text
    try:
        state = file.stat()
    except OSError:
        return [path]
    return [path, state.st_size, state.st_mtime_ns]
