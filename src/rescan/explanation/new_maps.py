"""Maps of new images and volumes, which no study has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rescan import catalogue
from rescan.data.index import Files
from rescan.explanation import five_panels, volume_maps
from rescan.explanation.drawing import Tile, draw, short
from rescan.explanation.five_panels import Panel, panels
from rescan.explanation.image_maps import with_titles
from rescan.explanation.maps import (
    DIRECTIONS,
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


class NewMaps(NamedTuple):
    """The maps of a new sample.

    Attributes:
        head: Whose output they explain.
        targets: (M,) what each is evidence for, as `gradcam` takes it.
        roles: (M,) why each is shown; "" of a head of grades.
        scaled: (M, *spatial) float32 in [0, 1].
        predicted: The class; of several labels, the target.
        probabilities: (K,) in [0, 1]; (0,) where the reading gives none.
        note: How they were made (see `Explained.note`).
    """

    head: str
    targets: NDArray[np.integer]
    roles: list[str]
    scaled: Maps
    predicted: int
    probabilities: NDArray[np.floating]
    note: str

    def labels(self, classes: Sequence[str]) -> list[str]:
        """What each map is evidence for, (M,), as short as a picture's titles are."""
        return [target_name(self.head, target, classes, self.probabilities) for target in self.targets]

    def evidence(self, classes: Sequence[str]) -> list[str]:
        """The same in full, without probabilities."""
        names: Mapping[int, str] = dict(enumerate(classes)) if HEADS[self.head].of_classes else DIRECTIONS
        return [names[int(target)] for target in self.targets]


def maps_of(
    explained: Explained,
    images: Images,
    predicted: NDArray[np.integer],
    probabilities: NDArray[np.floating] | None,
) -> Iterator[NewMaps]:
    """Compute the maps of new images, or volumes; no more than a batch is held in memory.

    Of the classification head, the maps are of the predicted class and of the most probable other one; of a head of
    grades, of the evidence for a higher and for a lower grade; of several labels, of each that is found, and of the
    most probable ones if these are fewer than two. A volume has the first of these, or, of several labels, those that
    are found, or the most probable one.

    Args:
        explained: The network and its head; where there are no probabilities, a head of grades takes its place.
        images: (N, *spatial, C) uint8 or uint16, prepared.
        predicted: (N,) class indices; of several labels, targets (see `Outcome.target`).
        probabilities: (N, K) in [0, 1]; None where the reading gives none.

    Yields:
        The maps of each, in their order.
    """
    if probabilities is None:
        explained, probabilities = of_grades(explained), np.empty((len(images), 0))
    head, note = explained.head, explained.note(images.shape[1:-1])
    least = 1 if images.ndim == 5 else 2
    targets, found = targets_of_new(head, predicted, probabilities, least)
    counts = np.maximum(found, least)
    for here, _, scaled in in_batches(explained, images, range(len(images)), targets):
        for place, of_sample in zip(range(here.start, here.start + len(scaled)), scaled):
            count, of_reading = int(counts[place]), (int(predicted[place]), probabilities[place])
            roles = _roles(head, count, int(found[place]))
            yield NewMaps(head, targets[place, :count], roles, of_sample[:count], *of_reading, note)


def _roles(head: str, count: int, found: int) -> list[str]:
    """Why each of the maps of a sample is shown."""
    if catalogue.HEADS[head].of_several:
        return ["found"] * found + ["not found, likeliest"] * (count - found)
    return ["prediction", "runner-up"][:count] if HEADS[head].of_classes else [""] * count


def draw_image(file: Path, image: Images, maps: NewMaps, classes: Sequence[str]) -> None:
    """Draw a new image, (H, W, C), beside itself under each of its maps."""
    draw(file, [("", [tile_of(image, maps, classes)])], maps.note)


def tile_of(image: Images, maps: NewMaps, classes: Sequence[str]) -> Tile:
    """What is drawn of a new image, (H, W, C)."""
    titled = with_titles(maps.head, maps.roles, maps.targets, classes, maps.probabilities, maps.scaled)
    reading = "" if HEADS[maps.head].of_classes else f"\nread: {short(classes[maps.predicted])}"
    return Tile(f"prepared image{reading}", gray_levels(image), titled)


def draw_volume(
    file: Path, volume: Images, affine: NDArray[np.float64] | None, maps: NewMaps, classes: Sequence[str]
) -> None:
    """Draw a new volume, (D, H, W, 1), in five panels under each of its maps.

    Args:
        file: The picture; the file's name without its ending stands above the panels.
        volume: The volume.
        affine: (4, 4) of its indices to world millimeters; None where they are unknown.
        maps: Its maps.
        classes: (K,) names.
    """
    five_panels.draw(file, rows_of(file.stem, volume, affine, maps, classes), maps.note)


def rows_of(
    name: str, volume: Images, affine: NDArray[np.float64] | None, maps: NewMaps, classes: Sequence[str]
) -> list[tuple[str, list[Panel]]]:
    """A volume's rows of panels, one for each of its maps, as `draw_volume` takes it."""
    of_several = catalogue.HEADS[maps.head].of_several
    roles = maps.roles if of_several else [f"read as {classes[maps.predicted]}"]
    place, levels = np.eye(4) if affine is None else affine, gray_levels(volume[..., 0])
    labels = maps.labels(classes)
    return [
        (f"{name}: {role}", panels(levels, scaled, place, label))
        for role, label, scaled in zip(roles, labels, maps.scaled)
    ]


def write_volume_maps(folder: Path, name: str, maps: NewMaps, affine: NDArray[np.float64], source: Files) -> None:
    """Write a volume's maps on its source's grid: `<name>_map.nii.gz`, of labels `<name>_map_<number>.nii.gz`."""
    grid, of_several = volume_maps.grid_of(source), catalogue.HEADS[maps.head].of_several
    for target, scaled in zip(maps.targets, maps.scaled):
        ending = f"_map_{target}" if of_several else "_map"
        volume_maps.write(folder / f"{name}{ending}.nii.gz", scaled, affine, grid)


def of_grades(explained: Explained) -> Explained:
    """What is explained where no probabilities are read: a head of grades."""
    heads = [name for name in explained.network.heads if not HEADS[name].of_classes]
    return explained._replace(head=head_of(heads, explained.head))


def targets_of_new(
    head: str, predicted: NDArray[np.integer], probabilities: NDArray[np.floating], least: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """The targets of each image, (N, M); and how many of the first are labels that are found, (N,), of several labels.

    Args:
        head: The head.
        predicted: (N,) as for `maps_of`.
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
