"""A study at one scale: all sections, checked together."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Optional

from pydantic import Field, model_validator

from rescan.paths import EXTERNAL
from rescan.study.autoencoder import Autoencoder
from rescan.study.checks import check_study
from rescan.study.data import Data
from rescan.study.explanation import Explanation
from rescan.study.operating_points import OperatingPoint
from rescan.study.preparation import Preparation
from rescan.study.published import Ablation, Claim, Published
from rescan.study.recipe import Recipe
from rescan.study.runs import Run
from rescan.study.splitting import Split
from rescan.study.strict import ArmName, AutoencoderName, Extended, Name, PreparationName, Strict, StudyName


class Home(Strict):
    """Of an external data set: the study whose networks are tested on it, and whether patients' names mean the same."""

    study: Name
    same_patients: bool


class Study(Extended):
    """A study at one scale: the file merged, checked, with every arm's whole recipe.

    An external data set is a study of its own, with a home, so that what is read of it lies apart: a training never
    depends on it.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"changes"})

    name: StudyName
    scale: Literal["demo", "small", "full"]
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
    operating_points: list[OperatingPoint] = []
    changes: dict[str, Any] = Field(default={}, description="what the run set in the file, by key path")
    home: Optional[Home] = None

    @model_validator(mode="after")
    def _sections_agree(self) -> Study:
        check_study(self)
        return self

    def external(self, name: str) -> Study:
        """An external data set as a study with the same arms."""
        own = self.data.external[name]
        data = {key: getattr(own, key) for key in ("source", "layout", "phantom")}
        data |= {"labels": own.labels or self.data.labels, "expected": {}, "extra": {}, "external": {}}
        changes = {
            "name": f"{self.name}/{EXTERNAL}/{name}",
            "home": Home(study=self.name, same_patients=own.same_patients),
            "data": self.data.model_copy(update=data),
        }
        return self.model_copy(update={**changes, "published": [], "claims": [], "ablations": {}})

    @property
    def externals(self) -> dict[str, Study]:
        """The external data sets by name."""
        return {name: self.external(name) for name in self.data.external}

    @property
    def trainer(self) -> Study:
        """The study whose networks are read: itself, or the home of an external data set, with that set's data."""
        return self if self.home is None else self.model_copy(update={"name": self.home.study, "home": None})

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
        return self.data.outcome.metric

    @property
    def positive(self) -> int | None:
        """The index of the positive class, the last of two; None for more classes."""
        return self.data.outcome.positive

    @property
    def first_arm(self) -> str:
        """The arm that the others are compared with, and whose preparation and augmentation `explore` shows."""
        return next(iter(self.arms))
