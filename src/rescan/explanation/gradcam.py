"""Grad-CAM of an arm: maps of right and wrong test items, and how much of the maps lies inside known lesions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rescan.data.index import Files
from rescan.explanation import five_panels, volume_maps
from rescan.explanation.cam import cells
from rescan.explanation.drawing import Tile, draw, short
from rescan.explanation.five_panels import panels
from rescan.explanation.map_scores import means, score
from rescan.explanation.maps import (
    DIRECTIONS,
    Explained,
    Images,
    Maps,
    compute_maps,
    gray_levels,
    head_of,
    target_name,
    targets_of,
)
from rescan.explanation.selection import (
    BY_DISTANCE,
    BY_PROBABILITY,
    OF_PATCHES,
    RULE,
    choose,
    described,
    one_a_sample,
    test_rows,
)
from rescan.files import write_json, write_table, writing
from rescan.heads.outputs import HEADS
from rescan.log import logger
from rescan.models.model_files import load
from rescan.models.networks import Network
from rescan.paths import GradcamFolder, Paths
from rescan.preparation.store import open_beside, open_store
from rescan.study import Study
from rescan.training.lease import Machine

SHOWN_OF_CLASSES = "the predicted class and of the true class (of the runner-up where the prediction is right)"
SHOWN_OF_GRADES = "evidence for a higher and for a lower grade"


def make(study: Study, arm: str, machine: Machine) -> None:
    """Write `<arm>/gradcam/` for the first of the models that the arm's predictions come from.

    `chosen.csv` lists the chosen test items, `sheet.png` and `images/<item>.png` show them. Images, under two maps
    each: of the predicted class and of the true class (of the runner-up where the prediction is right); or, of a head
    of grades, of the evidence for a higher and for a lower grade; `maps.npy` (n, 2, H, W) float32 holds the raw maps.
    Volumes, under the first of these maps, which also becomes NIfTI files and what a page can leaf through (see
    `volume_maps.show`). Of a sample's patches, one is shown at most.
    `scores.csv` has a row for each scored test item with a lesion mask (none if the store has no masks): the energy of
    the first map inside the lesion, beside the references of `faithfulness`. `summary.json` holds their means with
    95 % intervals.

    Args:
        study: The resolved study; its `gradcam.head` says which head's output is explained, where the network has it.
        arm: Its arm.
        machine: What the job may use.

    Raises:
        RescanError: An input is missing, or there is no test image.
    """
    paths, (_, owner, fold, seed) = Paths(study.scale, study.name), study.models(arm)[0]
    folder, store = paths.arm(arm).gradcam, paths.store(study.arms[owner].preparation)
    rows, (images, _) = test_rows(study, arm), open_store(store)
    masks = open_beside(store, "masks")
    candidates = rows.iloc[one_a_sample(rows)].reset_index(drop=True)
    target, predicted, confidence = (candidates[name].to_numpy() for name in ("target", "predicted", "confidence"))
    shown = candidates.iloc[choose(target, predicted, confidence, study.gradcam.images_a_class)].reset_index(drop=True)
    _remove_old(folder)
    with machine.lease() as where:
        network, header = load(Path(paths.run(owner, fold, seed).model))
        head = head_of(network.heads, study.gradcam.head)
        explained = Explained(network.to(where), header["recipe"]["normalization"], head)
        show = volume_maps.show if images.ndim == 5 else _show
        chosen = show(folder, study, owner, shown, images, masks, explained)
        scores = score(rows, images, masks, explained, header)
        grid = cells(network, torch.zeros(1, *header["input"], device=where))
    write_table(folder.chosen, pd.DataFrame(chosen))
    write_table(folder.scores, scores)
    energies, complete = means(scores)
    patches = len(rows) // len(candidates)
    kind, maps = "images", {True: SHOWN_OF_CLASSES, False: SHOWN_OF_GRADES}
    if images.ndim == 5:
        kind, maps = "volumes", volume_maps.SHOWN
    summary = {
        "run": {"arm": owner, "fold": fold, "seed": seed},
        "head": head,
        "kind": kind,
        "shown": maps[HEADS[head].of_classes],
        "scored": "the map of " + ("the predicted class" if HEADS[head].of_classes else "evidence for a higher grade"),
        "cells": grid,
        "n": complete,
        "empty": len(scores) - complete,
        "energies": energies,
        "rule": RULE.format(kind=kind, by=BY_PROBABILITY if "probability_0" in rows else BY_DISTANCE)
        + (OF_PATCHES.format(patches) if patches > 1 else ""),
        "chosen": chosen,
    }
    write_json(folder.summary, summary)
    said = "; ".join(f"{name} {entry['value']:.2f}" for name, entry in energies.items()) or "no lesion masks to score"
    logger.info("%s: %d %s shown; %s", folder, len(chosen), kind, said)


def _remove_old(folder: GradcamFolder) -> None:
    shown = [*Path(folder.images).glob("*.png"), *Path(folder.volumes).glob("*")]
    for old in [*shown, Path(folder.maps), Path(folder.browser)]:
        old.unlink(missing_ok=True)


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
    affines: NDArray[np.float64] | None = None,
    sources: Sequence[Files] | None = None,
) -> None:
    """Draw new images under two maps each, or new volumes in five panels under one: `<folder>/<name>.png`.

    Of the classification head, the maps are of the predicted class and of the most probable other one; of a head of
    grades, of the evidence for a higher and for a lower grade. A volume's map, the first of these, is also written on
    its source's grid: `<folder>/<name>_map.nii.gz`.

    Args:
        network: In eval mode, on the device to use.
        images: (N, *spatial, C) uint8 or uint16, prepared.
        names: (N,) of the pictures.
        probabilities: (N, K) in [0, 1]; None where the reading gives none: then the head is one of grades.
        classes: (K,) names.
        normalization: A name of catalogue.NORMALIZATIONS.
        folder: Made if needed.
        predicted: (N,) class indices; the most probable classes if not given.
        head: The head to explain, if the network has it (see `head_of`).
        affines: (N, 4, 4) of the volumes' indices to world millimeters.
        sources: (N,) the files of the volumes; needed, with their affines, for NIfTI files.
    """
    if probabilities is None:
        head = head_of([name for name in network.heads if not HEADS[name].of_classes], head)
        probabilities = np.empty((len(images), 0))
    head = head_of(network.heads, head)
    predicted = probabilities.argmax(1) if predicted is None else predicted
    order = np.argsort(-probabilities, axis=1, kind="stable")
    other = np.where(order[:, 0] == predicted, order[:, 1], order[:, 0]) if order.size else np.full(len(images), -1)
    targets, explained = targets_of(head, predicted, other), Explained(network, normalization, head)
    if images.ndim == 5:
        said = [target_name(head, first, classes, shares) for (first, _), shares in zip(targets, probabilities)]
        headings = [f"{name}: read as {classes[k]}" for name, k in zip(names, predicted)]
        for place, _, scaled in volume_maps.each(explained, images, range(len(images)), targets):
            affine = np.eye(4) if affines is None else affines[place]
            row = panels(gray_levels(images[place][..., 0]), scaled, affine, said[place])
            five_panels.draw(folder / f"{names[place]}.png", [(headings[place], row)])
            if affines is not None and sources is not None:
                grid = volume_maps.grid_of(sources[place])
                volume_maps.write(folder / f"{names[place]}_map.nii.gz", scaled, affine, grid)
        return
    _, scaled = compute_maps(explained, images, targets)
    for number, name in enumerate(names):
        roles = ("prediction", "runner-up")
        maps = _titled(head, roles, targets[number], classes, probabilities[number], scaled[number])
        read = "" if HEADS[head].of_classes else f"\nread: {short(classes[predicted[number]])}"
        tile = Tile(f"prepared image{read}", gray_levels(images[number]), maps)
        draw(folder / f"{name}.png", [("", [tile])])


def _show(
    folder: GradcamFolder,
    study: Study,
    _: str,
    rows: pd.DataFrame,
    images: Images,
    masks: Images | None,
    explained: Explained,
) -> list[dict[str, Any]]:
    """Write the pictures and raw maps of the chosen images; return what is said of each."""
    classes, head = study.data.classes, explained.head
    probabilities = rows.filter(like="probability_").to_numpy()
    item, target, predicted, other = (rows[name].to_numpy(np.intp) for name in ("item", "target", "predicted", "other"))
    shown, targets = images[item], targets_of(head, predicted, other)
    raw, scaled = compute_maps(explained, shown, targets)
    bands: dict[tuple[int, bool], list[Tile]] = {(k, right): [] for k in np.unique(target) for right in (True, False)}
    chosen = described(rows, classes, head)
    for place, entry in enumerate(chosen):
        right = predicted[place] == target[place]
        roles = ("prediction", "runner-up" if right else "true class")
        maps = _titled(head, roles, targets[place], classes, probabilities[place], scaled[place])
        title = f"prepared image\n{short(entry['true'])}"
        if not HEADS[head].of_classes:
            title = f"true: {short(entry['true'])}\nread: {short(entry['predicted'])}"
        mask = None if masks is None or not masks[item[place]].any() else masks[item[place]]
        tile = Tile(title, gray_levels(shown[place]), maps, mask)
        bands[target[place], right].append(tile)
        draw(f"{folder}/{entry['picture']}", [("", [tile])])
    draw(folder.sheet, [(_heading(classes[k], right, tiles), tiles) for (k, right), tiles in bands.items()])
    with writing(folder.maps) as temporary:
        np.save(temporary, raw, allow_pickle=False)
    return chosen


def _heading(name: str, right: bool, tiles: list[Tile]) -> str:
    how = "right" if right else "wrong"
    return f"{name}, classified {how}" if tiles else f"{name}: no test image is classified {how}"


def _titled(
    head: str,
    roles: Sequence[str],
    targets: NDArray[np.integer],
    classes: Sequence[str],
    probabilities: NDArray[np.floating],
    scaled: Maps,
) -> list[tuple[str, Maps]]:
    """Title the maps of one image: what each is evidence for, and whether it is zero everywhere."""
    empty = ["" if one.any() else " (empty map)" for one in scaled]
    if not HEADS[head].of_classes:
        return [(f"evidence for a\n{DIRECTIONS[k]}{note}", one) for k, note, one in zip(targets, empty, scaled)]
    shares = [f" {100 * probabilities[k]:.0f} %" if probabilities.size else "" for k in targets]
    named = [f"{short(classes[k])}{share}" for k, share in zip(targets, shares)]
    return [(f"{role}{note}\n{name}", one) for role, note, name, one in zip(roles, empty, named, scaled)]
