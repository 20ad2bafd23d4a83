"""Reading training data: which items a run uses, and batches of the memory-mapped store, cut by a background thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import pandas as pd
import torch

from rescan.catalogue import KNOWN_COLUMNS
from rescan.data.ahead import ahead
from rescan.data.gray_levels import of_store, take
from rescan.data.run_items import items_of
from rescan.errors import RescanError
from rescan.log import logger
from rescan.preparation.store import open_store
from rescan.results.agreement import check_items, check_no_leak, read_manifest, read_splits
from rescan.study import AnyRun

DEPTH = 3  # batches that wait, cut
COLUMNS = ["item", "sample", "group", "patient", "eye", "study", "target", "part", "origin", "digest"]


def read_items(run: AnyRun) -> tuple[np.ndarray, pd.DataFrame]:
    """Read what a run trains on and predicts.

    Args:
        run: The run; its seed draws the samples of a `size_matched` arm.

    Returns:
        The store's images, (N, *spatial, C) uint8 or uint16, memory-mapped; and the run's items, by item, with columns
        `item` (row of the images), `sample`, `group`, `patient`, `eye`, `study`, `target` (see
        `Outcome.target`; −1 if unlabelled), `part` (train, validation, test, unlabeled or extra), `origin` (an extra's
        name) and `digest` (of the prepared image); and the columns that class weights are taken within.
        Which items they are: see `items_of`.

    Raises:
        RescanError: A group lies on both sides of a split; or a class has no training sample; or a part has none.
    """
    study, path, fold = run.study, run.paths.splits, run.fold
    images, store_items = open_store(run.store)
    splits = read_splits(study)
    check_items(study, splits, store_items, run.store)
    for warning in check_no_leak(splits, study.split.test == "published", path):
        logger.warning(warning)
    items = items_of(run, splits, store_items[["item", "sample", "digest"]])
    if study.home:
        return images, items[COLUMNS]
    for label in study.data.classes:
        if not ((items["part"] == "train") & study.data.outcome.has(items["label"], label)).any():
            raise RescanError(f"{path}: fold {fold} has no training image of class {label!r}; see audit.json")
    for part in ("test",) if run.validates_on_test else ("validation", "test"):
        if not (items["part"] == part).any():
            raise RescanError(f"{path}: fold {fold} has no {part} image; see audit.json")
    if run.weight_columns:
        items = items.merge(_complete_columns(run), on="sample", how="left")
    return images, items[[*COLUMNS, *run.weight_columns]].reset_index(drop=True)


def _complete_columns(run: AnyRun) -> pd.DataFrame:
    """The run's `weight_columns` of the manifest, with `sample`; each must have a value for every sample."""
    manifest = read_manifest(run.study)
    for column in run.weight_columns:
        if column not in manifest or (manifest[column] == "").any():
            complete = [name for name in KNOWN_COLUMNS if name in manifest and (manifest[name] != "").all()]
            raise RescanError(
                f"{run.paths.manifest}: class_weights: not every sample has a {column!r}; known of all: "
                f"{', '.join(complete) or 'none'}"
            )
    return manifest[["sample", *run.weight_columns]]


def cut(items: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut items into batches of `batch_size`; the last one may be smaller.

    A single last item joins the batch before it, as batch norm cannot train on one value per channel.
    """
    batches = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


@contextmanager
def loading(
    images: np.ndarray,
    batches: Sequence[np.ndarray],
    *,
    device: torch.device | str = "cpu",
    prepare: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
) -> Iterator[Iterator[torch.Tensor]]:
    """Cut batches out of `images` in a background thread while the block runs, and bring them to a device.

    For a GPU the thread also prepares them, on a stream of its own: while the network computes on one batch, the next
    is copied and prepared.

    Args:
        images: (N, *spatial, C) uint8, or uint16 with 257 steps per gray level.
        batches: Per batch the rows of the images.
        device: Where the batches go.
        prepare: What is made of a batch on the device, given its number; the batch itself by default.

    Yields:
        An iterator over the batches, each (B, C, *spatial) of gray levels in [0, 255]: uint8, or float32; or over what
        was made of them. What fails in the thread is raised here.
    """
    prepare = prepare or _unchanged
    device = torch.device(device)
    if device.type == "cuda":
        with closing(ahead(_on_gpu(images, batches, device, prepare), DEPTH, "loader")) as prepared:
            yield _received(prepared)
    else:
        cut_out = (gray_levels(np.asarray(images[rows])).movedim(-1, 1).contiguous() for rows in batches)
        with closing(ahead(cut_out, DEPTH, "loader")) as cutting:
            yield (prepare(batch, number) for number, batch in enumerate(cutting))


def gray_levels(images: np.ndarray) -> torch.Tensor:
    """Images of a store as a tensor of gray levels in [0, 255]: uint8, or float32 where the store has finer steps."""
    return torch.from_numpy(of_store(images))


def _unchanged(batch: torch.Tensor, _: int) -> torch.Tensor:
    return batch


def _on_gpu(
    images: np.ndarray,
    batches: Sequence[np.ndarray],
    device: torch.device,
    prepare: Callable[[torch.Tensor, int], torch.Tensor],
) -> Iterator[tuple[torch.Tensor, torch.cuda.Event]]:
    """Yield batches as they are prepared on a stream of their own, each with the event of its being ready."""
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    dtype = torch.uint8 if images.dtype == np.uint8 else torch.float32
    for number, rows in enumerate(batches):
        with torch.no_grad(), torch.cuda.stream(stream):  # both are of the thread that runs this
            pinned = torch.empty((len(rows), *images.shape[1:]), dtype=dtype, pin_memory=True)
            take(images, rows, pinned.numpy())
            batch = prepare(pinned.to(device, non_blocking=True).movedim(-1, 1), number)
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record(stream)
        yield batch, ready


def _received(prepared: Iterator[tuple[torch.Tensor, torch.cuda.Event]]) -> Iterator[torch.Tensor]:
    """Let the present stream wait for each batch; its memory is not used again before that stream is done with it."""
    for batch, ready in prepared:
        stream = torch.cuda.current_stream(batch.device)
        stream.wait_event(ready)
        batch.record_stream(stream)
        yield batch
