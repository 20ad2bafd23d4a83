"""Grad-CAM of an arm: maps of right and wrong test images, and how much of the maps lies inside known lesions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from rescan.errors import RescanError
from rescan.explanation import faithfulness
from rescan.explanation.drawing import Tile, draw
from rescan.explanation.gradcam import cells, gradcam
from rescan.files import read_json, read_table, write_json, write_table, writing
from rescan.log import logger, progress
from rescan.models.network import Network, build, load, normalize
from rescan.paths import Paths
from rescan.study import Recipe, Study
from rescan.training.lease import held

Images = NDArray[np.uint8]
Maps = NDArray[np.float32]
Explain = Callable[[Images, NDArray[np.integer]], tuple[Maps, Maps]]
BATCH = 16
SCORED = 200  # test images with a lesion mask whose maps are scored, at most
RANDOMIZED = 3  # networks with fresh random weights (Adebayo et al. 2018): a single one can have empty maps for a class
SCORES = ["energy_inside", "area_share", "gaussian", "randomized"]
RULE = (
    "Of each true class, the right and the wrong test images are ranked by the probability of the predicted class. "
    "The ranking is cut into as many equal slices as images are shown, and the middle of each slice is shown: "
    "neither the best nor the worst."
)


class Store(NamedTuple):
    """A packed store's images (N, H, W, C) uint8 and lesion masks (N, H, W) uint8, or None."""

    images: Images
    masks: Images | None


def make(study: Study, arm: str, *, device: str = "auto", threads: int = 2, jobs_per_gpu: int = 1) -> None:
    """Write `<arm>/gradcam/` for the arm's first run.

    `sheet.png` and `images/<item>.png` show the chosen images under the maps of the predicted class and of the true
    class (of the runner-up where the prediction is right); `chosen.csv` lists them and `maps.npy` (n, 2, H, W) float32
    holds their raw maps. `scores.csv` has a row for each scored test image with a lesion mask (none if the store has no
    masks): the energy of its predicted class's map inside the lesion, beside the references of `faithfulness`.
    `summary.json` holds their means with 95 % intervals.

    Args:
        study: The resolved study.
        arm: Its arm.
        device: `auto`, `cpu` or `cuda`.
        threads: Torch's threads on a CPU.
        jobs_per_gpu: How many jobs may share a GPU.

    Raises:
        RescanError: An input is missing, or there is no test image.
    """
    paths = Paths(study.scale, study.name)
    fold, seed = study.runs()[0]
    run, folder = Path(paths.run(arm, fold, seed)), Path(paths.arm(arm), "gradcam")
    rows = _test_rows(study, run / "predictions.csv", read_json(f"{paths.arm(arm)}/posttraining.json")["temperature"])
    store = _open(Path(paths.store(study.arms[arm].preparation)))
    with held(device, jobs_per_gpu) as where:
        torch.set_num_threads(threads)
        network, header = load(run / "model.safetensors")
        explain = partial(compute_maps, network.to(where), header["recipe"]["normalization"])
        chosen = _show(folder, study, rows, store, explain)
        scores = _score(rows, store, network, header)
        grid = cells(network, torch.zeros(1, *header["input"], device=where))
    write_table(folder / "scores.csv", scores)
    complete = scores.dropna(subset=SCORES)
    units = complete["patient"].where(complete["patient"] != "", complete["group"]).to_numpy(str)
    means = (
        {name: faithfulness.mean_interval(complete[name].to_numpy(), units) for name in SCORES} if len(complete) else {}
    )
    summary = {
        "run": {"fold": fold, "seed": seed},
        "scored": "the map of the predicted class",
        "cells": grid,
        "n": len(complete),
        "empty": len(scores) - len(complete),
        "energies": {name: dict(zip(("value", "low", "high"), values)) for name, values in means.items()},
        "rule": RULE,
        "chosen": chosen.to_dict("records"),
    }
    write_json(folder / "summary.json", summary)
    said = "; ".join(f"{name} {value:.2f}" for name, (value, _, _) in means.items()) or "no lesion masks to score"
    logger.info("%s: %d images shown; %s", folder, len(chosen), said)


def draw_predictions(
    network: Network,
    images: Images,
    names: Sequence[str],
    probabilities: NDArray[np.floating],
    classes: Sequence[str],
    normalization: str,
    folder: Path,
) -> None:
    """Draw new images under the maps of their two most probable classes: `<folder>/<name>.png`.

    Args:
        network: In eval mode, on the device to use.
        images: (N, H, W, C) uint8, prepared.
        names: (N,) of the pictures.
        probabilities: (N, K) in [0, 1].
        classes: (K,) names.
        normalization: A name of names.NORMALIZATIONS.
        folder: Made if needed.
    """
    shown = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    _, scaled = compute_maps(network, normalization, images, shown)
    for number, name in enumerate(names):
        panels = _panels(("prediction", "runner-up"), shown[number], classes, probabilities[number], scaled[number])
        draw(folder / f"{name}.png", [("", [Tile("prepared image", images[number], panels)])])


def compute_maps(
    network: Network, normalization: str, images: Images, targets: NDArray[np.integer]
) -> tuple[Maps, Maps]:
    """Compute several classes' maps of each image, in batches.

    Args:
        network: In eval mode, on the device to use.
        normalization: A name of names.NORMALIZATIONS.
        images: (N, H, W, C) uint8, prepared.
        targets: (N, M) class indices.

    Returns:
        Raw and scaled maps, each (N, M, H, W) float32 (see `gradcam`).
    """
    device = next(network.parameters()).device
    maps = np.empty((2, *targets.shape, *images.shape[1:3]), np.float32)
    starts = range(0, len(images), BATCH)
    for start in progress(starts, len(starts), "Grad-CAM (batches)"):
        here = slice(start, start + BATCH)
        batch = torch.from_numpy(np.array(np.moveaxis(images[here], -1, 1), order="C")).to(device)
        fed = normalize(batch, normalization)
        for place in range(targets.shape[1]):
            found = gradcam(network, fed, torch.from_numpy(targets[here, place].astype(np.int64)).to(device))
            maps[:, here, place] = torch.stack(found).cpu().numpy()
    return maps[0], maps[1]


def choose(
    target: NDArray[np.integer], predicted: NDArray[np.integer], confidence: NDArray[np.floating], n: int
) -> list[int]:
    """Choose up to `n` right and `n` wrong images of each true class, by RULE.

    Args:
        target: (N,) true classes.
        predicted: (N,) predicted classes.
        confidence: (N,) probability of the predicted class; ties go by position.
        n: Images of each kind.

    Returns:
        Positions, by class, right ones first, most confident first.
    """
    chosen: list[int] = []
    for label in np.unique(target):
        for right in (True, False):
            found = np.flatnonzero((target == label) & ((predicted == target) == right))
            ranked = found[np.argsort(-confidence[found], kind="stable")]
            shown = min(n, len(ranked))
            chosen += [int(ranked[int((place + 0.5) * len(ranked) / shown)]) for place in range(shown)]
    return chosen


def _test_rows(study: Study, path: Path, temperature: float) -> pd.DataFrame:
    """Read the test predictions: item, sample, group, patient, target, predicted, other and a probability a class."""
    table = read_table(path)
    table = table[table["part"] == "test"].sort_values("item", ignore_index=True)
    if table.empty:
        raise RescanError(f"{path}: no test images to explain; check the split")
    heads = [f"classification_{k}" for k in range(len(study.data.classes))]
    probabilities = softmax(table[heads].to_numpy(float) / temperature, axis=1)
    ranking = np.argsort(-probabilities, axis=1, kind="stable")
    rows = (
        table[["item", "sample", "group", "patient", "target"]].fillna({"patient": ""}).assign(predicted=ranking[:, 0])
    )
    rows["other"] = np.where(rows["predicted"] == rows["target"], ranking[:, 1], rows["target"])
    return rows.join(pd.DataFrame(probabilities, columns=[f"probability_{k}" for k in range(len(heads))]))


def _open(folder: Path) -> Store:
    """Open a packed store without reading it."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise RescanError(f"{folder}/images.npy: no such file; run preprocess first") from None
    masks = folder / "masks.npy"
    return Store(images, np.load(masks, mmap_mode="r", allow_pickle=False) if masks.exists() else None)


def _show(folder: Path, study: Study, rows: pd.DataFrame, store: Store, explain: Explain) -> pd.DataFrame:
    """Choose images, write their pictures and raw maps; return the table of them."""
    classes = study.data.classes
    probabilities = rows.filter(like="probability_").to_numpy()
    item, target, predicted, other = (rows[name].to_numpy(np.intp) for name in ("item", "target", "predicted", "other"))
    positions = choose(target, predicted, probabilities.max(1), study.gradcam.images_a_class)
    images = store.images[item[positions]]
    raw, scaled = explain(images, np.stack([predicted, other], axis=1)[positions])
    bands: dict[tuple[int, bool], list[Tile]] = {(k, right): [] for k in np.unique(target) for right in (True, False)}
    chosen: list[dict[str, Any]] = []
    for old in (folder / "images").glob("*.png"):
        old.unlink()
    for number, place in enumerate(positions):
        true, first, second = target[place], predicted[place], other[place]
        roles = ("prediction", "runner-up" if first == true else "true class")
        panels = _panels(roles, (first, second), classes, probabilities[place], scaled[number])
        mask = None if store.masks is None or not store.masks[item[place]].any() else store.masks[item[place]]
        tile = Tile(f"prepared image\n{_short(classes[true])}", images[number], panels, mask)
        bands[true, first == true].append(tile)
        picture = f"images/{item[place]:06d}.png"
        draw(folder / picture, [("", [tile])])
        names = {"true": classes[true], "predicted": classes[first], "other": classes[second]}
        probability = round(float(probabilities[place, first]), 4)
        chosen.append({"picture": picture, "sample": rows.loc[place, "sample"], **names, "probability": probability})
    draw(folder / "sheet.png", [(_heading(classes[k], right, tiles), tiles) for (k, right), tiles in bands.items()])
    with writing(folder / "maps.npy") as temporary:
        np.save(temporary, raw, allow_pickle=False)
    table = pd.DataFrame(chosen)
    write_table(folder / "chosen.csv", table)
    return table


def _heading(name: str, right: bool, tiles: list[Tile]) -> str:
    how = "right" if right else "wrong"
    return f"{name}, classified {how}" if tiles else f"{name}: no test image is classified {how}"


def _panels(
    roles: Sequence[str],
    shown: Sequence[int] | NDArray[np.integer],
    classes: Sequence[str],
    probabilities: NDArray[np.floating],
    scaled: Maps,
) -> list[tuple[str, Maps]]:
    """Title the maps of one image: role, class and probability, and whether a map is zero everywhere."""
    empty = ["" if one.any() else " (empty map)" for one in scaled]
    named = [f"{_short(classes[k])} {100 * probabilities[k]:.0f} %" for k in shown]
    return [(f"{role}{note}\n{name}", one) for role, note, name, one in zip(roles, empty, named, scaled)]


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"


def _score(rows: pd.DataFrame, store: Store, network: Network, header: dict[str, Any]) -> pd.DataFrame:
    """Score the predicted class's map of test images with a lesion mask, evenly spaced over the items."""
    columns = ["sample", "group", "patient", "target", "predicted"]
    lesions = (
        [] if store.masks is None else [place for place, item in enumerate(rows["item"]) if store.masks[item].any()]
    )
    if store.masks is None or not lesions:
        return pd.DataFrame(columns=[*columns, *SCORES])
    places = np.linspace(0, len(lesions) - 1, min(SCORED, len(lesions))).round().astype(int)
    scored = rows.iloc[np.asarray(lesions)[places]].reset_index(drop=True)
    items = scored["item"].to_numpy()
    images, masks, targets = store.images[items], store.masks[items], scored[["predicted"]].to_numpy()
    recipe = Recipe.model_validate(header["recipe"])

    def energies(network: Network) -> NDArray[np.float64]:
        return faithfulness.energy_inside(compute_maps(network, recipe.normalization, images, targets)[0][:, 0], masks)

    device = next(network.parameters()).device
    randomized = []
    for seed in range(RANDOMIZED):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = build(recipe, len(header["classes"]), tuple(header["input"]))
        randomized.append(energies(fresh.eval().to(device)))
    values = np.ma.masked_invalid(randomized).mean(0).filled(np.nan)
    gaussian = faithfulness.energy_inside(faithfulness.centered_gaussian(masks.shape[1:]), masks)
    found = (energies(network), faithfulness.area_share(masks), gaussian, values)
    return scored[columns].assign(**dict(zip(SCORES, found)))
