"""Classifying images that the pipeline never saw, with nothing but an arm's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
        RescanError: No trained run in the folder, no image found, or none could be read.
    """
    from rescan.explanation.overlays import draw_predictions
    from rescan.models.network import load
    from rescan.training.infer import predict_logits
    from rescan.training.lease import held

    models = sorted(arm_folder.glob("fold*_seed*/model.safetensors"))
    if not models:
        raise RescanError(f"{arm_folder}: no fold*_seed*/model.safetensors in it; give the folder of a trained arm")
    temperature = read_json(arm_folder / "posttraining.json")["temperature"]
    paths = _find(images)
    networks: list[Network] = []
    for model in models:
        network, header = load(model)
        networks.append(network)
    classes, normalization = header["classes"], header["recipe"]["normalization"]
    rows: list[dict[str, object]] = []
    with held(device) as where:
        for network in networks:
            network.to(where)
        for start in progress(range(0, len(paths), CHUNK), -(-len(paths) // CHUNK), f"predicting (chunks of {CHUNK})"):
            found = _read(paths[start : start + CHUNK], Preparation.model_validate(header["preparation"]))
            good = {path: image for path, image in found.items() if isinstance(image, np.ndarray)}
            probabilities = np.empty((0, len(classes)))
            if good:
                batch = np.stack(list(good.values()))
                logits = [predict_logits(network, batch, normalization, where) for network in networks]
                probabilities = np.mean([softmax(values / temperature, axis=1) for values in logits], axis=0)
            if good and gradcam is not None:
                named = [f"{number:05d}_{path.stem}" for number, path in enumerate(found, start) if path in good]
                draw_predictions(networks[0], batch, named, probabilities, classes, normalization, gradcam)
            by_path = dict(zip(good, probabilities))
            rows += [_row(path, by_path.get(path), found[path], classes) for path in found]
    table = pd.DataFrame(rows, columns=["image", "predicted", *classes, "problem"])
    bad = table[table["problem"] != ""]
    if len(bad) == len(table):
        raise RescanError("\n".join(f"{row.image}: {row.problem}" for row in bad.itertuples()))
    write_table(out, table)
    for row in bad.itertuples():
        logger.warning("%s: %s; no prediction", row.image, row.problem)
    logger.info("%s: %d images, %d predicted by %d runs", out, len(table), len(table) - len(bad), len(networks))


def _read(paths: list[Path], preparation: Preparation) -> dict[Path, np.ndarray | str]:
    """Each image, prepared, or why it cannot be."""
    found: dict[Path, np.ndarray | str] = {}
    for path in paths:
        try:
            found[path] = prepare_image(path, preparation)[0]
        except (Unreadable, CannotPrepare) as error:
            found[path] = str(error)
    return found


def _row(
    path: Path, probabilities: np.ndarray | None, found: np.ndarray | str, classes: list[str]
) -> dict[str, object]:
    row: dict[str, object] = {"image": path.as_posix(), "problem": found if isinstance(found, str) else ""}
    if probabilities is not None:
        row["predicted"] = classes[int(probabilities.argmax())]
        row.update(zip(classes, probabilities.round(6)))
    return row


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
