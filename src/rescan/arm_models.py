"""An arm's networks on samples that no study has: what they are, their outputs, and what is read off these."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice, repeat
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd

from rescan.arm_networks import Model, load_networks, on_device, outputs_of
from rescan.arm_rows import FLAGS, answers_at, row_of, shown
from rescan.data.ahead import ahead
from rescan.data.index import Files
from rescan.errors import RescanError
from rescan.evaluation.predictions import Predictions
from rescan.evaluation.readings import Reading, of_new
from rescan.flags import flags_of, known_range
from rescan.heads import outputs as heads
from rescan.log import logger, progress
from rescan.metrics.feature_distance import mean_by
from rescan.paths import ArmFolder
from rescan.preparation.sample import Prepared, prepare_all
from rescan.results.posttraining import FittedPoint, Posttraining
from rescan.results.trained_model import ModelHeader
from rescan.results.training_range import TrainingRange

CHUNK = 128  # images that the networks take while as many are prepared …
CHUNK_OF_VOLUMES = 8  # … and volumes


class Arm(NamedTuple):
    """A trained arm.

    Attributes:
        folder: Its folder.
        posttraining: What was fitted on its predictions.
        models: The networks whose outputs are averaged; one at least, all of the same classes.
        training: What the first of them was trained on; None if that is unknown.
    """

    folder: Path
    posttraining: Posttraining
    models: list[Model]
    training: Optional[TrainingRange] = None

    @property
    def classes(self) -> list[str]:
        """K names, in the order of the outputs."""
        return self.models[0].header.classes

    @property
    def reads_volumes(self) -> bool:
        """Whether a sample is a volume, not an image."""
        return self.models[0].header.preparation.reads == "volume"


class Chunk(NamedTuple):
    """Some samples, and what the networks make of them.

    Attributes:
        start: The number of the first.
        files: Their files.
        samples: Each as the first model takes it, or why a model cannot take it.
        readable: The places of those that all models take.
        outputs: Each model's outputs of these; none without any.
        vectors: (n, D) float32, what the first model's heads take of these; the mean over a sample's patches.
        reading: What is read off them, a row each; None without any.
        rows: What a table says of each sample: `flags`, `problem`, and of the readable ones what `row_of` and
            `answers_at` give.
    """

    start: int
    files: Sequence[Files]
    samples: Sequence[Prepared | str]
    readable: Sequence[int]
    outputs: list[Predictions]
    vectors: np.ndarray
    reading: Optional[Reading]
    rows: list[dict[str, object]]


def load_arm(folder: Path, runtime: str = "auto") -> Arm:
    """Read what was fitted on an arm's predictions, and the networks that they are averaged from.

    Args:
        folder: The arm's folder.
        runtime: What computes the networks: torch; onnx, from the files that `rescan export` wrote; or auto: torch
            where it is installed and its files are there, else onnx.

    Raises:
        RescanError: No finished arm in the folder, or a model that cannot be used: with weights that are no numbers,
            say.
    """
    path = Path(ArmFolder(folder).posttraining)
    if not path.is_file():
        raise RescanError(f"{folder}: no {path.name} in it; give the folder of an arm that was run to its end")
    posttraining = Posttraining.read(path)
    models = load_networks(folder, posttraining, runtime)
    return Arm(folder, posttraining, models, known_range(models[0].file, models[0].header))


def in_chunks(arm: Arm, files: Sequence[Files], device: Any, points: Sequence[FittedPoint] = ()) -> Iterator[Chunk]:
    """Yield samples and what the networks make of them, a chunk at a time.

    Args:
        arm: The arm.
        files: The samples.
        device: auto, cpu or cuda; or one that the caller holds.
        points: The operating points whose answers the rows hold.

    Raises:
        RescanError: There is no such device, or outputs are no numbers.
    """
    if not arm.reads_volumes and any(own.extent for own in files):
        logger.warning("the extent is not used: this arm reads images")
    size = chunk_size(arm)
    with on_device(arm.models, device) as torch_device, closing(chunks_of(arm, files, torch_device, points)) as chunks:
        yield from progress(chunks, -(-len(files) // size), f"predicting (chunks of {size})")


def chunk_size(arm: Arm) -> int:
    """How many samples are predicted together."""
    return CHUNK_OF_VOLUMES if arm.reads_volumes else CHUNK


def chunks_of(
    arm: Arm, files: Iterable[Files], torch_device: Any, points: Sequence[FittedPoint] = ()
) -> Generator[Chunk, None, None]:
    """Yield samples and what the networks make of them: while they compute, a thread prepares the next chunk.

    Args:
        arm: The arm.
        files: The samples; that thread asks for them.
        torch_device: That of `on_device`.
        points: As for `in_chunks`.

    Raises:
        RescanError: Outputs are no numbers.
    """
    start, size = 0, chunk_size(arm)
    with closing(ahead(_prepared(arm.models, iter(files), size), size, "preparing")) as prepared:
        while batch := list(islice(prepared, size)):
            chunk = [own for own, _ in batch]
            samples, readable, outputs, vectors = _outputs(arm.models, [results for _, results in batch], torch_device)
            reading = of_new(arm.posttraining, outputs) if readable else None
            rows: list[dict[str, object]] = [
                {FLAGS: "", "problem": shown(sample) if isinstance(sample, str) else ""} for sample in samples
            ]
            if reading is not None:
                called = answers_at(points, reading, len(arm.classes))
                for number, place in enumerate(readable):
                    answers = {name: values[number] for name, values in called.items()}
                    rows[place].update(row_of(reading, number, arm.classes), **answers)
                if arm.training is not None:
                    own = [sample for sample in samples if isinstance(sample, Prepared)]
                    flags = flags_of(arm.training, [chunk[place] for place in readable], own, vectors)
                    for place, text in zip(readable, flags):
                        rows[place][FLAGS] = text
            yield Chunk(start, chunk, samples, readable, outputs, vectors, reading, rows)
            start += len(chunk)


def _prepared(
    models: list[Model], files: Iterator[Files], size: int
) -> Iterator[tuple[Files, dict[str, Prepared | str]]]:
    """Yield each sample, and what each kind of model takes of it, or why it cannot."""
    headers = {model.input: model.header for model in models}
    while chunk := list(islice(files, size)):
        of_inputs = [
            map(fitting, prepare_all(chunk, header.preparation), repeat(header)) for header in headers.values()
        ]
        for own, *results in zip(chunk, *of_inputs):
            yield own, dict(zip(headers, results))


def _outputs(
    models: list[Model], prepared: list[dict[str, Prepared | str]], torch_device: Any
) -> tuple[list[Prepared | str], list[int], list[Predictions], np.ndarray]:
    """Compute the networks' outputs of prepared samples.

    Returns:
        Each sample as the first model takes it, or why a model cannot take it; the places of those that all models
        take; each model's outputs of these; and what the first one's heads take of these, (n, D).
    """
    samples = [
        next((other for other in of_sample.values() if isinstance(other, str)), of_sample[models[0].input])
        for of_sample in prepared
    ]
    readable = [place for place, sample in enumerate(samples) if isinstance(sample, Prepared)]
    outputs: list[Predictions] = []
    vectors = np.zeros((0, 0), np.float32)
    for seed, model in enumerate(models if readable else []):
        items = [sample.items for place in readable if isinstance(sample := prepared[place][model.input], Prepared)]
        patches = np.stack([patch for of_sample in items for patch in of_sample])
        own, of_patches = outputs_of(model, patches, torch_device)
        for output in own.values():
            if not np.isfinite(output).all():
                raise RescanError(
                    f"{model.file}: its outputs are no numbers, as of a training that diverged; train it again"
                )
        numbers = np.repeat(np.arange(len(items)), [len(of_sample) for of_sample in items])
        vectors = vectors if outputs else mean_by(of_patches, numbers)
        rows = {"part": "new", "fold": 0, "seed": seed, "sample": numbers, "item": np.arange(len(numbers)), "group": ""}
        outputs.append(Predictions(pd.DataFrame(rows), {head: own[head] for head in heads.HEADS if head in own}))
    return samples, readable, outputs, vectors


def fitting(prepared: Prepared | Exception, header: ModelHeader) -> Prepared | str:
    """A prepared sample that a model with this header takes; or why it does not."""
    shape = tuple(header.input)
    if isinstance(prepared, Exception):
        return str(prepared)
    if all(item.min() == item.max() for item in prepared.items):
        return "constant image"
    item = prepared.items[0]
    fits = (item.shape[-1], *item.shape[:-1]) == shape
    return prepared if fits else f"is {item.shape[:-1]} pixels when prepared, the network takes {shape[1:]}"
