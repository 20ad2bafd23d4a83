"""Preparing images: one at a time, or all of a study in a pool of processes that writes the packed store."""

from __future__ import annotations

import hashlib
import shutil
import time
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, Optional, cast

import cv2
import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from rescan import names
from rescan.data import images
from rescan.data.index import locate
from rescan.data.pool import pooled
from rescan.errors import RescanError
from rescan.files import fingerprint, read_json, read_table, write_json, write_table, writing
from rescan.log import logger
from rescan.paths import Paths
from rescan.preparation.operators import CannotPrepare, Pair, resize
from rescan.study import Preparation, Study

# What a scaled decoding leaves of the shorter side: this many times the size that the steps resize to, and at least so
# many pixels. Full-size fundus photographs, cropped and enhanced, differ by half a gray level on average.
DECODED, DECODED_LEAST = 1.75, 768


def prepare_image(
    path: str | Path, preparation: Preparation, mask_path: str | Path | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read an image file and take it through the steps of a preparation.

    Args:
        path: The image file.
        preparation: Its steps and channels, and how JPEG files are decoded.
        mask_path: A lesion mask of the same size, if there is one: what is brighter than 127.

    Returns:
        The image, (H, W, C) uint8 in [0, 255], C = 1 for gray and 3 for RGB; the mask, (H, W) uint8 of 0 and 255.

    Raises:
        images.Unreadable: The image file cannot be read.
        CannotPrepare: A step fails, or the mask does not fit.
    """
    image, mask = _read(path, preparation, mask_path)
    for step in preparation.steps:
        image, mask = _apply(step, image, mask)
    return image.reshape(*image.shape[:2], -1), mask


def stages_of(path: str | Path, preparation: Preparation) -> list[tuple[str, np.ndarray]]:
    """The image as read ("raw"), then after each step of the preparation, by the operator's name.

    Returns:
        Names and images, (H, W) or (H, W, 3) uint8.

    Raises:
        images.Unreadable: The image file cannot be read.
        CannotPrepare: A step fails.
    """
    stages = [("raw", _read(path, preparation)[0])]
    for step in preparation.steps:
        stages.append((step["name"], _apply(step, stages[-1][1], None)[0]))
    return stages


def _apply(step: dict[str, Any], image: np.ndarray, mask: np.ndarray | None) -> Pair:
    options = {option: value for option, value in step.items() if option != "name"}
    result: Pair = names.resolve("operator", step["name"])(image, mask, **options)
    return result


def _read(path: str | Path, preparation: Preparation, mask_path: str | Path | None = None) -> Pair:
    image, own = images.read(path, _at_least(preparation))
    if preparation.channels == "rgb" and image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    elif preparation.channels == "gray" and image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mask = None if mask_path is None else _read_mask(mask_path, (own["height"], own["width"]))
    if mask is not None and mask.shape != image.shape[:2]:
        mask = resize(mask, mask, image.shape[:2])[1]
    return image, mask


def _at_least(preparation: Preparation) -> int | None:
    """Pixels of the shorter side that a scaled decoding must leave; None: decode at full size."""
    sizes = [max(step["size"]) for step in preparation.steps if step["name"] == "resize"]
    if preparation.decode == "full" or not sizes:
        return None
    return max(DECODED_LEAST, round(DECODED * sizes[0]))


def _read_mask(path: str | Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        mask, _ = images.read(path)
    except images.Unreadable as error:
        raise CannotPrepare(f"mask: {error}") from None
    if mask.shape[:2] != shape:
        raise CannotPrepare(f"mask is {mask.shape[1]}x{mask.shape[0]} pixels, image {shape[1]}x{shape[0]}")
    mask = mask if mask.ndim == 2 else mask.max(axis=2)
    return np.where(mask > 127, np.uint8(255), np.uint8(0))


class _Task(NamedTuple):
    """Where one sample is read and which row of the arrays it fills."""

    row: int
    path: Path
    mask_path: Optional[Path]


def preprocess(study: Study, name: str, processes: int) -> None:
    """Write a preparation's packed store: `images.npy`, `items.csv`, `preparation.json`, and `masks.npy` if any.

    The workers write straight into the memory map, so memory stays flat. `preparation.json` comes last: a store without
    it is not whole.

    Args:
        study: The study.
        name: Name of the preparation.
        processes: Number of worker processes.

    Raises:
        RescanError: The prepared images differ in size, no image of a class can be prepared, or the disk is too full.
    """
    began = time.monotonic()
    paths, preparation = Paths(study.scale, study.name), study.preparations[name]
    folder = Path(paths.store(name))
    samples = read_table(paths.manifest).merge(read_table(paths.groups), on="sample", validate="one_to_one")
    readable = samples[samples["problem"] == ""].reset_index(drop=True)
    files = cast("list[Path]", locate(paths, readable))  # the audit leaves no row without a file
    tasks = [_Task(row, *both) for row, both in enumerate(zip(files, locate(paths, readable, "mask")))]
    where = f"{study.name}: preparations.{name}"
    shape = _shape_of_first(tasks, preparation, where)
    _start_folder(folder, len(tasks), shape)
    masked = bool((readable["mask"] != "").any())
    with ExitStack() as stack:
        images_path = stack.enter_context(writing(folder / "images.npy"))
        open_memmap(images_path, "w+", np.uint8, (len(tasks), *shape))
        masks_path = stack.enter_context(writing(folder / "masks.npy")) if masked else None
        if masks_path:
            open_memmap(masks_path, "w+", np.uint8, (len(tasks), *shape[:2]))
        work = partial(_fill, preparation=preparation, images_path=images_path, masks_path=masks_path)
        done = list(pooled(work, tasks, processes, f"preprocess {name}"))
        problems, digests = (np.array(column, dtype=object) for column in zip(*done))
        _open_writable.cache_clear()
        _check_problems(readable, problems, where)
        kept = np.flatnonzero(problems == "")
        if len(kept) < len(tasks):
            _keep_rows(images_path, kept)
            if masks_path:
                _keep_rows(masks_path, kept)
    items = readable.assign(mask=(readable["mask"] != "").astype(int), digest=digests).loc[kept]
    items = items[["sample", "mask", "digest"]].reset_index(drop=True)
    write_table(folder / "items.csv", items.reset_index(names="item"))
    left_out = pd.concat([samples[samples["problem"] != ""], readable.assign(problem=problems).drop(kept)])
    if len(left_out):
        logger.warning("%s: %d samples are left out, see %s", where, len(left_out), folder / "preparation.json")
    write_json(
        folder / "preparation.json",
        {
            "items": len(items),
            "shape": [len(items), *shape],
            "dtype": "uint8",
            "checksum": fingerprint(items["digest"].tolist()),
            "background": preparation.background,
            "left_out": left_out[["sample", "problem"]].to_dict("records"),
            "seconds": round(time.monotonic() - began, 1),
        },
    )


def _shape_of_first(tasks: list[_Task], preparation: Preparation, where: str) -> tuple[int, ...]:
    """The shape that all items must have: that of the first image that can be prepared."""
    problem = "no sample is readable"
    for task in tasks:
        try:
            return prepare_image(task.path, preparation)[0].shape
        except (images.Unreadable, CannotPrepare) as error:
            problem = f"{task.path}: {error}"
    raise RescanError(f"{where}: no image can be prepared (the last one, {problem}); check the steps")


def _start_folder(folder: Path, count: int, shape: tuple[int, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in [*folder.glob(".*.npy"), folder / "preparation.json", folder / "masks.npy"]:
        stale.unlink(missing_ok=True)  # what a killed step left, and what would vouch for the old arrays
    needed, free = count * int(np.prod(shape)), shutil.disk_usage(folder).free
    if needed > free:  # a full disk kills who writes to a memory map, without a message
        raise RescanError(f"{folder}: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; make room")


@lru_cache(maxsize=2)
def _open_writable(path: Path) -> np.ndarray:
    return open_memmap(path, "r+")


def _fill(task: _Task, preparation: Preparation, images_path: Path, masks_path: Path | None) -> tuple[str, str]:
    """Prepare one sample into its row; return why it cannot be, or "", and a digest of the prepared image."""
    array = _open_writable(images_path)
    try:
        image, mask = prepare_image(task.path, preparation, task.mask_path)
    except (images.Unreadable, CannotPrepare) as error:
        return str(error), ""
    if image.shape != array.shape[1:]:
        return f"differs in size: {image.shape}, the first image {array.shape[1:]}", ""
    array[task.row] = image
    if masks_path and mask is not None:
        _open_writable(masks_path)[task.row] = mask
    return "", hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest()


def _check_problems(readable: pd.DataFrame, problems: np.ndarray, where: str) -> None:
    for row in np.flatnonzero([problem.startswith("differs in size") for problem in problems])[:1]:
        raise RescanError(f"{where}: {readable['sample'][row]} {problems[row]}; let the steps end with resize")
    for label, rows in readable[readable["label"] != ""].groupby("label"):
        if (problems[rows.index] != "").all():
            sample, problem = rows["sample"].iloc[0], problems[rows.index[0]]
            raise RescanError(
                f"{where}: no image of class {label!r} can be prepared ({sample}: {problem}); check the steps"
            )


def _keep_rows(path: Path, rows: np.ndarray) -> None:
    """Leave only some rows in an array file, without holding them in memory."""
    old = np.load(path, mmap_mode="r")
    with writing(path) as temporary:
        new = open_memmap(temporary, "w+", old.dtype, (len(rows), *old.shape[1:]))
        for target, row in enumerate(rows):
            new[target] = old[row]


def open_store(folder: str | Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Open a packed store.

    Returns:
        The images, (N, H, W, C) uint8, memory-mapped and read-only; and `items.csv`, whose row i is about image i.

    Raises:
        RescanError: The store is not there or not whole.
    """
    about = read_json(Path(folder) / "preparation.json")
    array, items = np.load(Path(folder) / "images.npy", mmap_mode="r"), read_table(Path(folder) / "items.csv")
    if list(array.shape) != about["shape"] or len(items) != about["items"]:
        raise RescanError(f"{folder}: its files do not belong together; run preprocess again")
    return array, items.astype({"mask": int})
