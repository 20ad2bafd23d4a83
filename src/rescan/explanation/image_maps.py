"""Maps of images: drawn over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rescan.explanation.drawing import Tile, draw, short
from rescan.explanation.maps import (
    DIRECTIONS,
    Explained,
    Images,
    Maps,
    compute_maps,
    gray_levels,
    target_name,
    targets_of_rows,
)
from rescan.explanation.selection import HOW, describe
from rescan.files import writing
from rescan.heads.outputs import HEADS
from rescan.paths import GradcamFolder
from rescan.results.map_files import ChosenItem
from rescan.study import Study

SHOWN = {  # whether of a head of classes
    True: "the predicted class and of the true class (of the runner-up where the prediction is right)",
    False: "evidence for a higher and for a lower grade",
}
ROLES = {  # of the two maps, by whether of several labels, and whether it is right
    (False, True): ("prediction", "runner-up"),
    (False, False): ("prediction", "true class"),
    (True, True): ("found label", "most probable other"),
    (True, False): ("missed label", "most probable other"),
}


def show(
    folder: GradcamFolder,
    study: Study,
    _: str,
    rows: pd.DataFrame,
    images: Images,
    masks: Images | None,
    explained: Explained,
) -> list[ChosenItem]:
    """Write the pictures and the raw maps of chosen images, as `volume_maps.show` does of volumes; describe them."""
    classes, head = study.data.classes, explained.head
    probabilities = rows.filter(like="probability_").to_numpy()
    item, target = (rows[name].to_numpy(np.intp) for name in ("item", "target"))
    chosen_images, targets = images[item], targets_of_rows(head, rows)
    raw, scaled = compute_maps(explained, chosen_images, targets)
    bands: dict[tuple[int, bool], list[Tile]] = {(k, right): [] for k in np.unique(target) for right in (True, False)}
    chosen, note = describe(rows, classes, head), explained.note(images.shape[1:-1])
    for place, entry in enumerate(chosen):
        roles = ROLES[study.data.multilabel, entry.right]
        maps = with_titles(head, roles, targets[place], classes, probabilities[place], scaled[place])
        title = f"prepared image\n{short(entry.true)}"
        if not HEADS[head].of_classes:
            title = f"true: {short(entry.true)}\nread: {short(entry.predicted)}"
        mask = None if masks is None or not masks[item[place]].any() else masks[item[place]]
        tile = Tile(title, gray_levels(chosen_images[place]), maps, mask)
        bands[target[place], entry.right].append(tile)
        draw(f"{folder}/{entry.picture}", [("", [tile])], note)
    how = HOW[study.data.multilabel]
    headings = [(_heading(classes[k], how[right], tiles), tiles) for (k, right), tiles in bands.items()]
    draw(folder.sheet, headings, note)
    with writing(folder.maps) as temporary:
        np.save(temporary, raw, allow_pickle=False)
    return chosen


def with_titles(
    head: str,
    roles: Sequence[str],
    targets: NDArray[np.integer],
    classes: Sequence[str],
    probabilities: NDArray[np.floating],
    scaled: Maps,
) -> list[tuple[str, Maps]]:
    """Title the maps of one image: what each is evidence for, and whether it is zero everywhere."""
    notes = ["" if own_map.any() else " (empty map)" for own_map in scaled]
    if not HEADS[head].of_classes:
        titles = [f"evidence for a\n{DIRECTIONS[k]}{note}" for k, note in zip(targets, notes)]
    else:
        names = [target_name(head, k, classes, probabilities) for k in targets]
        titles = [f"{role}{note}\n{name}" for role, note, name in zip(roles, notes, names)]
    return list(zip(titles, scaled))


def _heading(name: str, how: str, tiles: list[Tile]) -> str:
    """The heading of the images of a class that are classified right, or wrong."""
    return f"{name}, {how}" if tiles else f"{name}: no test image is {how}"
