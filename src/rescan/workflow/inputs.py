"""The input functions of the rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rescan.paths import Paths, RunFolder
from rescan.results.metrics_file import is_scored
from rescan.study import AutoencoderRun, Recipe, Run, Study
from rescan.workflow.plan import Plan
from rescan.workflow.wildcards import Wildcards


@dataclass(frozen=True)
class Inputs:
    """The files that a job reads, by its wildcards."""

    plan: Plan

    def store(self, wildcards: Wildcards) -> list[str]:
        """The packed store that an arm is trained on."""
        return self._store(wildcards.study, self._recipe(wildcards).preparation)

    def home(self, wildcards: Wildcards) -> list[str]:
        """What an external data set is compared with: the samples of its home study."""
        home = self._study(wildcards).home
        return [self.plan.paths(home.study).manifest] if home else []

    def external(self, wildcards: Wildcards) -> list[str]:
        """The predictions of an arm for the samples of external data sets."""
        data_sets = self._study(wildcards).externals.values()
        runs = [run for own in data_sets for run in self._runs(own.name, wildcards.arm)]
        return self._reported([run.predictions for run in runs])

    def first_store(self, wildcards: Wildcards) -> list[str]:
        """The packed store of a study's first arm."""
        study = self._study(wildcards)
        return self._store(study.name, study.arms[study.first_arm].preparation)

    def autoencoder_store(self, wildcards: Wildcards) -> list[str]:
        """The packed store that an autoencoder is trained on."""
        return self._store(wildcards.study, self._study(wildcards).autoencoders[wildcards.autoencoder].preparation)

    def start_weights(self, wildcards: Wildcards) -> list[str]:
        """The pretrained weights that an arm starts from, as a declared input: training nodes need no network."""
        weights = self._run(wildcards).start_weights
        return [] if weights is None else [weights]

    def weights_file(self, wildcards: Wildcards) -> list[str]:
        """The file of a person's own that weights are made of; none of published ones."""
        own = self.plan.own_weights.get(Paths.weights(wildcards.encoder))
        return [own.file] if own else []

    def weights_words(self, wildcards: Wildcards) -> list[str]:
        """The encoder and that file, as words of the command."""
        own = self.plan.own_weights.get(Paths.weights(wildcards.encoder))
        return [own.encoder, "--file", own.file] if own else [wildcards.encoder]

    def model(self, wildcards: Wildcards) -> str:
        """The model whose outputs a run holds: its own, or that of the arm that it reads."""
        return self._run(wildcards).trained.folder.model

    def models(self, wildcards: Wildcards) -> list[str]:
        """The models behind an arm's predictions."""
        return [run.model for run in self._trained_runs(wildcards)]

    def histories(self, wildcards: Wildcards) -> list[str]:
        """How the models behind an arm's predictions were trained."""
        runs = self._trained_runs(wildcards)
        return [*(run.history for run in runs), *(run.losses for run in runs)]

    def predictions(self, wildcards: Wildcards) -> list[str]:
        """The predictions of all runs of an arm."""
        return [run.predictions for run in self._runs(wildcards.study, wildcards.arm)]

    def diagnoses(self, wildcards: Wildcards) -> list[str]:
        """The diagnoses of all runs of an arm."""
        return [run.diagnosis for run in self._runs(wildcards.study, wildcards.arm)]

    def member_predictions(self, wildcards: Wildcards) -> list[str]:
        """The predictions that an ensemble averages."""
        runs = self._study(wildcards).member_runs(wildcards.ensemble)
        return [run.folder.predictions for run in runs if str(run.seed) == wildcards.seed]

    def beside(self, wildcards: Wildcards) -> list[str]:
        """What an arm of volumes shows beside its maps: the model and the store of an arm of projections."""
        study = self._study(wildcards)
        beside = study.gradcam.beside
        volumes = study.preparations[self._recipe(wildcards).preparation].dimensions == 3
        if beside is None or not volumes:
            return []
        model = study.member_runs(beside)[0].trained.folder.model
        return [model, *self._store(study.name, study.arms[beside].preparation)]

    def metrics(self, wildcards: Wildcards) -> list[str]:
        """The metrics of all arms that are compared."""
        paths = self.plan.paths(wildcards.study)
        return self._reported([paths.arm(arm).metrics for arm in self.arms_to_report(wildcards.study)])

    def arms_to_report(self, study: str) -> list[str]:
        """All arms; with partial=true, those that are scored already, as their recipes are now."""
        whole = self.plan.studies[study]
        return [arm for arm in whole.arms if not self.plan.config.partial or is_scored(whole, arm)]

    def arm_options(self, wildcards: Wildcards) -> list[str]:
        """The arms that are compared, as options of the command."""
        return [word for arm in self.arms_to_report(wildcards.study) for word in ("--arm", arm)]

    def to_report(self, wildcards: Wildcards) -> list[str]:
        """What a study's page shows."""
        return self.everything(wildcards.study)

    def everything(self, study: str) -> list[str]:
        """All that lies between a study's source and the page, for `rule all`.

        Snakemake deletes the outputs of a failed job, and makes a file again only if a target asks for it. A deleted
        file that no target asks for would not come back, and what was made of it would stay and be shown.
        """
        paths, whole = self.plan.paths(study), self.plan.studies[study]
        files = []
        for name in self.arms_to_report(study):
            recipe, arm = whole.arms[name], paths.arm(name)
            files += [arm.posttraining, arm.metrics, arm.figures]
            files += [] if recipe.models or recipe.ensemble else [arm.gradcam]
            for run in self._runs(study, name):
                files += [run.predictions]
                files += [run.model, run.history, run.losses] if recipe.trains else []
            if autoencoder := whole.autoencoder(name):
                for trained in whole.runs(name):
                    own = AutoencoderRun(whole, autoencoder, trained.fold, trained.seed).folder
                    files += [own.encoder, own.history, own.curves, own.reconstructions_figure]
        data = [paths.source, paths.manifest, paths.audit, paths.groups, paths.splits, paths.explore]
        for external in whole.externals.values():
            apart = self.plan.paths(external.name)
            data += self._reported([apart.source, apart.manifest, apart.audit, apart.groups, apart.splits])
            files += [run.predictions for arm in self.arms_to_report(study) for run in self._runs(external.name, arm)]
        return [*data, *dict.fromkeys(self._reported(files)), paths.comparison, paths.comparison_figures]

    def ensembles(self) -> str:
        """A pattern of the names of all ensembles, which are neither trained nor given any image."""
        arms = {arm for study in self.plan.studies.values() for arm, recipe in study.arms.items() if recipe.ensemble}
        return "|".join(re.escape(arm) for arm in sorted(arms)) or "(?!)"

    def _study(self, wildcards: Wildcards) -> Study:
        return self.plan.everything[wildcards.study]

    def _recipe(self, wildcards: Wildcards) -> Recipe:
        return self._study(wildcards).arms[wildcards.arm]

    def _run(self, wildcards: Wildcards) -> Run:
        return Run(self._study(wildcards), wildcards.arm, int(wildcards.fold), int(wildcards.seed))

    def _store(self, study: str, preparation: str) -> list[str]:
        store = self.plan.paths(study).store(preparation)
        return [store.images, store.items, store.preparation]

    def _runs(self, study: str, arm: str) -> list[RunFolder]:
        return [run.folder for run in self.plan.everything[study].runs(arm)]

    def _trained_runs(self, wildcards: Wildcards) -> list[RunFolder]:
        """The runs whose models an arm reads; of an ensemble, those of its members."""
        return [run.trained.folder for run in self._study(wildcards).member_runs(wildcards.arm)]

    def _reported(self, files: list[str]) -> list[str]:
        """The files; with partial=true, those that are there."""
        return [file for file in files if not self.plan.config.partial or Path(file).exists()]
