"""The work of trainings and of forward passes."""

from __future__ import annotations

import math
from dataclasses import replace

from rescan.study import AnyRun, Autoencoder, AutoencoderRun, Run, Stage, TrainingStage
from rescan.workload.network_cost import NetworkCost, of_arm, of_autoencoder
from rescan.workload.part_sizes import Parts, parts_of_run
from rescan.workload.shapes import Items, items_of
from rescan.workload.work import Work

BATCH = 64 * 256**2  # pixels or voxels of a batch in a forward pass, as rescan.training.forward_pass
IMAGES_AT_ONCE = 64
AUGMENTING, NORMALIZING = 30, 4  # numbers that are written and read per value of an image
UPDATE_LAUNCHES = 1 / 2  # of an optimizer's step, per layer
UPDATE_NUMBERS = 4  # that are written and read per parameter
MEGABYTE = 1e6


def training(run: Run | AutoencoderRun, parts: Parts) -> Work:
    """The work of training an arm or an autoencoder once, if no stage ends early.

    Args:
        run: What is trained.
        parts: Samples in each part of its fold.
    """
    items, cost = items_of(run.preparation), network_of(run)
    parts = parts_of_run(parts, run)
    work = Work(on_gpu=True, with_torch=True, dimensions=cost.dimensions)
    for stage in run.settings.stages.values():
        own = sum(_samples(run, stage, parts)) * items.number
        work = _add(work, _stage(run, stage, own, parts, items, cost))
    weights = cost.parameters * 4 / MEGABYTE
    batch = max(stage.batch_size for stage in run.settings.stages.values())
    return replace(
        work,
        memory_mb=900 + 5 * weights + 6 * batch * items.bytes / MEGABYTE,
        gpu_mb=4 * weights + 4 * (cost.held * batch) / MEGABYTE + 8 * batch * items.bytes / MEGABYTE,
        disk_mb=2 * weights,  # the state has a copy
        scratch_mb=4 * weights,
    )


def inference(run: Run, parts: Parts) -> Work:
    """The work of computing a run's outputs for all its items."""
    items, cost, recipe = items_of(run.preparation), network_of(run), run.settings
    versions = recipe.inference.original + recipe.inference.copies
    work = _forward(parts.predicted * items.number * versions, items, cost)
    augmented = parts.predicted * items.number * recipe.inference.copies
    numbers = work.numbers + augmented * items.pixels * items.channels * AUGMENTING
    weights = cost.parameters * 4 / MEGABYTE
    return replace(
        work,
        on_gpu=True,
        with_torch=True,
        numbers=numbers,
        memory_mb=1400 + weights,  # with what the heads take of 10,000 images
        gpu_mb=forward_mb(items, cost),
        disk_mb=3.0,
    )


def forward_mb(items: Items, cost: NetworkCost) -> float:
    """Peak memory of a forward pass that keeps nothing: the weights, and the largest maps of a batch."""
    at_once = min(IMAGES_AT_ONCE, max(1, BATCH // items.pixels))
    largest = max(cost.kept / cost.layers, items.pixels * 3)
    return (cost.parameters + 6 * at_once * largest) * 4 / MEGABYTE


def network_of(run: AnyRun) -> NetworkCost:
    """The cost of a run's network."""
    items, settings = items_of(run.preparation), run.settings
    if isinstance(settings, Autoencoder):
        return of_autoencoder(settings, items.channels, items.shape)
    return of_arm(settings.network, len(run.study.data.classes), items.shape)


def _samples(run: AnyRun, stage: TrainingStage, parts: Parts) -> list[float]:
    """How many samples of each source a stage trains on."""
    if isinstance(run.settings, Autoencoder):
        return [parts.train + (parts.validation + parts.test) * (run.settings.samples == "all")]
    sources = stage.samples if isinstance(stage, Stage) else ["own"]
    return [parts.train if source == "own" else parts.extra[source] for source in sources]


def _stage(run: AnyRun, stage: TrainingStage, samples: float, parts: Parts, items: Items, cost: NetworkCost) -> Work:
    """The work of a stage: its steps, and the scores after each of its epochs."""
    batches = max(1, math.ceil(samples / stage.batch_size))
    steps_per_epoch = math.ceil(batches / stage.accumulate)
    steps = stage.steps or int(stage.epochs or 0) * steps_per_epoch
    epochs = math.ceil(steps / steps_per_epoch)
    images = samples * steps / steps_per_epoch
    all_trains = stage.trainable != "head"
    passes = cost.passes if all_trains else 1
    trained = cost.parameters if all_trains else cost.behind
    values = images * items.pixels * items.channels
    preparing = values * (NORMALIZING + (AUGMENTING if run.settings.augmentation else 0))
    scored = parts.validation + sum(getattr(parts, part) for part in run.settings.watch)
    work = Work(
        images=images,
        launches=cost.layers * (images / stage.batch_size * passes + steps * UPDATE_LAUNCHES),
        multiply_adds=images * cost.multiply_adds * passes,
        numbers=images * cost.kept * passes / 3 + steps * trained * UPDATE_NUMBERS + preparing,
        upsampled=images * cost.upsampled,
    )
    return _add(work, _forward(scored * items.number * epochs, items, cost))


def _forward(images: float, items: Items, cost: NetworkCost) -> Work:
    """The work of forward passes."""
    at_once = min(IMAGES_AT_ONCE, max(1, BATCH // items.pixels))
    return Work(
        dimensions=cost.dimensions,
        launches=cost.layers * images / at_once,
        multiply_adds=images * cost.multiply_adds,
        numbers=images * (cost.kept / 3 + items.pixels * items.channels * NORMALIZING),
        upsampled=images * cost.upsampled / 3,
    )


def _add(work: Work, other: Work) -> Work:
    return replace(
        work,
        images=work.images + other.images,
        launches=work.launches + other.launches,
        multiply_adds=work.multiply_adds + other.multiply_adds,
        numbers=work.numbers + other.numbers,
        upsampled=work.upsampled + other.upsampled,
    )
