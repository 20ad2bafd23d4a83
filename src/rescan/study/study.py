"""A study at one scale: all sections, checked together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from rescan import names
from rescan.files import fingerprint, read_json
from rescan.paths import Paths
from rescan.study.autoencoder import Autoencoder
from rescan.study.data import Data, Split
from rescan.study.explanation import Explanation
from rescan.study.preparation import Preparation
from rescan.study.published import Ablation, Claim, Published
from rescan.study.recipe import NOT_TRAINED, Recipe
from rescan.study.strict import ArmName, AutoencoderName, Name, PreparationName, Strict

SCALES = ("demo", "full")
AUTOENCODERS = "autoencoders/"  # before the name of an autoencoder, where trainings are named
TRAINING_VERSION = 2  # raise it when the same recipe and data would give another model


class Study(Strict):
    """A study at one scale: the file merged, checked, with every arm's whole recipe."""

    name: Name
    scale: Literal["demo", "full"]
    file: str = Field(default="", description="where it was read from")
    title: str
    cite: str = ""
    notes: list[str] = []
    data: Data
    split: Split = Split()
    preparations: Annotated[dict[PreparationName, Preparation], Field(min_length=1)]
    autoencoders: dict[AutoencoderName, Autoencoder] = {}
    arms: Annotated[dict[ArmName, Recipe], Field(min_length=1)]
    published: list[Published] = []
    claims: list[Claim] = []
    ablations: dict[Name, Ablation] = {}
    gradcam: Explanation = Explanation()

    @model_validator(mode="after")
    def _encoders_fit(self) -> Study:
        for name, autoencoder in self.autoencoders.items():
            if autoencoder.preparation not in self.preparations:
                near = names.suggest(autoencoder.preparation, self.preparations)
                raise ValueError(f"autoencoders: {name}: no preparation {autoencoder.preparation!r}{near}")
            self._check_encoder(f"autoencoders: {name}", autoencoder.encoder, autoencoder)
        for name, recipe in self.arms.items():
            network, where = recipe.network, f"arms: {name}"
            if recipe.preparation in self.preparations:
                self._check_encoder(where, network.encoder, recipe)
            if network.weights == "imagenet":
                if network.encoder in names.WITHOUT_WEIGHTS:
                    raise ValueError(f"{where}: network: {network.encoder} has no ImageNet weights; use weights: none")
                if network.norm != "batch":
                    raise ValueError(f"{where}: network: ImageNet weights need norm: batch; or use weights: none")
            elif network.weights != "none":
                self._check_start(where, recipe)
        return self

    def _check_encoder(self, where: str, encoder: str, of: Recipe | Autoencoder) -> None:
        """Raise ValueError unless encoder and augmentation are for what the preparation makes."""
        dimensions = self.preparations[of.preparation].dimensions
        if dimensions != (3 if encoder in names.ENCODERS_3D else 2):
            made = "volumes" if dimensions == 3 else "images"
            raise ValueError(f"{where}: preparation {of.preparation} makes {made}, {encoder} takes the other kind")
        known, what = (names.AUGMENTATIONS_3D, "volumes") if dimensions == 3 else (names.AUGMENTATIONS_2D, "images")
        shown = of.inference.augmentation if isinstance(of, Recipe) else {}
        if wrong := {*of.augmentation, *shown} - set(known):
            raise ValueError(f"{where}: augmentation: {min(wrong)} is not for {what}")

    def _check_start(self, where: str, recipe: Recipe) -> None:
        """Raise ValueError unless a recipe's autoencoder is there and has its encoder."""
        network, known = recipe.network, self.autoencoders
        if network.weights not in known:
            near = names.suggest(network.weights, ["imagenet", "none", *known])
            raise ValueError(f"{where}: network: no weights {network.weights!r}{near}")
        if recipe.training_samples != "all":
            said = f"but autoencoder {network.weights} learns from all of them; use weights: none"
            raise ValueError(f"{where}: training_samples: {recipe.training_samples}, {said}")
        own = known[network.weights]
        for what, theirs, ours in (
            ("encoder", own.encoder, network.encoder),
            ("its blocks", own.blocks, network.blocks),
            ("norm", own.norm, network.norm),
            ("normalization", own.normalization, recipe.normalization),
        ):
            if theirs != ours:
                raise ValueError(f"{where}: {what} is {ours}, but that of autoencoder {network.weights} is {theirs}")

    @model_validator(mode="after")
    def _arms_and_data_agree(self) -> Study:
        for name, recipe in self.arms.items():
            if "binary" in recipe.network.heads and len(self.data.classes) != 2:
                raise ValueError(f"arms: {name}: a binary head tells two classes apart, not {len(self.data.classes)}")
            if {"regression", "ordinal"} & set(recipe.network.heads) and not self.data.ordered:
                raise ValueError(
                    f"arms: {name}: regression and ordinal heads are for grades; add ordered: true to data"
                )
            cuts, needed = recipe.posttrain.cuts, len(self.data.classes) - 1
            if isinstance(cuts, list) and len(cuts) != needed:
                raise ValueError(f"arms: {name}: posttrain: {len(cuts)} cuts, but these classes need {needed}")
            for extra in sorted(recipe.extras - set(self.data.extra)):
                near = names.suggest(extra, self.data.extra)
                raise ValueError(f"arms: {name}: stages: samples: no data.extra {extra!r}{near}")
        if (beside := self.gradcam.beside) in self.arms:
            shown = self.preparations.get(self.arms[beside].preparation)
            if shown and (shown.dimensions == 3 or any(step["name"] == "patches" for step in shown.steps)):
                raise ValueError(
                    f"gradcam: beside: arm {beside} has no image for each sample; name one whose images are whole"
                )
        for entry in self.published:
            if entry.endpoint is not None and entry.endpoint not in self.data.endpoints:
                near = names.suggest(entry.endpoint, self.data.endpoints)
                raise ValueError(f"published: no endpoint {entry.endpoint!r}{near}")
        return self

    @model_validator(mode="after")
    def _arms_lead_to_models(self) -> Study:
        for name, recipe in self.arms.items():
            if recipe.against is not None and recipe.against not in self.arms:
                raise ValueError(
                    f"arms: {name}: against: no arm {recipe.against!r} is run{names.suggest(recipe.against, self.arms)}"
                )
            for other in [recipe.models] if recipe.models else recipe.ensemble.members if recipe.ensemble else []:
                if other not in self.arms:
                    raise ValueError(f"arms: {name}: needs arm {other!r}, which is not run; add it to run")
                if other == name or self.arms[other].ensemble or (recipe.models and not self.arms[other].trains):
                    raise ValueError(f"arms: {name}: arm {other!r} has no models of its own")
                links = {head: described.link for head, described in recipe.network.heads.items()}
                theirs = self.arms[other].network.heads
                if any(head not in theirs or theirs[head].link != link for head, link in links.items()):
                    raise ValueError(f"arms: {name}: its members need the same heads; those of {other!r} differ")
            if recipe.models and self._trained(name) != self._trained(recipe.models):
                differs = "may differ from it in posttrain, inference and folds only"
                raise ValueError(f"arms: {name}: an arm with models: {recipe.models} {differs}")
        return self

    @model_validator(mode="after")
    def _ablations_have_one_budget(self) -> Study:
        def budget(arm: str) -> list[int | None]:
            return [stage.steps for stage in self.arms[arm].stages.values()]

        for name, ablation in self.ablations.items():
            for arm in ablation.arms:
                if None in (own := budget(arm)) or own != budget(ablation.base):
                    said = f"arm {arm} must be trained for as many steps as {ablation.base}"
                    raise ValueError(f"ablations: {name}: {said}; give their stages the same steps, not epochs")
        return self

    def runs(self, arm: str) -> list[tuple[int, int]]:
        """All (fold, seed) of an arm. An ensemble is one run a seed."""
        recipe = self.arms[arm]
        folds = min(recipe.folds or self.split.folds, self.split.folds)
        if recipe.ensemble is not None or recipe.validation == "test":
            folds = 1  # validated on the test part, all folds are trained on the same samples
        return [(fold, seed) for fold in range(folds) for seed in self.split.seeds]

    def models(self, arm: str) -> list[tuple[str, str, int, int]]:
        """The trained models behind an arm's predictions: (member, arm whose model it reads, fold, seed)."""
        recipe = self.arms[arm]
        members = recipe.ensemble.members if recipe.ensemble else [arm]
        return [(name, self.arms[name].models or name, *run) for name in members for run in self.runs(name)]

    def recipe_of(self, arm: str) -> Recipe:
        """The recipe of an arm, or of an autoencoder, whose runs are kept as those of the arm `autoencoders/<name>`."""
        return self.arms[arm] if arm in self.arms else self.autoencoders[arm[len(AUTOENCODERS) :]].recipe()

    def learns_from_all(self, arm: str) -> bool:
        """Whether a training sees the test part."""
        if arm in self.arms:
            return self.arms[arm].validation == "test"
        return self.autoencoders[arm[len(AUTOENCODERS) :]].samples == "all"

    def start_weights(self, arm: str, fold: int | str, seed: int | str) -> str | None:
        """The file that a run's encoder starts from: ImageNet weights, or those of the same run of an autoencoder."""
        network = self.recipe_of(arm).network
        if network.weights == "none":
            return None
        if network.weights == "imagenet":
            return Paths.weights(network.encoder)
        return f"{Paths(self.scale, self.name).autoencoder(network.weights, fold, seed)}/encoder.safetensors"

    def autoencoder(self, arm: str) -> str | None:
        """The autoencoder that an arm's training starts from."""
        weights = self.arms[arm].network.weights
        return None if weights in ("imagenet", "none") else weights

    def base(self, arm: str) -> str | None:
        """The arm that an arm is compared with: as its recipe says; else the one it reads; else the study's first."""
        recipe = self.arms[arm]
        found = recipe.against or recipe.models or (recipe.ensemble.members[0] if recipe.ensemble else self.first_arm)
        return None if found == arm else found

    @property
    def metric(self) -> str:
        """The metric that stands first: quadratic kappa for grades, else accuracy."""
        return "quadratic_kappa" if self.data.ordered else "accuracy"

    @property
    def positive(self) -> int | None:
        """The number of the positive class of two, the last; None of more classes."""
        return len(self.data.classes) - 1 if len(self.data.classes) == 2 else None

    def is_scored(self, arm: str) -> bool:
        """Whether there is a metrics.json of the arm as its recipe is now (relative to the working folder)."""
        path = Path(Paths(self.scale, self.name).arm(arm), "metrics.json")
        return path.is_file() and read_json(path).get("result_key") == self.result_key(arm)

    @property
    def first_arm(self) -> str:
        """The arm that the others are compared with, and whose preparation and augmentation `explore` shows."""
        return next(iter(self.arms))

    def key(self, *sections: str) -> str:
        """Fingerprint of some sections, as dotted paths, or of all: a rule's parameter, so that only they rerun it."""
        whole = self.model_dump(mode="json")
        return fingerprint([_pick(whole, section) for section in sections] or whole)

    def recipe_key(self, arm: str) -> str:
        """Fingerprint of all that an arm's training depends on in the study file, and of the trainer's version."""
        recipe = self.recipe_of(arm)
        read = recipe.epoch_head if recipe.chooses_by_class else ""
        return fingerprint([*self._trained(arm), read, self.data.classes, TRAINING_VERSION])

    def _trained(self, arm: str) -> list[Any]:
        """What an arm's training depends on in its recipe; the order of stages and heads matters, too."""
        recipe = self.recipe_of(arm)
        preparation = self.preparations[recipe.preparation].model_dump(mode="json")
        order = [list(recipe.stages), list(recipe.network.heads)]
        name = self.autoencoder(arm) if arm in self.arms else arm[len(AUTOENCODERS) :]
        started = []
        if name:
            own = self.autoencoders[name]
            started = [own.model_dump(mode="json"), self.preparations[own.preparation].model_dump(mode="json")]
        return [recipe.model_dump(mode="json", exclude=NOT_TRAINED), order, preparation, *started]

    def result_key(self, arm: str) -> str:
        """Fingerprint of all that an arm's results depend on in the study file."""
        recipe = self.arms[arm]
        members = [self.result_key(member) for member in recipe.ensemble.members] if recipe.ensemble else []
        read = recipe.model_dump(mode="json", include=NOT_TRAINED - {"against"})
        return fingerprint(
            [read, self.recipe_key(recipe.models or arm), self.data.ordered, self.data.endpoints, members]
        )


def _pick(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree[part]
    return tree
