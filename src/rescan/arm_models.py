"""An arm's networks on samples that no study has: what they are, and their outputs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from rescan.catalogue import suggest
from rescan.data.index import Files
from rescan.errors import RescanError
from rescan.evaluation.answers import scores_of
from rescan.evaluation.predictions import Predictions
from rescan.evaluation.readings import Reading, misfit
from rescan.heads import outputs as heads
from rescan.log import logger, progress
from rescan.paths import RUN, ArmFolder
from rescan.preparation.sample import Prepared, prepare_all
from rescan.results.damage import damaged
from rescan.results.posttraining import FittedPoint, Posttraining
from rescan.results.trained_model import ModelHeader
from rescan.study import Inference, Outcome

if TYPE_CHECKING:
    from rescan.models.networks import Network

CHUNK = 256  # images held in memory at once …
CHUNK_OF_VOLUMES = 8  # … and volumes
# Columns of the tables of predictions; a class may be called like one of them.
OWN_COLUMNS = ("image", "label", "patient", "images", "predicted", "by_mean_probability", "grade", "problem")
CLASS_PREFIX = "probability_"
YES, NO = "yes", "no"  # answers at an operating point


class Model(NamedTuple):
    """A trained network, what its file says of it, what it is shown of an image, and its file."""

    network: Network
    header: ModelHeader
    inference: Inference
    file: str

    @property
    def input(self) -> str:
        """What tells apart models that need images prepared in other ways."""
        return repr((self.header.preparation, self.header.input))


class Chunk(NamedTuple):
    """Some samples, and what the networks make of them.

    Attributes:
        start: The number of the first.
        files: Their files.
        samples: Each as the first model takes it, or why a model cannot take it.
        readable: The places of those that all models take.
        outputs: Each model's outputs of these.
    """

    start: int
    files: Sequence[Files]
    samples: Sequence[Prepared | str]
    readable: Sequence[int]
    outputs: list[Predictions]


def load_arm(arm_folder: Path) -> tuple[Posttraining, list[Model]]:
    """Read what was fitted on an arm's predictions, and the networks that they are averaged from.

    Raises:
        RescanError: No finished arm in the folder, or a model that cannot be used: with weights that are no numbers,
            say.
    """
    path = Path(ArmFolder(arm_folder).posttraining)
    if not path.is_file():
        raise RescanError(f"{arm_folder}: no {path.name} in it; give the folder of an arm that was run to its end")
    posttraining = Posttraining.read(path)
    return posttraining, _load(arm_folder, posttraining)


def _load(arm_folder: Path, posttraining: Posttraining) -> list[Model]:
    from rescan.models.model_files import load

    models = []
    for entry in posttraining.models:
        file = arm_folder / entry.file
        if not file.exists():
            beside = ", and the arms beside it whose networks it reads" if entry.file.startswith("..") else ""
            raise RescanError(f"{file}: no such file; copy the whole folder of the arm{beside}, or train it again")
        network, header = load(file)
        own = RUN.format(fold=header.fold, seed=header.seed)
        if file.parent.name != own and re.fullmatch(RUN.format(fold=r"\d+", seed=r"\d+"), file.parent.name):
            raise RescanError(f"{file}: is of fold {header.fold} and seed {header.seed}; copy the whole folder again")
        models.append(Model(network, header, entry.inference, str(file)))
    if any(model.header.classes != models[0].header.classes for model in models):
        raise RescanError(f"{arm_folder}: its networks were trained with different classes; run the arm again")
    shared = [head for head in heads.HEADS if all(head in model.network.heads for model in models)]
    if fault := misfit(posttraining, shared, len(models[0].header.classes)):
        raise damaged(ArmFolder(arm_folder).posttraining, Posttraining.step, fault)
    return models


def in_chunks(models: list[Model], files: Sequence[Files], device: str) -> Iterator[Chunk]:
    """Yield samples and the networks' outputs, a chunk at a time.

    Args:
        models: The networks.
        files: The samples.
        device: auto, cpu or cuda.

    Raises:
        RescanError: There is no such device, or outputs are no numbers.
    """
    from rescan.training.lease import Machine

    reads_volumes = models[0].header.preparation.reads == "volume"
    if not reads_volumes and any(own.extent for own in files):
        logger.warning("the extent is not used: this arm reads images")
    with Machine(device, threads=None).lease() as torch_device:
        for model in models:
            model.network.to(torch_device)
        size = CHUNK_OF_VOLUMES if reads_volumes else CHUNK
        for start in progress(range(0, len(files), size), -(-len(files) // size), f"predicting (chunks of {size})"):
            chunk = list(files[start : start + size])
            yield Chunk(start, chunk, *_outputs(models, chunk, torch_device))


def _outputs(
    models: list[Model], chunk: list[Files], torch_device: Any
) -> tuple[list[Prepared | str], list[int], list[Predictions]]:
    """Prepare samples and compute the networks' outputs.

    Returns:
        Each sample as the first model takes it, or why a model cannot take it; the places of those that all models
        take; and each model's outputs of these.
    """
    from rescan.training.forward_pass import Versions, predict_outputs

    inputs = {model.input: model for model in models}
    prepared = {
        key: [_fitting(result, model) for result in prepare_all(chunk, model.header.preparation)]
        for key, model in inputs.items()
    }
    samples = list(prepared[models[0].input])
    for alternative in prepared.values():
        samples = [
            other if isinstance(sample, Prepared) and isinstance(other, str) else sample
            for sample, other in zip(samples, alternative)
        ]
    readable = [place for place, sample in enumerate(samples) if isinstance(sample, Prepared)]
    outputs: list[Predictions] = []
    for seed, model in enumerate(models if readable else []):
        items = [sample.items for place in readable if isinstance(sample := prepared[model.input][place], Prepared)]
        versions = Versions(model.inference, model.header.preparation.background)
        normalization = model.header.recipe.normalization
        patches = np.stack([patch for of_sample in items for patch in of_sample])
        own = predict_outputs(model.network, patches, normalization, torch_device, versions=versions)
        for output in own.values():
            if not np.isfinite(output).all():
                raise RescanError(
                    f"{model.file}: its outputs are no numbers, as of a training that diverged; train it again"
                )
        numbers = np.repeat(np.arange(len(items)), [len(of_sample) for of_sample in items])
        rows = {"part": "new", "fold": 0, "seed": seed, "sample": numbers, "item": np.arange(len(numbers)), "group": ""}
        outputs.append(Predictions(pd.DataFrame(rows), {head: own[head] for head in heads.HEADS if head in own}))
    return samples, readable, outputs


def _fitting(prepared: Prepared | Exception, model: Model) -> Prepared | str:
    """A prepared sample that a model takes; or why it does not."""
    shape = tuple(model.header.input)
    if isinstance(prepared, Exception):
        return str(prepared)
    if all(item.min() == item.max() for item in prepared.items):
        return "constant image"
    item = prepared.items[0]
    fits = (item.shape[-1], *item.shape[:-1]) == shape
    return prepared if fits else f"is {item.shape[:-1]} pixels when prepared, the network takes {shape[1:]}"


def points_at(posttraining: Posttraining, name: str | None) -> list[FittedPoint]:
    """The operating points of a name, of all questions; none without a name.

    Raises:
        RescanError: There is none of that name, or none of them has a threshold.
    """
    points = [point for point in posttraining.points if point.name == name]
    if name is not None and not points:
        known = dict.fromkeys(point.name for point in posttraining.points)
        hint = suggest(name, known) or "; its study has no operating_points"
        raise RescanError(f"--at: the arm has no operating point {name!r}{hint}")
    if points and all(point.threshold.whole is None for point in points):
        raise RescanError(f"--at: {name} has no threshold: {points[0].problem}")
    return points


def answers_at(points: Sequence[FittedPoint], reading: Reading, classes: int) -> dict[str, list[str]]:
    """What the samples are called at operating points, yes or no, by column; "" at one without a threshold."""
    columns = {}
    for point in points:
        scores, lowest = scores_of(reading, point.kind, point.number, classes), point.threshold.whole
        called = [""] * len(reading.rows)
        if scores is not None and lowest is not None:
            called = [YES if yes else NO for yes in scores >= lowest]
        columns[column_at(point)] = called
    return columns


def column_at(point: FittedPoint) -> str:
    """The column of a table of predictions that holds the answers at an operating point."""
    return f"{point.of}_at_{point.name}"


def class_columns(classes: Sequence[str]) -> list[str]:
    """The columns of the classes' probabilities: their names, or behind a prefix where one is a column's own."""
    return [f"{CLASS_PREFIX}{name}" for name in classes] if set(classes) & set(OWN_COLUMNS) else list(classes)


def place_of(path: Path) -> Path:
    """Where a file lies, whatever links lead to its folder: the same for all its paths."""
    return path.parent.resolve() / path.name


def shown(text: str) -> str:
    """A text that a table can hold: control characters and bytes of a name that are no UTF-8 as their escapes."""
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in ("Cc", "Cs") else char for char in text
    )


def named(path: str) -> str:
    """A path as a table holds it: spreadsheets take what starts with = + - or @ for a formula, so that it gets a ./."""
    text = shown(path)
    return f"./{text}" if text[:1] in ("=", "+", "-", "@") else text


def row_of(reading: Reading, number: int, classes: Sequence[str]) -> dict[str, object]:
    """What is read off a sample, by column."""
    predicted = int(reading.predicted[number])
    row: dict[str, object] = {"predicted": "" if reading.multilabel else classes[predicted]}
    if reading.multilabel:
        row["predicted"] = Outcome(list(classes), ordered=False, endpoints={}, multilabel=True).label(predicted)
    if reading.log_probabilities is None:
        return {**row, "grade": round(float(reading.grade[number]), 4)}
    return {**row, **dict(zip(class_columns(classes), np.exp(reading.log_probabilities[number]).round(6)))}
