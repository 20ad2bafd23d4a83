"""Preparing all samples of a study in a pool of processes that writes the packed store."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import pandas as pd

from rescan.data.index import Files, files_of
from rescan.data.pool import pooled
from rescan.data.readers import images
from rescan.errors import RescanError
from rescan.files import fingerprint, write_json, write_table, writing
from rescan.log import logger
from rescan.paths import Paths, StoreFolder
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.sample import NeedsWindow, Prepared, prepare
from rescan.preparation.store import Rows
from rescan.results.agreement import read_samples
from rescan.study import Preparation, Study

DIFFERS = "differs in size"


class _Task(NamedTuple):
    """Where one sample's files are, and the first of the rows that it fills."""

    row: int
    files: Files


class _Done(NamedTuple):
    """What came of a sample: why it cannot be prepared, or ""; and what the tables hold of it."""

    problem: str
    digests: Sequence[str] = ()  # of its items
    window: tuple[object, object] = ("", "")
    affine: Optional[np.ndarray] = None
    empty_mask: bool = False


def preprocess(study: Study, name: str, processes: int) -> None:
    """Write a preparation's packed store, whose files `store` describes.

    The workers write straight into the files, and each holds one sample, so memory stays flat. `preparation.json` comes
    last: a store without it is not whole.

    Args:
        study: The study.
        name: Name of the preparation.
        processes: Number of worker processes.

    Raises:
        RescanError: The prepared images differ in size, no image of a class can be prepared, values of more than 8 bits
            have no window, no sample has a file of the modality, or the disk is too full.
    """
    began = time.monotonic()
    paths, preparation = Paths(study.scale, study.name), study.preparations[name]
    store, where = paths.store(name), f"{study.name}: preparations.{name}"
    samples, files = _with_files(read_samples(study), paths, preparation.modality)
    readable = samples[samples["problem"] == ""].reset_index(drop=True)
    first = _first_of(files, preparation, where)
    each = len(first.items)
    tasks = [_Task(row * each, one) for row, one in enumerate(files)]
    _start_folder(store)
    arrays = _arrays(store, files, first)
    _check_space(store, arrays)
    with ExitStack() as stack:
        for key, rows in arrays.items():
            arrays[key] = rows._replace(path=stack.enter_context(writing(rows.path)))
            arrays[key].create()
        work = partial(_fill, preparation=preparation, arrays=arrays)
        done = list(pooled(work, tasks, processes, f"preprocess {name}"))
        samples.loc[samples["problem"] == "", "problem"] = [one.problem for one in done]
        _check_problems(samples, where, preparation)
        kept = np.flatnonzero([one.problem == "" for one in done])
        if len(kept) < len(tasks):
            rows_kept = (kept[:, None] * each + np.arange(each)).ravel()
            for rows in arrays.values():
                rows.keep(rows_kept)
        if preparation.dimensions == 3:
            affines = np.array([done[row].affine for row in kept], np.float64)
            np.save(stack.enter_context(writing(store.affines)), affines, allow_pickle=False)
    items = _items(readable.assign(mask=[int(one.mask is not None) for one in files]), done, kept)
    write_table(store.items, items)
    left_out = samples[samples["problem"] != ""]
    if len(left_out):
        logger.warning("%s: %d samples are left out, see %s", where, len(left_out), store.preparation)
    empty = [str(readable["sample"][row]) for row in kept if done[row].empty_mask]
    if empty:
        logger.warning("%s: the masks of %d samples are empty, such as that of %s", where, len(empty), empty[0])
    write_json(
        store.preparation,
        {
            "items": len(items),
            "shape": [len(items), *first.items[0].shape],
            "dtype": preparation.dtype,
            "dimensions": preparation.dimensions,
            "patches": each,
            "checksum": fingerprint(items["digest"].tolist()),
            "background": preparation.background,
            "left_out": left_out[["sample", "problem"]].to_dict("records"),
            "empty_masks": empty,
            "seconds": round(time.monotonic() - began, 1),
        },
    )


def _with_files(samples: pd.DataFrame, paths: Paths, modality: str) -> tuple[pd.DataFrame, list[Files]]:
    """The samples, with a `problem` where one lacks a file of the modality; and the files of the others, in order."""
    found = files_of(paths, samples, modality)
    missing = f"has no file of modality {modality!r}"
    problems = [problem or (missing if one is None else "") for one, problem in zip(found, samples["problem"])]
    files = [one for one, problem in zip(found, problems) if one is not None and not problem]
    return samples.assign(problem=problems), files


def _first_of(files: list[Files], preparation: Preparation, where: str) -> Prepared:
    """The first sample that can be prepared: the shapes and number of its items are those of all samples'."""
    problem = "no sample is readable"
    for one in files:
        try:
            return prepare(one._replace(mask=None), preparation)
        except NeedsWindow as error:
            raise RescanError(f"{where}: {one.path}: {error}") from None
        except (images.Unreadable, CannotPrepare) as error:
            problem = f"{one.path}: {error}"
    raise RescanError(f"{where}: no image can be prepared (the last one, {problem}); check the steps")


def _arrays(store: StoreFolder, files: list[Files], first: Prepared) -> dict[str, Rows]:
    """The array files of the store: images; masks and layers, where any sample has them."""
    item, count = first.items[0], len(first.items) * len(files)
    arrays = {"images": Rows(Path(store.images), count, item.shape, str(item.dtype))}
    if any(one.mask is not None for one in files):
        arrays["masks"] = Rows(Path(store.masks), count, item.shape[:-1], "uint8")
    if item.ndim == 4 and any(one.layers is not None for one in files):
        arrays["layers"] = Rows(Path(store.layers), count, item.shape[:-1], "uint8")
    return arrays


def _start_folder(store: StoreFolder) -> None:
    """Take away what a killed step left, and what would vouch for old arrays."""
    folder = Path(store)
    folder.mkdir(parents=True, exist_ok=True)
    old = map(Path, (store.preparation, store.masks, store.layers, store.affines))
    for stale in [*folder.glob(".*.npy"), *old]:
        stale.unlink(missing_ok=True)


def _check_space(store: StoreFolder, arrays: dict[str, Rows]) -> None:
    needed = sum(rows.length * rows.row_bytes for rows in arrays.values())
    free = shutil.disk_usage(store).free
    if needed > free:
        raise RescanError(f"{store}: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; make room")


def _fill(task: _Task, preparation: Preparation, arrays: dict[str, Rows]) -> _Done:
    """Prepare one sample into its rows."""
    try:
        prepared = prepare(task.files, preparation)
    except (images.Unreadable, CannotPrepare) as error:
        return _Done(str(error))
    shape, wanted = prepared.items[0].shape, arrays["images"].shape
    if shape != wanted:
        return _Done(f"{DIFFERS}: {shape}, the first image {wanted}")
    for number, item in enumerate(prepared.items):
        arrays["images"].write(task.row + number, item)
    for number, mask in enumerate(prepared.masks or []):
        arrays["masks"].write(task.row + number, mask)
    if prepared.layers is not None:
        arrays["layers"].write(task.row, prepared.layers)
    digests = [hashlib.blake2b(np.ascontiguousarray(item).data, digest_size=8).hexdigest() for item in prepared.items]
    empty = prepared.masks is not None and not any(mask.any() for mask in prepared.masks)
    return _Done("", digests, prepared.window or ("", ""), prepared.affine, empty)


def _check_problems(samples: pd.DataFrame, where: str, preparation: Preparation) -> None:
    for _, row in samples[samples["problem"].str.startswith(DIFFERS)][:1].iterrows():
        last = "resize" if preparation.dimensions == 2 else "resize_volume or pad_volume"
        raise RescanError(f"{where}: {row['sample']} {row['problem']}; let the steps end with {last}")
    for label, rows in samples[samples["label"] != ""].groupby("label"):
        if (rows["problem"] != "").all():
            sample, problem = rows[["sample", "problem"]].iloc[0]
            raise RescanError(
                f"{where}: no image of class {label!r} can be prepared ({sample}: {problem}); check the steps"
            )


def _items(readable: pd.DataFrame, done: list[_Done], kept: np.ndarray) -> pd.DataFrame:
    """The rows of items.csv."""
    rows = [
        (readable["sample"][row], patch, readable["mask"][row], digest, *done[row].window)
        for row in kept
        for patch, digest in enumerate(done[row].digests)
    ]
    table = pd.DataFrame(rows, columns=["sample", "patch", "mask", "digest", "low", "high"])
    return table.reset_index(names="item")
