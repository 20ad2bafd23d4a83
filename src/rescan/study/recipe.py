"""The section `recipe`, and an arm's difference from it: how a network is trained and read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field, model_validator

from rescan import catalogue
from rescan.study.bounds import Copies, Cut, FoldCount, Trim
from rescan.study.named import Augmentation, Named
from rescan.study.network import HeadName, Network
from rescan.study.stage import Best, EarlyStopping, TrainingStage
from rescan.study.strict import Extended, Strict


class ClassWeights(Strict):
    """A class's weight is 1 minus its share of the training samples that have the same value in a column.

    With two classes that is the share of the other one, as in Rajpurkar et al. (2017) for radiographs of a body part.
    """

    within: Literal[tuple(catalogue.KNOWN_COLUMNS)]  # type: ignore[valid-type]


class Stage(TrainingStage):
    """A stage of an arm's training."""

    samples: Annotated[list[str], Field(min_length=1, description="own, or names of data.extra")] = ["own"]
    carry: Literal["all", "encoder"] = Field(default="all", description="what of the previous stage's network is kept")
    sampling: Literal["natural", "balanced"] = "natural"
    class_weights: Union[Literal["none", "balanced"], ClassWeights] = "none"
    losses: Annotated[dict[HeadName, Annotated[dict[str, Any], Named("loss")]], Field(min_length=1)] = {
        "classification": catalogue.LOSSES["cross_entropy"].fill({})
    }

    @model_validator(mode="after")
    def _losses_fit_their_heads(self) -> Stage:
        for head, loss in self.losses.items():
            if head not in catalogue.LOSSES[loss["name"]].heads:
                losses = ", ".join(name for name, record in catalogue.LOSSES.items() if head in record.heads)
                raise ValueError(f"losses: {head}: {loss['name']!r} is no loss of this head; known: {losses}")
        return self


class Posttrain(Extended):
    """How predictions are read off the trained network: from one head, or from a linear neuron on all of them.

    The neuron, optimized cut points and thresholds of several labels are fitted on the predictions of the part
    `fit_on`. With `crossfit`, validation rows are read with a fit on the other folds, all other rows with a fit on the
    whole validation part.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"thresholds"})

    head: Union[HeadName, Literal["linear"], None] = None
    fit_on: Literal["train", "validation", "crossfit"] = "crossfit"
    cuts: Union[Literal["rounding", "optimized"], list[Cut]] = "rounding"
    thresholds: Literal["half", "youden", "f1"] = Field(
        default="half", description="of several labels: a half, or where Youden's index or F1 of each is highest"
    )

    @model_validator(mode="after")
    def _cuts_rise(self) -> Posttrain:
        if isinstance(self.cuts, list) and any(low > high for low, high in zip(self.cuts, self.cuts[1:])):
            raise ValueError(f"cuts must rise, but are {self.cuts}")
        return self


class Inference(Strict):
    """What a trained network gets of an item: the item itself (`original`), augmented copies; outputs are averaged."""

    original: bool = True
    copies: Copies = 0
    augmentation: Augmentation = {}

    @model_validator(mode="after")
    def _has_inputs(self) -> Inference:
        if not self.original and not self.copies:
            raise ValueError("needs original: true, or copies")
        if bool(self.copies) != bool(self.augmentation):
            raise ValueError("copies and augmentation belong together")
        return self


class Ensemble(Strict):
    """Arms whose runs are averaged, output by output."""

    members: Annotated[list[str], Field(min_length=1)]
    combine: Literal["mean", "trimmed_mean"] = "mean"
    trim: Trim = 0.25


class Recipe(Strict):
    """How an arm is trained and read. An arm of a study file is a difference from the study's recipe.

    An arm with `models` reads the trained models of another arm in its own way; one with `ensemble` averages the
    outputs of several arms.
    """

    preparation: str
    network: Network
    normalization: Literal[tuple(catalogue.NORMALIZATIONS)] = Field(  # type: ignore[valid-type]
        default="imagenet", description="if it is left out, what the encoder's weights expect"
    )
    augmentation: Augmentation = {}
    stages: Annotated[dict[str, Stage], Field(min_length=1)]
    keep: Union[Literal["last"], Best] = "last"
    early_stopping: EarlyStopping | None = None
    watch: list[Literal["train", "test"]] = Field(
        default=[], description="parts that are scored after each epoch, for display only"
    )
    training_samples: Literal["all", "leak_free", "size_matched", "clean_labels"] = "all"
    validation: Literal["split", "test"] = Field(
        default="split",
        description="test: validate on the test part, as some studies did by mistake",
    )
    folds: FoldCount | None = Field(default=None, description="train on this many of the split's folds only")
    posttrain: Posttrain = Posttrain()
    inference: Inference = Inference()
    models: str | None = None
    ensemble: Ensemble | None = None
    against: str | None = Field(default=None, description="the arm that it is compared with; by default the first")

    def anchored(self, folder: Path) -> Recipe:
        """The same with the path of a file of weights, if it has one, as seen from a folder."""
        return self.model_copy(update={"network": self.network.anchored(folder)})

    @property
    def public(self) -> Recipe:
        """The same without what tells of the machine: see `Network.public`."""
        return self.model_copy(update={"network": self.network.public})

    @model_validator(mode="before")
    @classmethod
    def _normalization_is_the_encoders(cls, recipe: Any) -> Any:
        """Fill in what the encoder's weights expect."""
        network = recipe.get("network") if isinstance(recipe, dict) else None
        encoder = catalogue.ENCODERS.get(network.get("encoder")) if isinstance(network, dict) else None
        return recipe if encoder is None else {"normalization": encoder.normalization, **recipe}

    @model_validator(mode="after")
    def _heads_and_losses_agree(self) -> Recipe:
        heads = list(self.network.heads)
        for name, stage in self.stages.items():
            for head in stage.losses:
                if head not in heads:
                    raise ValueError(f"stages: {name}: a loss for head {head!r}, which the network lacks")
        trained = {head for stage in self.stages.values() for head in stage.losses}
        for head in heads:
            if head not in trained:
                raise ValueError(f"network: no stage has a loss for head {head!r}; add one, or remove the head")
        return self

    @model_validator(mode="after")
    def _can_be_read(self) -> Recipe:
        heads = list(self.network.heads)
        if self.head not in (*heads, "linear"):
            raise ValueError(f"posttrain: the network has no head {self.head!r}")
        if self.head == "linear" and len(heads) < 2:
            raise ValueError(f"posttrain: head linear needs two heads or more, the network has only {heads[0]}")
        if self.validation == "test" and self.training_samples != "all":
            raise ValueError(f"validation: test trains on all other samples, not on {self.training_samples}")
        return self

    @model_validator(mode="after")
    def _can_be_fitted(self) -> Recipe:
        if self.posttrain.cuts != "rounding" and not catalogue.READERS[self.head].gives_grade:
            of_grades = " or ".join(name for name, record in catalogue.READERS.items() if record.gives_grade)
            raise ValueError(f"posttrain: cuts are for head {of_grades}, not {self.head}")
        if self.posttrain.thresholds != "half" and not catalogue.READERS[self.head].of_several:
            raise ValueError(f"posttrain: thresholds are for several labels of a sample, not for head {self.head}")
        if self.ensemble and self.posttrain.fit_on == "train" and self.is_fitted:
            raise ValueError("posttrain: an ensemble predicts no training images; use fit_on: crossfit")
        if self.validation == "test" and self.posttrain.fit_on != "train" and self.is_fitted:
            raise ValueError(
                "posttrain: with validation: test there is no validation part to fit on; use fit_on: train"
            )
        return self

    @property
    def head(self) -> str:
        """What the arm's predictions are read from: a head, or "linear", the neuron on all heads."""
        heads = list(self.network.heads)
        return self.posttrain.head or ("classification" if "classification" in heads else heads[0])

    @property
    def epoch_head(self) -> str:
        """The head that an epoch's scores are of: before post-training there is no linear neuron yet."""
        heads = list(self.network.heads)
        return self.head if self.head != "linear" else "regression" if "regression" in heads else heads[0]

    @property
    def epoch_metrics(self) -> dict[str, str]:
        """What epochs are compared by: the metric of `keep` and that of `early_stopping`, where they choose."""
        metrics = {} if self.keep == "last" else {"keep": self.keep.best}
        return {**metrics, **({"early_stopping": self.early_stopping.metric} if self.early_stopping else {})}

    @property
    def chooses_by_class(self) -> bool:
        """Whether the training depends on the classes that validation images are read as."""
        return any(metric != "loss" for metric in self.epoch_metrics.values())

    @property
    def ranks_epochs(self) -> bool:
        """Whether the head that epochs are scored by gives probabilities; a grade ranks two classes only."""
        head = self.network.heads[self.epoch_head]
        return not catalogue.HEADS[self.epoch_head].gives_grade and head.link == "sigmoid"

    @property
    def is_fitted(self) -> bool:
        """Whether post-training fits more than a temperature."""
        fits_thresholds = self.posttrain.thresholds != "half"
        return self.head == "linear" or self.posttrain.cuts == "optimized" or fits_thresholds

    @property
    def trains(self) -> bool:
        """Whether the arm has a training of its own."""
        return self.models is None and self.ensemble is None

    @property
    def extras(self) -> set[str]:
        """The names of data.extra that its stages train on."""
        return {name for stage in self.stages.values() for name in stage.samples} - {"own"}


# What of a recipe its trained models do not depend on.
NOT_TRAINED = {"posttrain", "inference", "folds", "models", "ensemble", "against"}
