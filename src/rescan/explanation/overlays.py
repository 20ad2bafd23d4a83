"""Grad-CAM of an arm: maps of right and wrong test images, and how much of the maps lies inside known lesions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rescan.explanation import faithfulness
from rescan.explanation.drawing import Tile, draw
from rescan.explanation.gradcam import cells, gradcam
from rescan.explanation.selection import BY_DISTANCE, BY_PROBABILITY, RULE, choose, test_rows
from rescan.files import write_json, write_table, writing
from rescan.log import logger, progress
from rescan.models.network import Network, build, load, normalize
from rescan.paths import Paths
from rescan.preparation.build import open_store
from rescan.study import Recipe, Study
from rescan.training.lease import held

Images = NDArray[np.uint8]
Maps = NDArray[np.float32]
Explain = Callable[[Images, NDArray[np.integer]], tuple[Maps, Maps]]
BATCH = 16
SCORED = 200  # test images with a lesion mask whose maps are scored, at most
RANDOMIZED = 3  # networks with fresh random weights (Adebayo et al. 2018): a single one can have empty maps for a class
SCORES = ["energy_inside", "area_share", "gaussian", "randomized"]
DIRECTIONS = {1: "higher grade", -1: "lower grade"}  # the two targets of a head of grades
OF_CLASSES = "the predicted class and of the true class (of the runner-up where the prediction is right)"
OF_GRADES = "evidence for a higher and for a lower grade"


def make(study: Study, arm: str, *, device: str = "auto", threads: int = 2, jobs_per_gpu: int = 1) -> None:
    """Write `<arm>/gradcam/` for the first of the models that the arm's predictions come from.

    `sheet.png` and `images/<item>.png` show the chosen images under two maps each: of the predicted class and of the
    true class (of the runner-up where the prediction is right); or, of a head of grades, of the evidence for a higher
    and for a lower grade. `chosen.csv` lists them and `maps.npy` (n, 2, H, W) float32 holds their raw maps.
    `scores.csv` has a row for each scored test image with a lesion mask (none if the store has no masks): the energy of
    the first map inside the lesion, beside the references of `faithfulness`. `summary.json` holds their means with
    95 % intervals.

    Args:
        study: The resolved study; its `gradcam.head` says which head's output is explained, where the network has it.
        arm: Its arm.
        device: `auto`, `cpu` or `cuda`.
        threads: Torch's threads on a CPU.
        jobs_per_gpu: How many jobs may share a GPU.

    Raises:
        RescanError: An input is missing, or there is no test image.
    """
    paths, (_, owner, fold, seed) = Paths(study.scale, study.name), study.models(arm)[0]
    folder, store = Path(paths.arm(arm), "gradcam"), Path(paths.store(study.arms[owner].preparation))
    rows, (images, _) = test_rows(study, arm), open_store(store)
    masks = np.load(store / "masks.npy", mmap_mode="r") if (store / "masks.npy").exists() else None
    with held(device, jobs_per_gpu) as where:
        torch.set_num_threads(threads)
        network, header = load(Path(paths.run(owner, fold, seed), "model.safetensors"))
        head = head_of(network.heads, study.gradcam.head)
        explain = partial(compute_maps, network.to(where), header["recipe"]["normalization"], head=head)
        chosen = _show(folder, study, rows, images, masks, head, explain)
        scores = _score(rows, images, masks, network, header, head)
        grid = cells(network, torch.zeros(1, *header["input"], device=where))
    write_table(folder / "scores.csv", scores)
    complete = scores.dropna(subset=SCORES)
    units = complete["patient"].where(complete["patient"] != "", complete["group"]).to_numpy(str)
    means = (
        {name: faithfulness.mean_interval(complete[name].to_numpy(), units) for name in SCORES} if len(complete) else {}
    )
    summary = {
        "run": {"arm": owner, "fold": fold, "seed": seed},
        "head": head,
        "shown": OF_CLASSES if head == "classification" else OF_GRADES,
        "scored": "the map of "
        + ("the predicted class" if head == "classification" else "evidence for a higher grade"),
        "cells": grid,
        "n": len(complete),
        "empty": len(scores) - len(complete),
        "energies": {name: dict(zip(("value", "low", "high"), values)) for name, values in means.items()},
        "rule": RULE.format(BY_PROBABILITY if "probability_0" in rows else BY_DISTANCE),
        "chosen": chosen,
    }
    write_json(folder / "summary.json", summary)
    said = "; ".join(f"{name} {value:.2f}" for name, (value, _, _) in means.items()) or "no lesion masks to score"
    logger.info("%s: %d images shown; %s", folder, len(chosen), said)


def head_of(heads: Iterable[str], wanted: str | None = None) -> str:
    """The head to explain: the wanted one if the network has it, else the classification, else the first."""
    heads = list(heads)
    return next(head for head in (wanted, "classification", heads[0]) if head in heads)


def draw_predictions(
    network: Network,
    images: Images,
    names: Sequence[str],
    probabilities: NDArray[np.floating] | None,
    classes: Sequence[str],
    normalization: str,
    folder: Path,
    *,
    predicted: NDArray[np.integer] | None = None,
    head: str | None = None,
) -> None:
    """Draw new images under two maps each: `<folder>/<name>.png`.

    Of the classification head, the maps are of the predicted class and of the most probable other one; of a head of
    grades, of the evidence for a higher and for a lower grade.

    Args:
        network: In eval mode, on the device to use.
        images: (N, H, W, C) uint8, prepared.
        names: (N,) of the pictures.
        probabilities: (N, K) in [0, 1]; None where the reading gives none: then the head is one of grades.
        classes: (K,) names.
        normalization: A name of names.NORMALIZATIONS.
        folder: Made if needed.
        predicted: (N,) class indices; the most probable classes if not given.
        head: The head to explain, if the network has it (see `head_of`).
    """
    if probabilities is None:
        head = head_of([name for name in network.heads if name != "classification"], head)
        probabilities = np.empty((len(images), 0))
    head = head_of(network.heads, head)
    predicted = probabilities.argmax(1) if predicted is None else predicted
    order = np.argsort(-probabilities, axis=1, kind="stable")
    other = np.where(order[:, 0] == predicted, order[:, 1], order[:, 0]) if order.size else np.full(len(images), -1)
    targets = _targets(head, predicted, other)
    _, scaled = compute_maps(network, normalization, images, targets, head)
    for number, name in enumerate(names):
        panels = _panels(
            head, ("prediction", "runner-up"), targets[number], classes, probabilities[number], scaled[number]
        )
        read = "" if head == "classification" else f"\nread: {_short(classes[predicted[number]])}"
        draw(folder / f"{name}.png", [("", [Tile(f"prepared image{read}", images[number], panels)])])


def compute_maps(
    network: Network,
    normalization: str,
    images: Images,
    targets: NDArray[np.integer],
    head: str = "classification",
) -> tuple[Maps, Maps]:
    """Compute several targets' maps of each image, in batches.

    Args:
        network: In eval mode, on the device to use.
        normalization: A name of names.NORMALIZATIONS.
        images: (N, H, W, C) uint8, prepared.
        targets: (N, M) class indices, or 1 and −1 for a head of grades (see `gradcam`).
        head: Whose output is explained.

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
            found = gradcam(network, fed, torch.from_numpy(targets[here, place].astype(np.int64)).to(device), head)
            maps[:, here, place] = torch.stack(found).cpu().numpy()
    return maps[0], maps[1]


def _targets(head: str, predicted: NDArray[np.integer], other: NDArray[np.integer]) -> NDArray[np.integer]:
    """The two targets of each image, (N, 2), for `gradcam`."""
    if head == "classification":
        return np.stack([predicted, other], axis=1)
    return np.tile(list(DIRECTIONS), (len(predicted), 1))


def _show(
    folder: Path,
    study: Study,
    rows: pd.DataFrame,
    images: Images,
    masks: Images | None,
    head: str,
    explain: Explain,
) -> list[dict[str, Any]]:
    """Choose images, write their pictures, raw maps and the table of them; return its rows."""
    classes = study.data.classes
    probabilities = rows.filter(like="probability_").to_numpy()
    item, target, predicted, other = (rows[name].to_numpy(np.intp) for name in ("item", "target", "predicted", "other"))
    positions = choose(target, predicted, rows["confidence"].to_numpy(), study.gradcam.images_a_class)
    shown, targets = images[item[positions]], _targets(head, predicted, other)
    raw, scaled = explain(shown, targets[positions])
    bands: dict[tuple[int, bool], list[Tile]] = {(k, right): [] for k in np.unique(target) for right in (True, False)}
    chosen: list[dict[str, Any]] = []
    for old in (folder / "images").glob("*.png"):
        old.unlink()
    for number, place in enumerate(positions):
        true, first = classes[target[place]], classes[predicted[place]]
        right = predicted[place] == target[place]
        roles = ("prediction", "runner-up" if right else "true class")
        panels = _panels(head, roles, targets[place], classes, probabilities[place], scaled[number])
        title = f"prepared image\n{_short(true)}"
        if head != "classification":
            title = f"true: {_short(true)}\nread: {_short(first)}"
        mask = None if masks is None or not masks[item[place]].any() else masks[item[place]]
        tile = Tile(title, shown[number], panels, mask)
        bands[target[place], right].append(tile)
        picture = f"images/{item[place]:06d}.png"
        draw(folder / picture, [("", [tile])])
        second = classes[other[place]] if head == "classification" else ""
        probability = round(float(rows["confidence"][place]), 4) if probabilities.size else None
        entry = {"picture": picture, "sample": rows["sample"][place], "true": true, "predicted": first, "other": second}
        chosen.append({**entry, "probability": probability})
    draw(folder / "sheet.png", [(_heading(classes[k], right, tiles), tiles) for (k, right), tiles in bands.items()])
    with writing(folder / "maps.npy") as temporary:
        np.save(temporary, raw, allow_pickle=False)
    write_table(folder / "chosen.csv", pd.DataFrame(chosen))
    return chosen


def _heading(name: str, right: bool, tiles: list[Tile]) -> str:
    how = "right" if right else "wrong"
    return f"{name}, classified {how}" if tiles else f"{name}: no test image is classified {how}"


def _panels(
    head: str,
    roles: Sequence[str],
    targets: NDArray[np.integer],
    classes: Sequence[str],
    probabilities: NDArray[np.floating],
    scaled: Maps,
) -> list[tuple[str, Maps]]:
    """Title the maps of one image: what each is evidence for, and whether it is zero everywhere."""
    empty = ["" if one.any() else " (empty map)" for one in scaled]
    if head != "classification":
        return [(f"evidence for a\n{DIRECTIONS[k]}{note}", one) for k, note, one in zip(targets, empty, scaled)]
    shares = [f" {100 * probabilities[k]:.0f} %" if probabilities.size else "" for k in targets]
    named = [f"{_short(classes[k])}{share}" for k, share in zip(targets, shares)]
    return [(f"{role}{note}\n{name}", one) for role, note, name, one in zip(roles, empty, named, scaled)]


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"


def _score(
    rows: pd.DataFrame, images: Images, masks: Images | None, network: Network, header: dict[str, Any], head: str
) -> pd.DataFrame:
    """Score the first map of test images with a lesion mask, evenly spaced over the items."""
    columns = ["sample", "group", "patient", "target", "predicted"]
    lesions = [] if masks is None else [place for place, item in enumerate(rows["item"]) if masks[item].any()]
    if masks is None or not lesions:
        return pd.DataFrame(columns=[*columns, *SCORES])
    places = np.linspace(0, len(lesions) - 1, min(SCORED, len(lesions))).round().astype(int)
    scored = rows.iloc[np.asarray(lesions)[places]].reset_index(drop=True)
    items = scored["item"].to_numpy()
    shown, inside = images[items], masks[items]
    targets = _targets(head, scored["predicted"].to_numpy(), scored["other"].to_numpy())[:, :1]
    recipe = Recipe.model_validate(header["recipe"])

    def energies(network: Network) -> NDArray[np.float64]:
        maps, _ = compute_maps(network, recipe.normalization, shown, targets, head)
        return faithfulness.energy_inside(maps[:, 0], inside)

    device = next(network.parameters()).device
    randomized = []
    for seed in range(RANDOMIZED):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = build(recipe, len(header["classes"]), tuple(header["input"]))
        randomized.append(energies(fresh.eval().to(device)))
    values = np.ma.masked_invalid(randomized).mean(0).filled(np.nan)
    gaussian = faithfulness.energy_inside(faithfulness.centered_gaussian(inside.shape[1:]), inside)
    found = (energies(network), faithfulness.area_share(inside), gaussian, values)
    return scored[columns].assign(**dict(zip(SCORES, found)))
