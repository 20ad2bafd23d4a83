"""Classifying images that the pipeline never saw, with nothing but an arm's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from rescan.data.images import Unreadable
from rescan.data.layouts import SUFFIXES
from rescan.errors import RescanError
from rescan.evaluation import heads, posttrain
from rescan.evaluation.predictions import Predictions, Reading
from rescan.files import read_json, write_table
from rescan.log import logger, progress
from rescan.preparation.build import prepare_image
from rescan.preparation.operators import CannotPrepare
from rescan.study import Inference, Preparation

CHUNK = 256  # images held in memory at once

if TYPE_CHECKING:
    from rescan.models.network import Network


class Model(NamedTuple):
    """A trained network, what its file says of it, and what it is shown of an image."""

    network: Network
    header: dict[str, Any]
    inference: Inference

    @property
    def input(self) -> str:
        """What tells apart models that need images prepared in other ways."""
        return repr((self.header["preparation"], self.header["input"]))


def predict(arm_folder: Path, images: list[Path], out: Path, gradcam: Path | None, device: str) -> None:
    """Write a table of predictions, one row an image; `problem` says why an image could not be read.

    The outputs of all the arm's networks are averaged, and read with what its post-training fitted.

    Args:
        arm_folder: An arm's folder of results. Its networks lie in it; those of an arm that reads others' beside it.
        images: Image files and folders, which are searched through.
        out: The table: image, predicted, grade (on the line of the classes' numbers, where it is read from grades), a
            column a class (where there are probabilities), problem.
        gradcam: Where to draw the first network's Grad-CAM, if given.
        device: auto, cpu or cuda.

    Raises:
        RescanError: No finished arm in the folder, no image found, or none could be read.
    """
    from rescan.training.lease import held

    posttraining = arm_folder / "posttraining.json"
    if not posttraining.is_file():
        raise RescanError(
            f"{arm_folder}: no posttraining.json in it; give the folder of an arm that was run to its end"
        )
    fitted = read_json(posttraining)
    paths = _find(images)
    models = _load(arm_folder, fitted)
    classes = models[0].header["classes"]
    rows: list[dict[str, object]] = []
    with held(device) as where:
        for model in models:
            model.network.to(where)
        for start in progress(range(0, len(paths), CHUNK), -(-len(paths) // CHUNK), f"predicting (chunks of {CHUNK})"):
            chunk = paths[start : start + CHUNK]
            found, good, outputs = _outputs(models, chunk, where)
            rows += [{"image": path.as_posix(), "problem": found[place]} for place, path in enumerate(chunk)]
            if not good:
                continue
            reading = _read_off(fitted, outputs, len(good))
            for number, place in enumerate(good):
                rows[start + place].update(_row(reading, number, classes), problem="")
            if gradcam is not None:
                titles = [f"{start + place:05d}_{chunk[place].stem}" for place in good]
                prepared = np.stack([found[place] for place in good])
                _draw(models[0], prepared, titles, reading, gradcam)
    known = {name for row in rows for name in row}
    columns = ["image", "predicted", *(name for name in ("grade", *classes) if name in known), "problem"]
    table = pd.DataFrame(rows, columns=columns)
    bad = table[table["problem"] != ""]
    if len(bad) == len(table):
        raise RescanError("\n".join(f"{row.image}: {row.problem}" for row in bad.itertuples()))
    write_table(out, table)
    for row in bad.itertuples():
        logger.warning("%s: %s; no prediction", row.image, row.problem)
    logger.info("%s: %d images, %d predicted by %d networks", out, len(table), len(table) - len(bad), len(models))


def _load(arm_folder: Path, fitted: dict[str, Any]) -> list[Model]:
    """The networks that an arm's predictions are averaged from."""
    from rescan.models.network import load

    models = [
        Model(*load(arm_folder / entry["file"]), Inference.model_validate(entry["inference"]))
        for entry in fitted["models"]
    ]
    if any(model.header["classes"] != models[0].header["classes"] for model in models):
        raise RescanError(f"{arm_folder}: its networks were trained with different classes; run the arm again")
    return models


def _outputs(
    models: list[Model], paths: list[Path], where: Any
) -> tuple[list[np.ndarray | str], list[int], dict[str, list[np.ndarray]]]:
    """Each image as the first model takes it, or why not; which are good for all models; their outputs by head."""
    from rescan.training.infer import Shown, predict_outputs

    inputs = {model.input: model for model in models}
    prepared = {key: [_prepared(path, model) for path in paths] for key, model in inputs.items()}
    good = [place for place in range(len(paths)) if all(isinstance(of[place], np.ndarray) for of in prepared.values())]
    problems = [
        next((of[place] for of in prepared.values() if isinstance(of[place], str)), None) for place in range(len(paths))
    ]
    found = [
        prepared[models[0].input][place] if place in good else problems[place] or "" for place in range(len(paths))
    ]
    outputs: dict[str, list[np.ndarray]] = {}
    if good:
        batches = {key: np.stack([of[place] for place in good]) for key, of in prepared.items()}
        shared = set.intersection(*(set(model.network.heads) for model in models))
        for model in models:
            shown = Shown(model.inference, model.header["preparation"]["background"])
            normalization = model.header["recipe"]["normalization"]
            own = predict_outputs(model.network, batches[model.input], normalization, where, shown=shown)
            for head in shared:
                outputs.setdefault(head, []).append(own[head])
    return found, good, outputs


def _prepared(path: Path, model: Model) -> np.ndarray | str:
    """An image, prepared, (H, W, C) uint8; or why it cannot be."""
    shape = tuple(model.header["input"])
    try:
        image = prepare_image(path, Preparation.model_validate(model.header["preparation"]))[0]
    except (Unreadable, CannotPrepare) as error:
        return str(error)
    if image.min() == image.max():
        return "constant image"
    fits = (image.shape[2], *image.shape[:2]) == shape
    return image if fits else f"is {image.shape[:2]} pixels when prepared, the network takes {shape[1:]}"


def _read_off(fitted: dict[str, Any], outputs: dict[str, list[np.ndarray]], count: int) -> Reading:
    """Average the networks' outputs and read them with the arm's post-training."""
    rows = pd.DataFrame({"part": ["new"] * count, "group": [""] * count})
    ordered = {head: outputs[head] for head in heads.HEADS if head in outputs}
    return posttrain.apply(fitted, Predictions(rows, heads.average(ordered, fitted["trim"])))


def _row(reading: Reading, number: int, classes: list[str]) -> dict[str, object]:
    """An image's columns."""
    row: dict[str, object] = {"predicted": classes[int(reading.predicted[number])]}
    if reading.log_probabilities is None:
        return {**row, "grade": round(float(reading.grade[number]), 4)}
    return {**row, **dict(zip(classes, np.exp(reading.log_probabilities[number]).round(6)))}


def _draw(model: Model, prepared: np.ndarray, titles: list[str], reading: Reading, folder: Path) -> None:
    """Draw the first network's maps of the images."""
    from rescan.explanation.overlays import draw_predictions

    probabilities = None if reading.log_probabilities is None else np.exp(reading.log_probabilities)
    classes, normalization = model.header["classes"], model.header["recipe"]["normalization"]
    draw_predictions(
        model.network,
        prepared,
        titles,
        probabilities,
        classes,
        normalization,
        folder,
        predicted=reading.predicted,
    )


def _find(images: list[Path]) -> list[Path]:
    found: list[Path] = []
    for image in images:
        if image.is_dir():
            found += sorted(path for path in image.rglob("*") if path.suffix.lower() in SUFFIXES)
        elif image.is_file():
            found.append(image)
        else:
            raise RescanError(f"{image}: no such file or folder; give image files or folders of them")
    if not found:
        raise RescanError(
            f"{images[0]}: no images in it ({', '.join(sorted(SUFFIXES))}); give image files or folders of them"
        )
    return found
