"""Classifying images that the pipeline never saw, with nothing but an arm's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from rescan.data.images import Unreadable
from rescan.data.layouts import SUFFIXES
from rescan.errors import RescanError
from rescan.files import read_json, write_table
from rescan.log import logger, progress
from rescan.preparation.build import prepare_image
from rescan.preparation.operators import CannotPrepare
from rescan.study import Preparation

CHUNK = 256  # images held in memory at once

if TYPE_CHECKING:
    from rescan.models.network import Network


def predict(arm_folder: Path, images: list[Path], out: Path, gradcam: Path | None, device: str) -> None:
    """Write a table of class probabilities, one row an image; `problem` says why an image could not be read.

    The probabilities are softmax of the temperature-scaled logits, averaged over the arm's runs.

    Args:
        arm_folder: An arm's folder of results, or a copy of it.
        images: Image files and folders, which are searched through.
        out: The table: image, predicted, one column a class, problem.
        gradcam: Where to draw the first run's Grad-CAM of the predicted class, if given.
        device: auto, cpu or cuda.

    Raises:
        RescanError: No finished arm in the folder, no image found, or none could be read.
    """
    from rescan.explanation.overlays import draw_predictions
    from rescan.training.infer import predict_logits
    from rescan.training.lease import held

    posttraining = arm_folder / "posttraining.json"
    if not posttraining.is_file():
        raise RescanError(
            f"{arm_folder}: no posttraining.json in it; give the folder of an arm that was run to its end"
        )
    fitted = read_json(posttraining)
    paths = _find(images)
    networks, header = _load(arm_folder, fitted["runs"])
    preparation, classes = Preparation.model_validate(header["preparation"]), header["classes"]
    normalization, shape = header["recipe"]["normalization"], tuple(header["input"])
    rows: list[dict[str, object]] = []
    with held(device) as where:
        for network in networks:
            network.to(where)
        for start in progress(range(0, len(paths), CHUNK), -(-len(paths) // CHUNK), f"predicting (chunks of {CHUNK})"):
            chunk = paths[start : start + CHUNK]
            found = [_read(path, preparation, shape) for path in chunk]
            good = [place for place, image in enumerate(found) if isinstance(image, np.ndarray)]
            rows += [{"image": path.as_posix(), "problem": found[place]} for place, path in enumerate(chunk)]
            if not good:
                continue
            batch = np.stack([found[place] for place in good])
            logits = [predict_logits(network, batch, normalization, where) for network in networks]
            probabilities = np.mean([softmax(values / fitted["temperature"], axis=1) for values in logits], axis=0)
            for place, values in zip(good, probabilities):
                named = dict(zip(classes, values.round(6)))
                rows[start + place].update(named, problem="", predicted=classes[int(values.argmax())])
            if gradcam is not None:
                titles = [f"{start + place:05d}_{chunk[place].stem}" for place in good]
                draw_predictions(networks[0], batch, titles, probabilities, classes, normalization, gradcam)
    table = pd.DataFrame(rows, columns=["image", "predicted", *classes, "problem"])
    bad = table[table["problem"] != ""]
    if len(bad) == len(table):
        raise RescanError("\n".join(f"{row.image}: {row.problem}" for row in bad.itertuples()))
    write_table(out, table)
    for row in bad.itertuples():
        logger.warning("%s: %s; no prediction", row.image, row.problem)
    logger.info("%s: %d images, %d predicted by %d runs", out, len(table), len(table) - len(bad), len(networks))


def _load(arm_folder: Path, runs: list[dict[str, int]]) -> tuple[list[Network], dict[str, Any]]:
    """The networks of an arm's runs, and what their headers have in common."""
    from rescan.models.network import load

    found = [load(arm_folder / f"fold{run['fold']}_seed{run['seed']}" / "model.safetensors") for run in runs]
    headers = [{key: header[key] for key in ("recipe", "preparation", "classes", "input")} for _, header in found]
    if any(header != headers[0] for header in headers):
        raise RescanError(f"{arm_folder}: its runs were trained with different recipes; run the arm again")
    return [network for network, _ in found], headers[0]


def _read(path: Path, preparation: Preparation, shape: tuple[int, ...]) -> np.ndarray | str:
    """An image, prepared, (H, W, C) uint8; or why it cannot be."""
    try:
        image = prepare_image(path, preparation)[0]
    except (Unreadable, CannotPrepare) as error:
        return str(error)
    fits = (image.shape[2], *image.shape[:2]) == shape
    return image if fits else f"is {image.shape[:2]} pixels when prepared, the network takes {shape[1:]}"


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
