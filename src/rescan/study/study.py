"""A study at one scale: all sections, checked together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rescan.study.autoencoder import Autoencoder
from rescan.study.checks import check_study
from rescan.study.data import Data
from rescan.study.explanation import Explanation
from rescan.study.preparation import Preparation
from rescan.study.published import Ablation, Claim, Published
from rescan.study.recipe import Recipe
from rescan.study.runs import Run
from rescan.study.split import Split
from rescan.study.strict import ArmName, AutoencoderName, Name, PreparationName, Strict


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
    def _sections_agree(self) -> Study:
        check_study(self)
        return self

    def runs(self, arm: str) -> list[Run]:
        """All runs of an arm. An ensemble has one per seed."""
        recipe = self.arms[arm]
        folds = min(recipe.folds or self.split.fold_count, self.split.fold_count)
        if recipe.ensemble is not None or recipe.validation == "test":
            folds = 1  # validated on the test part, all folds are trained on the same samples
        return [Run(self, arm, fold, seed) for fold in range(folds) for seed in self.split.seeds]

    def member_runs(self, arm: str) -> list[Run]:
        """The runs behind an arm's predictions: those of an ensemble's members, else its own."""
        recipe = self.arms[arm]
        return [run for member in (recipe.ensemble.members if recipe.ensemble else [arm]) for run in self.runs(member)]

    def autoencoder(self, arm: str) -> str | None:
        """The autoencoder that an arm's training starts from."""
        weights = self.arms[arm].network.weights
        return None if weights in ("imagenet", "none") else weights

    def base(self, arm: str) -> str | None:
        """The arm that an arm is compared with: `against`, or the arm whose models it reads, or the study's first."""
        recipe = self.arms[arm]
        base = recipe.against or recipe.models or (recipe.ensemble.members[0] if recipe.ensemble else self.first_arm)
        return None if base == arm else base

    @property
    def metric(self) -> str:
        """The main metric: quadratic kappa for grades, else accuracy."""
        return "quadratic_kappa" if self.data.ordered else "accuracy"

    @property
    def positive(self) -> int | None:
        """The index of the positive class, the last of two; None for more classes."""
        return len(self.data.classes) - 1 if len(self.data.classes) == 2 else None

    @property
    def first_arm(self) -> str:
        """The arm that the others are compared with, and whose preparation and augmentation `explore` shows."""
        return next(iter(self.arms))
