"""The typed model of a study, resolved at one scale (`study.json`). `rescan.study_file` makes it from a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function, no_info_before_validator_function

from rescan import names
from rescan.errors import RescanError
from rescan.files import fingerprint, read_json
from rescan.paths import Paths

SCALES = ("demo", "full")
AUTOENCODERS = "autoencoders/"  # before the name of an autoencoder, where trainings are named
TRAINING_VERSION = 2  # raise it when the same recipe and data would give another model
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


def _no_folder_of_ours(*reserved: str) -> AfterValidator:
    def check(name: str) -> str:
        if name in reserved:
            raise ValueError(f"{name!r} is the name of a folder that Rescan uses; take another")
        return name

    return AfterValidator(check)


# Names of folders: of a study, an arm, a preparation.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
ArmName = Annotated[Name, _no_folder_of_ours("explore", "autoencoders")]
AutoencoderName = Annotated[Name, _no_folder_of_ours("imagenet", "none")]
PreparationName = Annotated[Name, _no_folder_of_ours("raw", "raw_extra", "download")]


class _Name:
    """Marks a string as a name of a kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(lambda name: names.check(self.kind, name), handler(source))

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"enum": list(names.TABLES[self.kind])}


class _Named:
    """Marks a mapping `{name: …, option: …}`, or the name alone: checks the options and fills in their defaults."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def _validate(self, value: Any) -> dict[str, Any]:
        value = {"name": value} if isinstance(value, str) else value
        if not isinstance(value, dict) or "name" not in value:
            raise ValueError(f"needs a {self.kind}'s name, or a mapping with one under 'name'")
        name = names.check(self.kind, value["name"])
        options = names.TABLES[self.kind][name].options
        checked = {"name": name, **options}
        for option, given in value.items():
            if option == "name":
                continue
            if option not in options:
                raise ValueError(f"{self.kind} {name!r} has no option {option!r}{names.suggest(option, options)}")
            checked[option] = _as_type_of(options[option], given, option)
        return checked

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        known = {"enum": list(names.TABLES[self.kind])}
        options: dict[str, Any] = {option: {} for entry in names.TABLES[self.kind].values() for option in entry.options}
        mapping = {"type": "object", "properties": {"name": known, **options}, "additionalProperties": False}
        return {"anyOf": [known, mapping]}


def _as_type_of(default: Any, given: Any, option: str) -> Any:
    kind = type(default)
    if kind is float and type(given) is int:
        given = float(given)
    if kind is list and isinstance(given, list) and isinstance(default[0], float):
        given = [float(value) if type(value) is int else value for value in given]
    if type(given) is not kind or (kind is list and [type(v) for v in given] != [type(v) for v in default]):
        raise ValueError(f"{option} must be like {default!r}, not {given!r}")
    if option in names.CHOICES and given not in names.CHOICES[option]:
        raise ValueError(f"{option} must be one of {', '.join(names.CHOICES[option])}, not {given!r}")
    if kind is list and (min(given) < 0 or (0 not in default and min(given) == 0)):
        raise ValueError(f"{option} must be positive, but is {given!r}")
    if kind in (int, float) and default >= 0 and option not in names.SIGNED:
        _check_bounds(option, given)
    return given


def _check_bounds(name: str, given: float) -> None:
    if given < 0:
        raise ValueError(f"{name} must not be negative, but is {given!r}")
    if name in names.BELOW and given >= names.BELOW[name]:
        raise ValueError(f"{name} must be below {names.BELOW[name]}, but is {given!r}")
    if name in names.ABOVE and given <= names.ABOVE[name]:
        raise ValueError(f"{name} must be above {names.ABOVE[name]}, but is {given!r}")


def _augmentation(value: Any) -> dict[str, Any]:
    """Check each augmentation's name and the form of its value (names.AUGMENTATIONS)."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("needs a mapping such as {shear: 0.2, flip_horizontal: 0.5}")
    for name, given in value.items():
        form = names.AUGMENTATIONS[names.check("augmentation", name)].options["value"]
        numbers = given if isinstance(given, list) else [given]
        good = all(isinstance(n, (int, float)) and not isinstance(n, bool) and n >= 0 for n in numbers)
        if form == "range":
            good = good and isinstance(given, list) and len(given) == 2 and given[0] <= given[1]
        else:
            good = good and not isinstance(given, list) and (form == "amount" or given <= 1)
        if not good:
            wants = {"range": "two numbers [low, high]", "amount": "a number ≥ 0", "probability": "a number in [0, 1]"}
            raise ValueError(f"{name} needs {wants[form]}, not {given!r}")
        for number in numbers:
            _check_bounds(name, number)
    return dict(value)


def _with_text_keys(value: Any) -> Any:
    """A mapping whose keys may be written as numbers, as labels in tables often are."""
    return {str(key): entry for key, entry in value.items()} if isinstance(value, dict) else value


class Strict(BaseModel):
    """A model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Strict):
    """Where the data come from: Kaggle, an URL with its SHA-256, or a local folder or archive."""

    kaggle_dataset: str | None = None
    kaggle_competition: str | None = None
    url: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        given = (self.kaggle_dataset, self.kaggle_competition, self.url, self.path)
        if sum(value is not None for value in given) != 1:
            raise ValueError("needs exactly one of kaggle_dataset, kaggle_competition, url, path")
        if (self.url is None) != (self.sha256 is None):
            raise ValueError("url and sha256 belong together")
        return self


class DataSet(Strict):
    """Where a data set comes from, how it lies on disk, and the phantom that stands for it at `demo`."""

    source: Source
    layout: Annotated[dict[str, Any], _Named("layout")]
    phantom: Annotated[dict[str, Any], _Named("phantom")] | None = None


class Data(DataSet):
    """A study's own data set, its classes in the order of the network's outputs, and extra ones to train on only.

    `ordered` classes are grades, the lowest first. An endpoint is a question with two answers about them: is the grade
    at least this class?
    """

    classes: Annotated[list[str], Field(min_length=2)]
    labels: Annotated[dict[str, str], BeforeValidator(_with_text_keys)] = Field(
        default={}, description="the class of each label of the source; others are dropped"
    )
    ordered: bool = False
    endpoints: dict[Name, str] = {}
    expected: dict[Literal["train", "test", "all"], dict[str, int]] = {}
    extra: dict[Annotated[Name, _no_folder_of_ours("own")], DataSet] = {}

    @model_validator(mode="after")
    def _sound(self) -> Data:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a class is named twice")
        for label, name in self.labels.items():
            if name not in self.classes:
                raise ValueError(f"labels: {label}: no class {name!r}{names.suggest(name, self.classes)}")
        if self.labels and (missing := [name for name in self.classes if name not in self.labels.values()]):
            raise ValueError(f"labels: none becomes class {missing[0]!r}; add one, or take the class out of classes")
        if self.endpoints and not self.ordered:
            raise ValueError("endpoints need ordered classes; add ordered: true")
        for name, lowest in self.endpoints.items():
            if lowest not in self.classes[1:]:
                near = names.suggest(lowest, self.classes[1:])
                raise ValueError(f"endpoints: {name}: {lowest!r} is no class above the first{near}")
        return self


class Split(Strict):
    """How samples are split. `test: published` keeps the data set's own test part."""

    test: Union[Literal["published"], Annotated[float, Field(gt=0, lt=1)]] = "published"
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    group_by: list[Literal["patient", "near_duplicate"]] = ["patient", "near_duplicate"]
    stratify_by: list[str] = Field(
        default=[], description="columns of the manifest, such as fov, beside the label; or any_positive, of a group"
    )
    folds: Positive = 1
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]

    @model_validator(mode="after")
    def _distinct_seeds(self) -> Split:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: a seed is named twice")
        return self


class Preparation(Strict):
    """What turns a sample into network inputs, gray or RGB; `background` fills what a warp uncovers.

    `reads` says what the samples are: image files, or volumes (NIfTI files, folders of B-scans or of DICOM slices);
    `modality`, which of a sample's files, where its layout knows several (the manifest's column path_<modality>).
    `decode: scaled` lets JPEG files be decoded at a half, quarter or eighth of their size where that is still enough
    for the `resize` among the steps; only for steps that do not count pixels before it. `dtype` is what the store
    holds: gray levels in [0, 255], as whole numbers or, uint16, in 257 times finer steps.
    """

    reads: Literal["image", "volume"] = "image"
    modality: str = ""
    steps: Annotated[list[Annotated[dict[str, Any], _Named("operator")]], Field(min_length=1)]
    channels: Literal["gray", "rgb"] = "rgb"
    background: Annotated[int, Field(ge=0, le=255)] = 0
    decode: Literal["full", "scaled"] = "full"
    dtype: Literal["uint8", "uint16"] = "uint8"

    @property
    def dimensions(self) -> int:
        """Spatial dimensions of what it makes: 2 or 3."""
        return 3 if self.reads == "volume" and all(step["name"] != "project" for step in self.steps) else 2

    @model_validator(mode="after")
    def _steps_fit(self) -> Preparation:
        dimensions, several = 3 if self.reads == "volume" else 2, False
        if dimensions == 3 and self.channels != "gray":
            raise ValueError("volumes are gray; add channels: gray")
        for number, step in enumerate(self.steps):
            name, where = step["name"], f"steps: {number}: {step['name']}"
            if name in names.IMAGE_OPERATORS and dimensions == 3:
                raise ValueError(f"{where}: is for images; project the volume first")
            if name in names.VOLUME_ONLY and dimensions == 2:
                raise ValueError(f"{where}: is for volumes; add reads: volume, or move it before project")
            if name in ("window", "clip_percentiles") and not step["low"] < step["high"]:
                raise ValueError(f"{where}: low, {step['low']:g}, is not below high, {step['high']:g}")
            if name == "clip_percentiles" and not 0 <= step["low"] < step["high"] <= 100:
                raise ValueError(f"{where}: percentiles lie between 0 and 100")
            if name == "patches" and (dimensions == 3 or several):
                raise ValueError(f"{where}: cuts images, once; project the volume first")
            if several and name in names.SCAN_OPERATORS:
                raise ValueError(f"{where}: must stand before patches")
            dimensions, several = 2 if name == "project" else dimensions, several or name == "patches"
        return self


class Layers(Strict):
    """Hidden fully connected layers, each with ReLU, then dropout."""

    hidden: list[Positive] = []
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _dropout_follows_a_layer(self) -> Layers:
        if self.dropout and not self.hidden:
            raise ValueError("dropout needs a hidden layer to follow; add hidden: [512], or leave dropout out")
        return self


class Head(Layers):
    """A head's own hidden layers, and how its outputs are read.

    `link` is of the ordinal head: sigmoids of "grade > k", k = 0 … K-2; or, for networks that were published with this
    fault, one softmax over K outputs. `limit` is of the regression head: its output then lies between 0 and the limit.
    """

    link: Literal["sigmoid", "softmax"] = "sigmoid"
    limit: Annotated[float, Field(gt=0)] | None = None

    def width(self, name: str, classes: int) -> int:
        """How many outputs it has as the head of this name."""
        thresholds = classes - 1 if self.link == "sigmoid" else classes
        return {"classification": classes, "binary": 1, "regression": 1, "ordinal": thresholds}[name]


HeadName = Literal["classification", "binary", "regression", "ordinal"]


class Block(Strict):
    """A convolution whose padding keeps the size of the maps, a ReLU and max pooling (`pool: 1`: none).

    A residual block with maps X is ReLU(conv(ReLU(conv(X))) + X), where X goes through a 1 × 1 convolution if their
    number or size changes.
    """

    kernel: Positive = 3
    maps: Positive
    stride: Positive = 1
    pool: Positive = 1
    residual: bool = False

    @model_validator(mode="after")
    def _padding_can_keep_the_size(self) -> Block:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, but is {self.kernel}")
        return self


Norm = Literal["batch", "instance", "group"]


class Network(Layers):
    """Encoder, neck, hidden fully connected layers that all heads share, and the heads."""

    encoder: Annotated[str, _Name("encoder")]
    blocks: Annotated[list[Block], Field(min_length=1)] | None = Field(default=None, description="of radiograph_cnn")
    weights: str = Field(default="imagenet", description="imagenet, none, or the name of an autoencoder")
    norm: Norm = "batch"
    checkpointing: bool = Field(default=False, description="compute activations twice rather than keep them")
    neck: Annotated[dict[str, Any], _Named("neck")] = {"name": "avg", "batch_norm": False, "dropout": 0.0}
    heads: Annotated[dict[HeadName, Head], Field(min_length=1)] = {"classification": Head()}

    @model_validator(mode="after")
    def _blocks_describe_an_encoder(self) -> Network:
        if self.blocks is not None and self.encoder not in names.FROM_BLOCKS:
            raise ValueError(f"{self.encoder} has no blocks; they describe {', '.join(names.FROM_BLOCKS)}")
        return self


class FromBlock(Strict):
    """Train the encoder's blocks from this one on, counted from 1, and all that follows the encoder."""

    from_block: Positive


class ClassWeights(Strict):
    """Each class weighs 1 less its share of the training samples that have the same value in a column.

    Of two classes that is the share of the other one, as Rajpurkar et al. (2017) weigh radiographs of each body part.
    """

    within: Literal[names.KNOWN_COLUMNS]  # type: ignore[valid-type]


class Stage(Strict):
    """One part of a training, of so many `epochs`, or `steps` of the optimizer; the last epoch is then cut short."""

    epochs: Positive | None = None
    steps: Positive | None = None
    batch_size: Positive = 32
    accumulate: Positive = 1
    trainable: Union[Literal["all", "head"], FromBlock] = "all"
    samples: Annotated[list[str], Field(min_length=1, description="own, or names of data.extra")] = ["own"]
    carry: Literal["all", "encoder"] = Field(default="all", description="what is kept of the stage before")
    sampling: Literal["natural", "balanced"] = "natural"
    class_weights: Union[Literal["none", "balanced"], ClassWeights] = "none"
    optimizer: Annotated[dict[str, Any], _Named("optimizer")]
    schedule: Annotated[dict[str, Any], _Named("schedule")] = {"name": "constant"}
    losses: Annotated[dict[HeadName, Annotated[dict[str, Any], _Named("loss")]], Field(min_length=1)] = {
        "classification": {"name": "cross_entropy", "label_smoothing": 0.0, "weight": 1.0}
    }

    @model_validator(mode="after")
    def _ends(self) -> Stage:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("needs epochs or steps, not both; null removes one that is inherited")
        return self

    @model_validator(mode="after")
    def _losses_fit_their_heads(self) -> Stage:
        if self.optimizer.get("nesterov") and not self.optimizer["momentum"]:
            raise ValueError("optimizer: nesterov needs a momentum, such as 0.9")
        for head, loss in self.losses.items():
            if loss["name"] not in names.HEAD_LOSSES[head]:
                known = ", ".join(names.HEAD_LOSSES[head])
                raise ValueError(f"losses: {head}: {loss['name']!r} is no loss of this head; known: {known}")
        return self


EpochMetric = Literal["loss", "accuracy", "balanced_accuracy", "macro_f1", "quadratic_kappa"]


class Best(Strict):
    """Keep the epoch with the best validation value of a metric."""

    best: EpochMetric


class EarlyStopping(Strict):
    """End a stage after `patience` epochs without a better validation value of a metric."""

    metric: EpochMetric = "loss"
    patience: Positive = 10


class Autoencoder(Strict):
    """An encoder that is pre-trained, with a decoder, to reconstruct its inputs; arms start from it by its name.

    Trained and validated on the parts of the run that starts from it; `samples: all` adds validation and test: a leak,
    for an arm that shows what it is worth. The epoch with the lowest validation loss is kept.
    """

    preparation: str
    encoder: Annotated[str, _Name("encoder")]
    blocks: Annotated[list[Block], Field(min_length=1)] | None = None
    norm: Norm = "batch"
    checkpointing: bool = False
    normalization: Literal[tuple(names.NORMALIZATIONS)] = "unit"  # type: ignore[valid-type]
    augmentation: Annotated[dict[str, Any], BeforeValidator(_augmentation)] = {}
    samples: Literal["train", "all"] = "train"
    epochs: Positive = 100
    patience: Positive = 30
    batch_size: Positive = 8
    accumulate: Positive = 1
    optimizer: Annotated[dict[str, Any], _Named("optimizer")] = {"name": "adam", "lr": 1e-3, "weight_decay": 0.0}
    schedule: Annotated[dict[str, Any], _Named("schedule")] = {"name": "constant"}

    def recipe(self) -> Recipe:
        """The same as the trainer takes it; heads and losses are not used."""
        stage = {key: getattr(self, key) for key in ("epochs", "batch_size", "accumulate", "optimizer", "schedule")}
        network = {key: getattr(self, key) for key in ("encoder", "blocks", "norm", "checkpointing")}
        return Recipe(
            preparation=self.preparation,
            network=Network(weights="none", **network),
            normalization=self.normalization,
            augmentation=self.augmentation,
            stages={"autoencoder": Stage(**stage)},
            keep=Best(best="loss"),
            early_stopping=EarlyStopping(metric="loss", patience=self.patience),
        )


class Posttrain(Strict):
    """How predictions are read off the trained network: from one head, or from a linear neuron on all of them.

    `fit_on` says which predictions the neuron and optimized cut points are fitted on. `crossfit`: validation rows are
    read with what was fitted without their fold, all others with what was fitted on the whole validation part.
    """

    head: Union[HeadName, Literal["linear"], None] = None
    fit_on: Literal["train", "validation", "crossfit"] = "crossfit"
    cuts: Union[Literal["rounding", "optimized"], list[float]] = "rounding"

    @model_validator(mode="after")
    def _cuts_rise(self) -> Posttrain:
        if isinstance(self.cuts, list) and any(low > high for low, high in zip(self.cuts, self.cuts[1:])):
            raise ValueError(f"cuts must rise, but are {self.cuts}")
        return self


class Inference(Strict):
    """What a trained network is shown of an item: the item (`original`), and augmented copies; outputs are averaged."""

    original: bool = True
    copies: Annotated[int, Field(ge=0)] = 0
    augmentation: Annotated[dict[str, Any], BeforeValidator(_augmentation)] = {}

    @model_validator(mode="after")
    def _something_is_shown(self) -> Inference:
        if not self.original and not self.copies:
            raise ValueError("needs original: true, or copies")
        if bool(self.copies) != bool(self.augmentation):
            raise ValueError("copies and augmentation belong together")
        return self


class Ensemble(Strict):
    """Arms whose runs are averaged, output by output."""

    members: Annotated[list[str], Field(min_length=1)]
    combine: Literal["mean", "trimmed_mean"] = "mean"
    trim: Annotated[float, Field(gt=0, lt=0.5)] = 0.25


class Recipe(Strict):
    """How an arm is trained. An arm of a study file is a difference from the study's recipe.

    An arm with `models` reads another arm's trained models in another way; one with `ensemble` averages several arms'.
    """

    preparation: str
    network: Network
    normalization: Literal[tuple(names.NORMALIZATIONS)] = "imagenet"  # type: ignore[valid-type]
    augmentation: Annotated[dict[str, Any], BeforeValidator(_augmentation)] = {}
    stages: Annotated[dict[str, Stage], Field(min_length=1)]
    keep: Union[Literal["last"], Best] = "last"
    early_stopping: EarlyStopping | None = None
    watch: list[Literal["train", "test"]] = Field(
        default=[], description="parts that are scored after each epoch, to be shown: nothing is chosen by them"
    )
    training_samples: Literal["all", "leak_free", "size_matched", "clean_labels"] = "all"
    validation: Literal["split", "test"] = Field(
        default="split", description="test: a fault of some studies, repeated on purpose: the test part is validated on"
    )
    folds: Positive | None = Field(default=None, description="train on this many of the split's folds only")
    posttrain: Posttrain = Posttrain()
    inference: Inference = Inference()
    models: str | None = None
    ensemble: Ensemble | None = None
    against: str | None = Field(default=None, description="the arm that it is compared with; by default the first")

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
        if self.posttrain.cuts != "rounding" and self.head not in ("regression", "linear"):
            raise ValueError(f"posttrain: cuts are for head regression or linear, not {self.head}")
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
    def chooses_by_class(self) -> bool:
        """Whether the training depends on the classes that validation images are read as."""
        stops = self.early_stopping.metric if self.early_stopping else "loss"
        return stops != "loss" or (self.keep != "last" and self.keep.best != "loss")

    @property
    def is_fitted(self) -> bool:
        """Whether post-training fits more than a temperature."""
        return self.head == "linear" or self.posttrain.cuts == "optimized"

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


class Published(Strict):
    """A published number, `value` in [0, 1] on `n` test items; up to `margin` of difference counts as reproduced."""

    arm: str
    endpoint: str | None = None
    metric: Literal[names.METRICS]  # type: ignore[valid-type]
    level: Literal["image", "study", "patient"] = "image"
    value: float
    n: Positive | None = None
    low: float | None = None
    high: float | None = None
    who: str
    margin: Annotated[float, Field(gt=0)] = 0.05
    not_comparable: str | None = None

    @model_validator(mode="after")
    def _is_a_share_with_a_whole_interval(self) -> Published:
        if self.metric != "loss" and not -1 <= self.value <= 1:
            raise ValueError(f"value {self.value:g} is not in [0, 1]; write 88.94 % as 0.8894")
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high belong together")
        return self


class Claim(Strict):
    """A published claim without a number: one arm scores better than another."""

    better: str
    than: str
    metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "quadratic_kappa"] = "accuracy"
    who: str


class Ablation(Strict):
    """A question that some arms answer, each by a difference from `base`, trained for as many steps."""

    question: str = Field(description='what is changed, such as "adding two convolutions"')
    base: str
    arms: Annotated[dict[ArmName, str], Field(min_length=1, description="arms, and what each is called in a figure")]


class Explanation(Strict):
    """Grad-CAM: how many right and wrong test images of each class get a map, and of which head's output.

    Where a volume's layers are known, maps of volumes are also masked to a slab of them.
    """

    images_a_class: Positive = 2
    slab: Literal["superficial", "deep"] = "superficial"
    beside: str | None = Field(default=None, description="the arm of projections whose map stands beside a volume's")
    head: HeadName | None = Field(default=None, description="classification, if the network has it, else its first")


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


def read(
    path: str | Path, arm: str | None = None, preparation: str | None = None, autoencoder: str | None = None
) -> Study:
    """Read a resolved study (`study.json`).

    Raises:
        RescanError: It is missing or of another version, or has no such arm, preparation or autoencoder.
    """
    try:
        study = Study.model_validate_json(Path(path).read_text("utf-8"))
    except OSError as error:
        raise RescanError(f"{path}: cannot be read ({error.strerror}); make it with `rescan resolve`") from None
    except ValidationError:
        raise RescanError(f"{path}: not a resolved study of this version; make it with `rescan resolve`") from None
    known: dict[str, Any]
    for kind, name, known in (
        ("arm", arm, study.arms),
        ("preparation", preparation, study.preparations),
        ("autoencoder", autoencoder, study.autoencoders),
    ):
        if name is not None and name not in known:
            raise RescanError(f"{path}: no {kind} {name!r}{names.suggest(name, known)}")
    return study


def _pick(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree[part]
    return tree
