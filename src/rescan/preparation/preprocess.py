"""Preparing all samples of a study in a pool of processes that writes the packed store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import pandas as pd

from rescan.data.index import Files, files_of
from rescan.data.pool import pooled
from rescan.data.readers import images
from rescan.data.readers.volumes import any_dicom
from rescan.data.sources.digests import check_sizes
from rescan.errors import RescanError
from rescan.files import fingerprint, sha256, writing
from rescan.log import logger
from rescan.paths import Paths, StoreFolder
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.room import check_disk, check_room
from rescan.preparation.sample import NeedsWindow, Prepared, prepare, prepare_all
from rescan.preparation.store import Rows, digest_of
from rescan.replacing import replacing
from rescan.results.agreement import read_samples
from rescan.results.packed_store import ITEMS, LeftOut, PackedStore
from rescan.study import Preparation, Study
from rescan.study.file import preparations_of_arms

DIFFERS = "differs in size"


class _Task(NamedTuple):
    """Where one sample's files are, and the first of the rows that it fills."""

    row: int
    files: Files

    def __str__(self) -> str:
        return str(self.files)


class _Outcome(NamedTuple):
    """What came of a sample: why it cannot be prepared, or ""; and what the tables hold of it."""

    problem: str
    digests: Sequence[str] = ()  # of its items
    window: tuple[object, object] = ("", "")
    affine: Optional[np.ndarray] = None
    empty_mask: bool = False


def preprocess(study: Study, name: str, processes: int) -> None:
    """Write a preparation's packed store, whose files `store` describes.

    The workers write straight into the files, and each holds one sample, so memory stays flat. An older store stays
    until the new one is whole.

    Args:
        study: The study.
        name: Name of the preparation.
        processes: Number of worker processes.

    Raises:
        RescanError: A file has changed since download, the prepared images differ in size, no image of a class can be
            prepared, values of more than 8 bits have no window, no sample has a file of the modality, or the disk is
            too full.
    """
    start = time.monotonic()
    paths, preparation = Paths(study.scale, study.name), study.preparations[name]
    where = f"{study.name}: preparations.{name}"
    check_sizes(study)
    samples, files = _with_files(read_samples(study), paths, preparation.modality)
    has_file = samples["problem"] == ""
    check_room(preparation, where, paths.store(name), len(files), processes)
    first = _first_of(study, files, preparation, where)
    patches = len(first.items)
    with replacing(paths.store(name)) as folder:
        store = StoreFolder(folder)
        arrays = _arrays(store, files, first)
        check_disk(paths.store(name), sum(rows.length * rows.row_bytes for rows in arrays.values()))
        for rows in arrays.values():
            rows.create()
        tasks = [_Task(number * patches, own_files) for number, own_files in enumerate(files)]
        fill = partial(_fill, preparation=preparation, arrays=arrays)
        apart = processes <= 1 and any_dicom(own_files.path for own_files in files)
        outcomes = list(pooled(fill, tasks, processes, f"preprocess {name}", _Outcome, apart=apart))
        samples.loc[has_file, "problem"] = [outcome.problem for outcome in outcomes]
        _check_problems(study, samples, where, preparation)
        prepared = np.flatnonzero([outcome.problem == "" for outcome in outcomes])
        if len(prepared) < len(tasks):
            filled = (prepared[:, None] * patches + np.arange(patches)).ravel()
            for rows in arrays.values():
                rows.keep(filled)
        if preparation.dimensions == 3:
            affines = np.array([outcomes[number].affine for number in prepared], np.float64)
            with writing(store.affines) as temporary:
                np.save(temporary, affines, allow_pickle=False)
        with_mask = [int(own_files.mask is not None) for own_files in files]
        kept = samples[has_file].assign(mask=with_mask).iloc[prepared]
        items = _items(kept, [outcomes[number] for number in prepared])
        ITEMS.write(store.items, items)
        left_out = samples.loc[samples["problem"] != "", ["sample", "problem"]]
        names = samples.loc[has_file, "sample"].tolist()
        empty = [names[number] for number in prepared if outcomes[number].empty_mask]
        packed = PackedStore(
            items=len(items),
            shape=[len(items), *first.items[0].shape],
            dtype=preparation.dtype,
            dimensions=preparation.dimensions,
            patches=patches,
            checksum=fingerprint(items["digest"].tolist()),
            background=preparation.background,
            left_out=[LeftOut(sample=sample, problem=problem) for sample, problem in left_out.itertuples(index=False)],
            empty_masks=empty,
            beside={Path(path).name: sha256(path) for path in store.beside if Path(path).is_file()},
            seconds=round(time.monotonic() - start, 1),
        )
        _as_before(packed, paths.store(name)).write(store.preparation)
    if len(left_out):
        about = paths.store(name).preparation
        logger.warning("%s: %d samples are left out, see %s", where, len(left_out), about)
    if empty:
        logger.warning("%s: the masks of %d samples are empty, such as that of %s", where, len(empty), empty[0])


def _as_before(packed: PackedStore, old: StoreFolder) -> PackedStore:
    """A store, with the time that the old one took where all else is the same: what was made of that is not stale."""
    try:
        before = PackedStore.read(old.preparation)
    except RescanError:  # there is none, or it is damaged: the new one takes its place
        return packed
    same = before == packed.model_copy(update={"seconds": before.seconds})
    return before if same else packed


def _with_files(samples: pd.DataFrame, paths: Paths, modality: str) -> tuple[pd.DataFrame, list[Files]]:
    """The samples, with a `problem` where one lacks a file of the modality; and the files of the others, in order."""
    files = files_of(paths, samples, modality)
    missing = f"has no file of modality {modality!r}"
    problems = [problem or (missing if own is None else "") for own, problem in zip(files, samples["problem"])]
    return samples.assign(problem=problems), [own for own, problem in zip(files, problems) if own and not problem]


def _first_of(study: Study, files: list[Files], preparation: Preparation, where: str) -> Prepared:
    """The first sample that can be prepared: the shapes and number of its items are those of all samples'."""
    problem = "no sample is readable"
    for own_files, result in zip(files, prepare_all([own._replace(mask=None) for own in files], preparation)):
        if isinstance(result, Prepared):
            return result
        problem = f"{own_files.path}: {result}"
        if isinstance(result, NeedsWindow):
            raise RescanError(f"{where}: {problem}")
    remedy = _remedy(study, preparation, str(result) if files else "")
    raise RescanError(f"{where}: no image can be prepared (the last one, {problem}); {remedy}")


def _remedy(study: Study, preparation: Preparation, problem: str) -> str:
    """What to do where no image of a kind can be prepared: take an arm without the step that fails, if there is one."""
    step = problem.partition(": ")[0]
    if step not in [own["name"] for own in preparation.steps]:
        return "check the steps"
    without = {
        name: len(other.steps)
        for name, other in study.preparations.items()
        if other.reads == preparation.reads and step not in [own["name"] for own in other.steps]
    }
    arms = {arm: without[name] for arm, name in preparations_of_arms(study).items() if name in without}
    plain = [arm for arm, steps in arms.items() if steps == min(arms.values())]
    if not plain:
        return "check the steps"
    return (
        f"check the steps; copies of the data that are processed already need an arm without {step}: "
        f"{', '.join(plain)} (--config 'arms={{{study.name}: [{plain[-1]}]}}')"
    )


def _arrays(store: StoreFolder, files: list[Files], first: Prepared) -> dict[str, Rows]:
    """The array files of the store: images; masks and layers, where any sample has them."""
    item, count = first.items[0], len(first.items) * len(files)
    arrays = {"images": Rows(Path(store.images), count, item.shape, str(item.dtype))}
    if any(own.mask is not None for own in files):
        arrays["masks"] = Rows(Path(store.masks), count, item.shape[:-1], "uint8")
    if item.ndim == 4 and any(own.layers is not None for own in files):
        arrays["layers"] = Rows(Path(store.layers), count, item.shape[:-1], "uint8")
    return arrays


def _fill(task: _Task, preparation: Preparation, arrays: dict[str, Rows]) -> _Outcome:
    """Prepare one sample into its rows."""
    try:
        prepared = prepare(task.files, preparation)
    except (images.Unreadable, CannotPrepare) as error:
        return _Outcome(str(error))
    shape, first_shape = prepared.items[0].shape, arrays["images"].shape
    if shape != first_shape:
        return _Outcome(f"{DIFFERS}: {shape}, the first image {first_shape}")
    for number, item in enumerate(prepared.items):
        arrays["images"].write(task.row + number, item)
    for number, mask in enumerate(prepared.masks or []):
        arrays["masks"].write(task.row + number, mask)
    if prepared.layers is not None:
        arrays["layers"].write(task.row, prepared.layers)
    digests = [digest_of(item) for item in prepared.items]
    empty = prepared.masks is not None and not any(mask.any() for mask in prepared.masks)
    return _Outcome("", digests, prepared.window or ("", ""), prepared.affine, empty)


def _check_problems(study: Study, samples: pd.DataFrame, where: str, preparation: Preparation) -> None:
    """Refuse samples of another size than the first, and a class without any prepared sample."""
    for _, row in samples[samples["problem"].str.startswith(DIFFERS)][:1].iterrows():
        last = "resize" if preparation.dimensions == 2 else "resize_volume or pad_volume"
        raise RescanError(f"{where}: {row['sample']} {row['problem']}; let the steps end with {last}")
    for label, rows in study.data.outcome.by_class(samples[samples["label"] != ""]).groupby("label"):
        if (rows["problem"] != "").all():
            sample, problem = rows[["sample", "problem"]].iloc[0]
            raise RescanError(
                f"{where}: no image of class {label!r} can be prepared ({sample}: {problem}); "
                f"{_remedy(study, preparation, problem)}"
            )


def _items(samples: pd.DataFrame, outcomes: list[_Outcome]) -> pd.DataFrame:
    """The rows of items.csv, from the prepared samples' rows."""
    rows = [
        (sample, patch, mask, digest, *outcome.window)
        for sample, mask, outcome in zip(samples["sample"], samples["mask"], outcomes)
        for patch, digest in enumerate(outcome.digests)
    ]
    table = pd.DataFrame(rows, columns=["sample", "patch", "mask", "digest", "low", "high"])
    return table.reset_index(names="item")
