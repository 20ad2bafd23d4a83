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
    preparation = Preparation.model_validate(header["preparation"])
    classes = header["classes"]
    prepared: list[np.ndarray] = []
    problems: list[str] = []
    for path in progress(paths, len(paths), "reading"):
        try:
            prepared.append(prepare_image(path, preparation)[0])
            problems.append("")
        except (Unreadable, CannotPrepare) as error:
            problems.append(str(error))
    table = pd.DataFrame({"image": [path.as_posix() for path in paths], "predicted": "", "problem": problems})
    if not prepared:
        raise RescanError("\n".join(f"{path}: {problem}" for path, problem in zip(paths, problems)))
    batch = np.stack(prepared)
    normalization = header["recipe"]["normalization"]
    with held(device) as where:
        logits = [predict_logits(network.to(where), batch, normalization, where) / temperature for network in networks]
    probabilities = np.mean([softmax(values, axis=1) for values in logits], axis=0)
    good = table["problem"] == ""
    table.loc[good, "predicted"] = [classes[k] for k in probabilities.argmax(1)]
    for k, name in enumerate(classes):
        table.loc[good, name] = probabilities[:, k].round(6)
    write_table(out, table[["image", "predicted", *classes, "problem"]])
    for path, problem in zip(paths, problems):
        if problem:
            logger.warning("%s: %s; no prediction", path, problem)
    logger.info("%s: %d images, %d predicted by %d runs", out, len(paths), len(prepared), len(networks))
    if gradcam is not None:
        from rescan.explanation.overlays import draw_predictions

        names = [path for path, fine in zip(paths, good) if fine]
        draw_predictions(networks[0], batch, names, probabilities, classes, normalization, gradcam)


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
