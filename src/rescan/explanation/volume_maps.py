"""Maps of volumes: laid back onto the source's grid as NIfTI files, and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from rescan.data.index import Files, files_of
from rescan.data.readers import volumes
from rescan.data.readers.images import Unreadable
from rescan.errors import RescanError
from rescan.explanation import five_panels
from rescan.explanation.browser import browse
from rescan.explanation.five_panels import Beside, Panel, panels, peak
from rescan.explanation.maps import (
    Explained,
    Images,
    explained_by,
    gray_levels,
    in_batches,
    target_name,
    targets_of_rows,
)
from rescan.explanation.selection import HOW, describe
from rescan.models.model_files import load_run
from rescan.paths import GradcamFolder, Paths
from rescan.preparation import retina
from rescan.preparation.store import open_beside, open_store
from rescan.results.agreement import check_samples, read_manifest
from rescan.results.damage import missing
from rescan.results.map_files import BrowsedVolume, ChosenItem, MapBrowser
from rescan.results.packed_store import ITEMS
from rescan.study import Study

Floats = NDArray[np.float32]
Affine = NDArray[np.float64]
Grid = tuple[tuple[int, ...], Affine]
SHOWN = {True: "the predicted class", False: "evidence for a higher grade"}  # whether of a head of classes


def to_source(scaled: Floats, affine: Affine, shape: Sequence[int], source_affine: Affine) -> Floats:
    """Lay a map back onto the grid of the file that its volume was prepared from, by world coordinates.

    Args:
        scaled: (D, H, W), the map of the prepared volume.
        affine: (4, 4), of the prepared index (d, h, w) to world millimeters.
        shape: Of the source, in the file's own order of axes.
        source_affine: (4, 4), of the source's index, in that order, to world millimeters.

    Returns:
        (*shape) float32: trilinear between the centers of the prepared voxels, 0 outside those voxels.
    """
    onto = np.linalg.inv(affine) @ source_affine  # source index to prepared index
    whole = np.zeros(shape, np.float32)
    # Only where the prepared field lies in the source: often a small part of it.
    ends = np.stack([np.full(3, -0.5), np.array(scaled.shape) - 0.5])
    corners = np.array(np.meshgrid(*ends.T, indexing="ij")).reshape(3, -1)
    inside = np.linalg.solve(onto[:3, :3], corners - onto[:3, 3:])
    first = np.clip(np.floor(inside.min(1)), 0, shape).astype(int)
    last = np.clip(np.ceil(inside.max(1)) + 1, 0, shape).astype(int)
    if (first >= last).any():
        return whole
    matrix, offset, size = onto[:3, :3], onto[:3, :3] @ first + onto[:3, 3], tuple(last - first)
    values = affine_transform(scaled, matrix, offset, size, order=1, mode="nearest")
    covered = affine_transform(np.ones(scaled.shape, np.uint8), matrix, offset, size, order=0, mode="grid-constant")
    whole[tuple(map(slice, first, last))] = values * covered
    return whole


def grid_of(source: Files) -> Grid:
    """The grid of a volume's file: its shape and affine, in the file's own order of axes. Of a stack it reads it whole.

    Raises:
        RescanError: The source cannot be read.
    """
    try:
        return volumes.source_grid(source.path, source.extent)
    except Unreadable as error:
        raise RescanError(f"{source.path}: {error}; the map needs its grid: put it back, or prepare again") from None


def write(path: Path, scaled: Floats, affine: Affine, grid: Grid) -> None:
    """Write the map of a volume as NIfTI, on the grid and with the affine of its source."""
    shape, source_affine = grid
    volumes.write_nifti(path, to_source(scaled, affine, shape, source_affine), source_affine)


def show(
    folder: GradcamFolder,
    study: Study,
    owner: str,
    rows: pd.DataFrame,
    images: Images,
    masks: Images | None,
    explained: Explained,
) -> list[ChosenItem]:
    """Write pictures and maps of the chosen volumes: the map of the predicted class, or of a higher grade.

    `images/<item>.png` has the five panels of a volume, `sheet.png` those of all. `volumes/<item>_map.nii.gz` is the
    map on the source's grid, in [0, 1], and `volumes/<item>_map_<slab>.nii.gz` the same, zero outside the slab
    study.gradcam.slab, where the store knows the retina's layers. `browser.json` has what a page needs to leaf through
    two of them, one that is classified right and one that is not, if there are.

    Args:
        folder: The folder to write to.
        study: The resolved study; study.gradcam.beside names the arm whose map of the same sample is shown in [C].
        owner: The arm whose network is explained.
        rows: The chosen test items (see `selection.test_rows`).
        images: The store's volumes, (N, D, H, W, 1).
        masks: (N, D, H, W), nonzero inside the lesion, if any is known.
        explained: The network and its head.

    Returns:
        The description of each volume, with the fields of its map.

    Raises:
        RescanError: An input is missing or damaged.
    """
    paths, preparation, slab = Paths(study.scale, study.name), study.arms[owner].preparation, study.gradcam.slab
    store, item = paths.store(preparation), rows["item"].to_numpy(np.intp)
    affines, layers = open_beside(store, "affines"), open_beside(store, "layers")
    if affines is None:
        raise missing(store.affines, ITEMS.step)
    sources = _sources(study, rows["sample"], study.preparations[preparation].modality)
    targets = targets_of_rows(explained.head, rows)[:, :1]
    chosen, probabilities = describe(rows, study.data.classes, explained.head), rows.filter(like="probability_")
    pictures = [entry.picture for entry in chosen]
    others = _beside(study, rows.assign(picture=pictures), explained) if study.gradcam.beside else {}
    figures: list[tuple[str, list[Panel]]] = []
    browsed: list[BrowsedVolume] = []
    note, in_browser = explained.note(images.shape[1:-1]), _one_right_one_wrong(chosen)
    for place, raw, scaled in each(explained, images, item, targets):
        entry, affine = chosen[place], affines[item[place]]
        volume, mask = gray_levels(images[item[place]][..., 0]), None if masks is None else masks[item[place]]
        target = target_name(explained.head, targets[place, 0], study.data.classes, probabilities.to_numpy()[place])
        heading = _heading(entry, HOW[study.data.multilabel])
        figure = panels(volume, scaled, affine, target, mask, others.get(entry.picture))
        five_panels.draw(f"{folder}/{entry.picture}", [(heading, figure)], note)
        figures.append((heading, figure))
        name = f"volumes/{Path(entry.picture).stem}_map"
        grid = grid_of(sources[place])
        write(Path(f"{folder}/{name}.nii.gz"), scaled, affine, grid)
        of_slab = f"{name}_{slab}.nii.gz" if layers is not None and layers[item[place]].any() else ""
        if layers is not None and of_slab:
            write(Path(folder, of_slab), scaled * (layers[item[place]] == retina.NUMBERS[slab]), affine, grid)
        depth, height, _ = peak(scaled)
        fields = {"raw_maximum": float(raw.max()), "depth": depth, "row": height, "map": f"{name}.nii.gz"}
        chosen[place] = entry.model_copy(update={**fields, f"map_{slab}": of_slab})
        if place in in_browser:
            browsed.append(browse(heading, target, volume, scaled, affine, mask))
    five_panels.draw(folder.sheet, _with_missing(figures, chosen, HOW[study.data.multilabel]), note)
    MapBrowser(volumes=browsed).write(folder.browser)
    return chosen


def each(
    explained: Explained, images: Images, items: Sequence[int] | NDArray[np.integer], targets: NDArray[np.integer]
) -> Iterator[tuple[int, Floats, Floats]]:
    """Compute the first target's map of each item: its place among the items, and its raw and scaled map, (D, H, W)."""
    for here, raw, scaled in in_batches(explained, images, items, targets[:, :1]):
        yield from zip(range(here.start, here.start + len(raw)), raw[:, 0], scaled[:, 0])


def _heading(entry: ChosenItem, how: Mapping[bool, str]) -> str:
    probability = "" if entry.probability is None else f" ({100 * entry.probability:.0f} %)"
    of_other = f" as {entry.predicted}" if how is HOW[False] and not entry.right else ""
    return f"{entry.sample}: {entry.true}, {how[entry.right]}{of_other}{probability}"


def _with_missing(
    figures: list[tuple[str, list[Panel]]], chosen: list[ChosenItem], how: Mapping[bool, str]
) -> list[tuple[str, list[Panel]]]:
    """Add, behind each class's volumes, a heading for each of right and wrong that no volume of it is classified."""
    rows: list[tuple[str, list[Panel]]] = []
    for name in dict.fromkeys(entry.true for entry in chosen):
        of_class = [place for place, entry in enumerate(chosen) if entry.true == name]
        rows += [figures[place] for place in of_class]
        ways = {chosen[place].right for place in of_class}
        rows += [(f"{name}: no test volume is {text}", []) for right, text in how.items() if right not in ways]
    return rows


def _one_right_one_wrong(chosen: list[ChosenItem]) -> list[int]:
    """Places of the two that the page leafs through: the last that is right, the last that is wrong; else the first."""
    last = {entry.right: place for place, entry in enumerate(chosen)}
    return sorted({*last.values()} if len(last) == 2 else {0, len(chosen) - 1})


def _sources(study: Study, samples: pd.Series[str], modality: str) -> list[Files]:
    """The files that the samples were prepared from."""
    paths, manifest = Paths(study.scale, study.name), read_manifest(study).set_index("sample", drop=False)
    check_samples(paths.manifest, manifest["sample"], "predictions.csv", samples, "index and run infer")
    sources = files_of(paths, manifest.loc[list(samples)], modality)
    if None in sources:
        raise RescanError(f"{paths.manifest}: no file of {samples.iloc[sources.index(None)]}; run preprocess again")
    return [files for files in sources if files is not None]


def _beside(study: Study, rows: pd.DataFrame, explained: Explained) -> dict[str, Beside]:
    """By picture, the map of study.gradcam.beside for what the volume's map is evidence for."""
    arm = str(study.gradcam.beside)
    run = study.member_runs(arm)[0].trained
    images, items = open_store(run.store)
    network, header = load_run(run)
    network = network.to(next(explained.network.parameters()).device)
    explained_beside = explained_by(network, header, study.gradcam, explained.head)
    places = items.reset_index(names="place").set_index("sample")["place"]
    shared = rows[rows["sample"].isin(places.index)].reset_index(drop=True)
    targets = targets_of_rows(explained_beside.head, shared)[:, :1]
    here = places[shared["sample"]].to_numpy(np.intp)
    masks = open_beside(run.store, "masks")
    return {
        shared["picture"][place]: Beside(
            arm, gray_levels(images[here[place]]), scaled, None if masks is None else masks[here[place]]
        )
        for place, _, scaled in each(explained_beside, images, here, targets)
    }
