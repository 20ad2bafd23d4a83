"""The step `evaluate`: metrics.json of an arm, from what infer and posttrain wrote, never from images or networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.baselines import baselines
from rescan.evaluation.calibration import bound_warnings, confidence
from rescan.evaluation.curves import curves
from rescan.evaluation.decision_curves import decision_curves
from rescan.evaluation.diagnosis import batch_norm, diagnose
from rescan.evaluation.external_scores import score_external
from rescan.evaluation.part_scores import before_temperature, read_parts, score_endpoints, score_heads, score_parts
from rescan.evaluation.point_scores import joined, score_points
from rescan.evaluation.predictions import Predictions
from rescan.evaluation.readings import by_sample, of_new, read_posttraining
from rescan.evaluation.soundness import (
    linked_groups,
    warning_of_links,
    warning_of_selection,
)
from rescan.evaluation.subgroups import subgroups
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.decisions import Decisions
from rescan.results.metrics_file import Metrics
from rescan.results.parts import PARTS, UNLABELED
from rescan.results.posttraining import Posttraining
from rescan.results.predictions_file import SUBMISSION
from rescan.results.reliability import Confidence
from rescan.study import Study
from rescan.study.keys import result_key


def evaluate(study: Study, arm: str) -> Metrics:
    """Evaluate an arm from its predictions; write metrics.json, and submission.csv if there are unlabeled images.

    Returns:
        What metrics.json holds.

    Raises:
        RescanError: A file is missing or damaged, or a group is on both sides of a split that Rescan made.
    """
    folder, classes, recipe = Paths(study.scale, study.name).arm(arm), study.data.classes, study.arms[arm]
    everything = predictions.read(study, arm)
    posttraining = read_posttraining(study, arm, everything)
    # An ensemble's validation rows are for fitting only: each is the mean of few members.
    parts = ["test"] if recipe.ensemble else list(PARTS)
    labeled = everything.where(everything.rows["part"].isin(parts))
    if labeled.rows.empty:
        raise RescanError(f"{folder}: no prediction of a {' or '.join(parts)} image; check the split")

    read = read_parts(study.data.outcome, posttraining, labeled)
    images, unit, levels = read.images, read.unit, read.levels
    linked = linked_groups(images.rows)
    scored = score_parts(study.data.outcome, read, linked)
    endpoints = score_endpoints(study.data.outcome, read)
    # A point may call nearly everything positive on purpose: a network that collapsed does so without it.
    plain = by_sample(posttraining.model_copy(update={"points": []}), labeled)
    diagnosis = diagnose(study, arm, plain, scored.parts)
    home = confidence(study.data.outcome, posttraining, read, ["test" if "test" in scored.parts else "validation"])
    external = score_external(study, arm, posttraining, scored.parts, endpoints)
    whole = recipe.training_samples == "all"
    warnings = read.warnings + warning_of_selection(study, arm) + warning_of_links(images.rows, linked, whole=whole)
    warnings += bound_warnings(posttraining) + scored.warnings + external.warnings
    warnings += [finding.text for finding in diagnosis]
    warnings += [
        f"{point.name} of {point.of}, which predicts: {point.problem}"
        for point in posttraining.points
        if point.predicts and point.problem
    ]
    of_curves = curves(study, scored.runs, images)
    points = joined(score_points(study.data.outcome, posttraining, read), external.points)
    for line in warnings:
        logger.warning("%s: %s", arm, line)

    metrics = Metrics(
        study=study.name,
        arm=arm,
        result_key=result_key(study, arm),
        metric=study.metric,
        head=recipe.head,
        positive_class=None if study.positive is None else classes[study.positive],
        classes=classes,
        interval_units=unit,
        runs=list(list(scored.runs.values())[-1]),
        parts={**scored.parts, **external.parts},
        endpoints=external.endpoints,
        heads=score_heads(study, arm, posttraining, labeled, unit),
        before_temperature=before_temperature(posttraining, labeled),
        confusion={
            part: np.mean([rows.confusion for rows in runs.values()], axis=0).tolist()
            for part, runs in {**scored.runs, **external.runs}.items()
            if not study.data.multilabel
        },
        label_counts={
            part: {label: int(next(iter(runs.values())).of_class(number).sum()) for number, label in enumerate(classes)}
            for part, runs in {**scored.runs, **external.runs}.items()
            if study.data.multilabel
        },
        subgroups=subgroups(study, images, "test", unit),
        subgroups_of_studies=subgroups(study, levels["study"], "test", unit, "study") if "study" in levels else {},
        subgroups_out_of_fold=subgroups(study, images, "out_of_fold", unit),
        baselines=baselines(study, images, unit),
        curves=of_curves,
        decisions=Decisions(points=points, **decision_curves(study.data.outcome, read, of_curves.run)),
        confidence=Confidence(
            calibration={**home.calibration, **external.confidence.calibration},
            referral={**home.referral, **external.confidence.referral},
        ),
        warnings=warnings,
        diagnosis=diagnosis,
        batch_norm=batch_norm(study, arm),
        external=external.differences,
    )
    metrics.write(folder.metrics)
    _submit(posttraining, everything.where(everything.rows["part"] == UNLABELED), folder.submission)
    return metrics


def _submit(posttraining: Posttraining, unlabeled: Predictions, path: str) -> None:
    """Write the class of each unlabeled image, from the mean of the runs' outputs; without one, remove the file."""
    if unlabeled.rows.empty or posttraining.thresholds:  # a competition's file holds one class per image
        Path(path).unlink(missing_ok=True)
        return
    reading = of_new(posttraining, [unlabeled])
    SUBMISSION.write(path, pd.DataFrame({"id_code": reading.rows["sample"], "diagnosis": reading.predicted}))
