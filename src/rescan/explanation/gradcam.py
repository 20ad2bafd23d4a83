"""Grad-CAM of an arm: maps of right and wrong test items, and how much of the maps lies inside known lesions."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from rescan.explanation import image_maps, volume_maps
from rescan.explanation.map_checks import MOST_SEEDS, check
from rescan.explanation.map_scores import average, located, score
from rescan.explanation.maps import explained_by
from rescan.explanation.selection import (
    BY_DISTANCE,
    BY_PROBABILITY,
    OF_PATCHES,
    RANKED,
    RULE,
    choose,
    one_per_sample,
    test_rows,
)
from rescan.heads.outputs import HEADS
from rescan.log import logger
from rescan.models.model_files import load_run
from rescan.paths import GradcamFolder
from rescan.preparation.store import open_beside, open_store
from rescan.replacing import replacing
from rescan.results.map_checks_file import MAP_CHECKS
from rescan.results.map_files import CHOSEN, MAP_SCORES, ExplainedRun, MapSummary
from rescan.study import Run, Study
from rescan.training.lease import Machine

OF_SEVERAL = {  # what is shown of several labels
    "images": "a label that they have, and of the most probable other one",
    "volumes": "a label that they have",
}
SCORED_LABEL = "the map of the label, where it is the only one,"
SCORED = {True: "the map of the predicted class", False: "the map of evidence for a higher grade"}  # of classes or not


def gradcam(
    study: Study,
    arm: str,
    machine: Machine,
    finish: Callable[[MapSummary, GradcamFolder], None] = lambda summary, folder: None,  # noqa: ARG005
) -> None:
    """Write `<arm>/gradcam/` for the first of the models that the arm's predictions come from.

    `chosen.csv` lists the chosen test items, `sheet.png` and `images/<item>.png` show them. Images, under two maps
    each: of the predicted class and of the true class (of the runner-up where the prediction is right); or, of a head
    of grades, of the evidence for a higher and for a lower grade; `maps.npy` (n, 2, H, W) float32 holds the raw maps.
    Volumes, under the first of these maps, which also becomes NIfTI files and what a page can leaf through (see
    `volume_maps.show`). Of a sample's patches, one is shown at most.
    `scores.csv` has one row per scored test item with a lesion mask (none if the store has no masks): the energy of
    the first map inside the lesion, beside the references of `faithfulness`, and the measures of `pointing`.
    `checks.csv` has one row per item whose first map is checked (see `map_checks.check`), with the maps of the same
    fold's other seeds, too. `summary.json` holds the means of both with 95 % intervals.

    Args:
        study: The resolved study; its `gradcam.head` says which head's output is explained, where the network has it,
            and `gradcam.layer` and `method` of which block of the encoder the maps are, and by which method.
        arm: Its arm.
        machine: What the job may use.
        finish: What else to do with the summary and the new folder, before it takes the place of an old one.

    Raises:
        RescanError: An input is missing, or there is no test image.
    """
    run = study.member_runs(arm)[0].trained
    rows, (images, _) = test_rows(study, arm), open_store(run.store)
    masks = open_beside(run.store, "masks")
    candidates = rows.iloc[one_per_sample(rows)].reset_index(drop=True)
    target, predicted, confidence = (candidates[name].to_numpy() for name in ("target", "predicted", "confidence"))
    positions = choose(target, predicted, confidence, study.gradcam.images_a_class)
    kind, drawing = ("volumes", volume_maps) if images.ndim == 5 else ("images", image_maps)
    with replacing(run.paths.arm(arm).gradcam) as place, machine.lease() as device:
        folder = GradcamFolder(place)
        network, header = load_run(run)
        explained = explained_by(network.to(device), header, study.gradcam)
        chosen_rows = candidates.iloc[positions].reset_index(drop=True)
        chosen = drawing.show(folder, study, run.name, chosen_rows, images, masks, explained)
        scores = score(rows, images, masks, explained, header)
        seeds = (explained._replace(network=load_run(other)[0].to(device)) for other in _other_seeds(study, arm))
        grid = explained.cells(header.input[1:])
        checks, checked = check(candidates, images, explained, header, seeds, grid)
        CHOSEN.write(folder.chosen, pd.DataFrame([item.model_dump(exclude_unset=True) for item in chosen]))
        MAP_SCORES.write(folder.scores, scores)
        MAP_CHECKS.write(folder.checks, checked)
        energies, complete = average(scores)
        patches, of_classes = len(rows) // len(candidates), HEADS[explained.head].of_classes
        several = study.data.multilabel
        by = BY_PROBABILITY[several] if "probability_0" in rows else BY_DISTANCE
        rule = RULE.format(ranked=RANKED[several].format(kind=kind), by=by, kind=kind)
        summary = MapSummary(
            run=ExplainedRun(arm=run.name, fold=run.fold, seed=run.seed),
            head=explained.head,
            method=explained.method,
            layer=explained.layer,
            kind=kind,
            shown=OF_SEVERAL[kind] if several else drawing.SHOWN[of_classes],
            scored=SCORED_LABEL if several else SCORED[of_classes],
            cells=list(grid),
            n=complete,
            empty=len(scores) - complete,
            energies=energies,
            located=located(scores, images.shape[1:-1]),
            checks=checks,
            rule=rule + (OF_PATCHES.format(patches) if patches > 1 else ""),
            chosen=chosen,
        )
        summary.write(folder.summary)
        finish(summary, folder)
    text = "; ".join(f"{name} {mean.value:.2f}" for name, mean in energies.items()) or "no lesion masks to score"
    logger.info("%s: %d %s shown; %s", run.paths.arm(arm).gradcam, len(chosen), kind, text)


def _other_seeds(study: Study, arm: str) -> list[Run]:
    """The runs of the explained arm and fold with other seeds than the explained one."""
    first, *others = (run.trained for run in study.member_runs(arm))
    same = [run for run in others if (run.name, run.fold) == (first.name, first.fold) and run.seed != first.seed]
    return same[: MOST_SEEDS - 1]
