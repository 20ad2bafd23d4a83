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
from rescan.explanation.five_panels import panels
from rescan.explanation.image_maps import with_titles
from rescan.explanation.maps import Explained, Images, compute_maps, gray_levels, head_of, target_name, targets_of
from rescan.heads.outputs import HEADS
from rescan.models.networks import Network


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

    Of the classification head, the maps are of the predicted class and of the most probable other one; of several
    labels, of the two most probable; of a head of grades, of the evidence for a higher and for a lower grade. A
    volume's map, the first of these, is also written on its source's grid: `<folder>/<name>_map.nii.gz`.

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
    several = catalogue.HEADS[head].of_several
    predicted = probabilities.argmax(1) if predicted is None else predicted
    order = np.argsort(-probabilities, axis=1, kind="stable")
    other = np.where(order[:, 0] == predicted, order[:, 1], order[:, 0]) if order.size else np.full(len(images), -1)
    targets, explained = targets_of(head, predicted, other), Explained(network, normalization, head)
    if images.ndim == 5:
        for place, _, scaled in volume_maps.each(explained, images, range(len(images)), targets):
            affine = np.eye(4) if affines is None else affines[place]
            target = target_name(head, targets[place, 0], classes, probabilities[place])
            figure = panels(gray_levels(images[place][..., 0]), scaled, affine, target)
            heading = f"{names[place]}: {'most probable:' if several else 'read as'} {classes[predicted[place]]}"
            five_panels.draw(folder / f"{names[place]}.png", [(heading, figure)])
            if affines is not None and sources is not None:
                grid = volume_maps.grid_of(sources[place])
                volume_maps.write(folder / f"{names[place]}_map.nii.gz", scaled, affine, grid)
        return
    _, scaled = compute_maps(explained, images, targets)
    for number, name in enumerate(names):
        roles = ("most probable", "next") if several else ("prediction", "runner-up")
        maps = with_titles(head, roles, targets[number], classes, probabilities[number], scaled[number])
        reading = "" if HEADS[head].of_classes else f"\nread: {short(classes[predicted[number]])}"
        tile = Tile(f"prepared image{reading}", gray_levels(images[number]), maps)
        draw(folder / f"{name}.png", [("", [tile])])
