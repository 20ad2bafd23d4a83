"""Maps of new images and volumes, which no study has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rescan import catalogue
from rescan.data.index import Files
from rescan.explanation import five_panels, volume_maps
from rescan.explanation.drawing import Tile, draw, short
from rescan.explanation.five_panels import Panel, panels
from rescan.explanation.image_maps import with_titles
from rescan.explanation.maps import (
    Explained,
    Images,
    Maps,
    gray_levels,
    head_of,
    in_batches,
    target_name,
    targets_of,
)
from rescan.heads.multilabel_head import present
from rescan.heads.outputs import HEADS


def draw_predictions(
    explained: Explained,
    images: Images,
    names: Sequence[str],
    predicted: NDArray[np.integer],
    probabilities: NDArray[np.floating] | None,
    classes: Sequence[str],
    folder: Path,
    *,
    affines: NDArray[np.float64] | None = None,
    sources: Sequence[Files] | None = None,
) -> None:
    """Draw new images under two maps each, or new volumes in five panels under one: `<folder>/<name>.png`.

    Of the classification head, the maps are of the predicted class and of the most probable other one; of a head of
    grades, of the evidence for a higher and for a lower grade; of several labels, of each that is found, and of the
    most probable ones if these are fewer than two. A volume has the first of these, or, of several labels, those that
    are found, or the most probable one; they are also written on its source's grid: `<folder>/<name>_map.nii.gz`, or
    `<name>_map_<label's number from 0>.nii.gz`.

    Args:
        explained: The network and its head; where there are no probabilities, a head of grades takes its place.
        images: (N, *spatial, C) uint8 or uint16, prepared.
        names: (N,) of the pictures.
        predicted: (N,) class indices; of several labels, targets (see `Outcome.target`).
        probabilities: (N, K) in [0, 1]; None where the reading gives none.
        classes: (K,) names.
        folder: Made if needed.
        affines: (N, 4, 4) of the volumes' indices to world millimeters.
        sources: (N,) the files of the volumes; needed, with their affines, for NIfTI files.
    """
    if probabilities is None:
        of_grades = [name for name in explained.network.heads if not HEADS[name].of_classes]
        explained = explained._replace(head=head_of(of_grades, explained.head))
        probabilities = np.empty((len(images), 0))
    head, note = explained.head, explained.note(images.shape[1:-1])
    least = 1 if images.ndim == 5 else 2
    targets, found = _targets(head, predicted, probabilities, least)
    counts = np.maximum(found, least)
    of_several = catalogue.HEADS[head].of_several
    for here, _, scaled in in_batches(explained, images, range(len(images)), targets):
        for place, of_sample in zip(range(here.start, here.start + len(scaled)), scaled):
            own, maps, file = (
                targets[place, : counts[place]],
                of_sample[: counts[place]],
                folder / f"{names[place]}.png",
            )
            roles = ["found"] * found[place] + ["not found, likeliest"] * (counts[place] - found[place])
            if images.ndim == 4:
                roles = roles if of_several else ["prediction", "runner-up"]
                titled = with_titles(head, roles, own, classes, probabilities[place], maps)
                reading = "" if HEADS[head].of_classes else f"\nread: {short(classes[predicted[place]])}"
                draw(file, [("", [Tile(f"prepared image{reading}", gray_levels(images[place]), titled)])], note)
                continue
            if not of_several:
                roles = [f"read as {classes[predicted[place]]}"]
            affine = np.eye(4) if affines is None else affines[place]
            labels = [target_name(head, target, classes, probabilities[place]) for target in own]
            rows = _rows(names[place], roles, labels, gray_levels(images[place][..., 0]), maps, affine)
            five_panels.draw(file, rows, note)
            if affines is not None and sources is not None:
                grid = volume_maps.grid_of(sources[place])
                for target, scaled_map in zip(own, maps):
                    ending = f"_map_{target}" if of_several else "_map"
                    volume_maps.write(folder / f"{names[place]}{ending}.nii.gz", scaled_map, affine, grid)


def _rows(
    name: str, roles: Sequence[str], labels: Sequence[str], volume: Images, maps: Maps, affine: NDArray[np.float64]
) -> list[tuple[str, list[Panel]]]:
    """A volume's rows of panels, one for each of its maps."""
    return [
        (f"{name}: {role}", panels(volume, scaled, affine, label)) for role, label, scaled in zip(roles, labels, maps)
    ]


def _targets(
    head: str, predicted: NDArray[np.integer], probabilities: NDArray[np.floating], least: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """The targets of each image, (N, M); and how many of the first are labels that are found, (N,), of several labels.

    Args:
        head: The head.
        predicted: (N,) as for `draw_predictions`.
        probabilities: (N, K), or (N, 0).
        least: How many targets an image has at least, where there are so many labels.
    """
    if catalogue.HEADS[head].of_several:
        found = present(predicted, probabilities.shape[1])
        order = np.argsort(-(found + probabilities), axis=1, kind="stable")  # those that are found come first
        return order[:, : max(least, int(found.sum(1).max()))], found.sum(1)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    other = np.where(order[:, 0] == predicted, order[:, 1], order[:, 0]) if order.size else np.full(len(predicted), -1)
    targets = targets_of(head, predicted, other)
    return targets[:, :least], np.zeros(len(predicted), np.intp)
