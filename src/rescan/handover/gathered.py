"""All that predicts with an arm in one folder: an ensemble's networks lie in the folders of the arms beside it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TypeVar

from rescan.errors import RescanError
from rescan.files import copy_file, writing
from rescan.log import logger
from rescan.onnx_networks import NAME as ONNX
from rescan.onnx_networks import read_header
from rescan.paths import ArmFolder
from rescan.results.json_result import JsonResult
from rescan.results.map_files import MapSummary
from rescan.results.metrics_file import Metrics
from rescan.results.posttraining import Posttraining
from rescan.results.trained_model import model_checksum

Result = TypeVar("Result", bound=JsonResult)
BESIDE = ("training_range.safetensors",)  # of a run, beside its model, where they are there


def gather(arm_folder: Path, out: Path, models: bool = True) -> Posttraining:
    """Write a folder that predicts as an arm's does, with nothing of it outside.

    Into it go posttraining.json, metrics.json, and of each arm whose networks it reads the summary of its maps, without
    the samples that are shown there. The networks of an ensemble's members lie in folders called after these.

    Args:
        arm_folder: The folder of an arm that was run to its end.
        out: The folder to fill, made if needed.
        models: Whether to copy the networks, too; else only what lies beside them.

    Returns:
        What is written as posttraining.json: it names the networks by their new places.

    Raises:
        RescanError: No finished arm in the folder, its posttraining.json is damaged, or a network is not there.
    """
    own, new = ArmFolder(arm_folder), ArmFolder(out)
    if not Path(own.posttraining).is_file():
        raise RescanError(
            f"{arm_folder}: no posttraining.json in it; give the folder of an arm that was run to its end"
        )
    posttraining = Posttraining.read(own.posttraining)
    entries = [entry.model_copy(update={"file": inside(entry.file)}) for entry in posttraining.models]
    for entry, moved in zip(posttraining.models, entries):
        source, target = arm_folder / entry.file, out / moved.file
        if not source.is_file():
            beside = ", and the arms beside it whose networks it reads" if entry.file.startswith("..") else ""
            raise RescanError(f"{source}: no such file; copy the whole folder of the arm{beside}, or train it again")
        names = [source.name] * models + [ONNX] * (models and _fits(source)) + [*BESIDE]
        for name in names:
            if (source.parent / name).is_file():
                _copy(source.parent / name, target.parent / name)
        _copy_summary(source.parent.parent, target.parent.parent)
    if (metrics := read_or_warn(Metrics, own.metrics)) is not None:
        metrics.write(new.metrics)
    gathered = posttraining.model_copy(update={"models": entries})
    gathered.write(new.posttraining)
    return gathered


def inside(file: str) -> str:
    """Where a model file of an arm's folder, or of an arm beside it, goes inside: without what leads out."""
    parts = PurePosixPath(os.path.normpath(file)).parts
    return str(PurePosixPath(*(part for part in parts if part not in ("..", "/"))))


def read_or_warn(kind: type[Result], path: str) -> Result | None:
    """A file that predicts nothing; None, with a warning, if it is of an older Rescan or damaged."""
    try:
        return kind.read_if_there(path)
    except RescanError as error:
        logger.warning("left out: %s", error)
        return None


def _fits(trained: Path) -> bool:
    """Whether the ONNX file beside a model was made from it; one that was not is left out, with a warning."""
    file = trained.with_name(ONNX)
    try:
        fits = file.is_file() and read_header(file)[1] == (model_checksum(trained) or "")
    except RescanError as error:
        logger.warning("left out: %s", error)
        return False
    if file.is_file() and not fits:
        logger.warning("left out: %s: was made from another model than %s beside it", file, trained.name)
    return fits


def _copy(source: Path, target: Path) -> None:
    with writing(target) as temporary:
        copy_file(source, temporary)


def _copy_summary(source: Path, target: Path) -> None:
    """Copy the summary of an arm's maps, by which those of new images are made, without samples."""
    summary = read_or_warn(MapSummary, ArmFolder(source).gradcam.summary)
    if summary is not None:
        summary.model_copy(update={"chosen": []}).write(ArmFolder(target).gradcam.summary)
