"""Scoring an arm on labeled files that the pipeline never saw, with nothing but its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rescan.arm_models import Arm, in_chunks, load_arm
from rescan.arm_rows import FLAGS, class_columns, column_at, named, points_at
from rescan.catalogue import METRICS
from rescan.data.index import Files
from rescan.data.labeled_files import KNOWN, home_key, known_files, labeled_files
from rescan.errors import RescanError
from rescan.evaluation.external_scores import differences, score_new
from rescan.evaluation.part_scores import PartScores
from rescan.evaluation.point_scores import joined as joined_points
from rescan.evaluation.predictions import Predictions, averaged, combine, joined
from rescan.files import together, write_table
from rescan.log import logger
from rescan.named_files import output
from rescan.paths import ArmFolder
from rescan.results.damage import damaged
from rescan.results.metrics_file import Endpoint, Metrics
from rescan.results.new_scores import NewScores, NotScored
from rescan.results.posttraining import FittedPoint, Posttraining
from rescan.study import Outcome

NEW, AVERAGED = "new", "new_averaged"
PRINTED = ("quadratic_kappa", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "ece", "brier")
OF_LABELS = ("auroc", "auprc", "macro_f1", "sensitivity", "specificity")


class _Read(NamedTuple):
    """What the networks make of the labeled files: per run, the mean of all, and a table for people."""

    runs: Predictions
    averaged: Predictions
    table: pd.DataFrame


def evaluate_on(
    arm_folder: Path,
    table: Path,
    out: Path,
    device: str,
    extent: tuple[float, ...] | None = None,
    at: str | None = None,
    runtime: str = "auto",
) -> list[str]:
    """Score an arm on labeled files, as its test images were read; nothing is fitted.

    Args:
        arm_folder: The folder of an arm that was evaluated.
        table: Of labeled files (see `labeled_files`).
        out: The scores (`NewScores`). The predictions lie beside, in `<out>_predictions.csv`: image, label, patient,
            predicted, and grade or a column per class; flags says what is unlike the training images, problem why a
            file has no prediction.
        device: auto, cpu or cuda.
        extent: Millimeters that the scans measure along depth, height and width, where their files do not say it.
        at: The name of an operating point of the arm, if given: the predictions get a column of its answers, and the
            short table what it scores. The scores hold all operating points.
        runtime: auto, torch or onnx (see `load_arm`).

    Returns:
        The lines of a short table of the scores.

    Raises:
        RescanError: No evaluated arm in the folder; a fault of the table; or no file could be read.
    """
    out = output(out, [table])
    beside = output(out.with_name(f"{out.stem}_predictions.csv"), [table])
    arm = load_arm(arm_folder, runtime)
    posttraining = arm.posttraining
    at_point = points_at(posttraining, at)
    metrics = Metrics.read(ArmFolder(arm_folder).metrics)
    endpoints = {name: endpoint.lowest for name, endpoint in metrics.endpoints.items()}
    if not set(endpoints.values()) <= set(metrics.classes[1:]):
        raise damaged(ArmFolder(arm_folder).metrics, Metrics.step, "has an endpoint of no class above the first")
    multilabel = posttraining.thresholds is not None
    outcome = Outcome(metrics.classes, metrics.metric == "quadratic_kappa", endpoints, multilabel)
    if outcome.classes != arm.classes:
        raise RescanError(f"{ArmFolder(arm_folder).metrics}: has other classes than the networks; run evaluate again")
    key = home_key(arm_folder)
    rows = labeled_files(table, outcome, key)
    out = output(out, rows["file"])
    read = _read(arm, rows, device, extent, at_point)
    of_runs, scored, points = score_new(outcome, posttraining, read.runs, NEW)
    of_mean, scored_mean, points_of_mean = score_new(outcome, posttraining, read.averaged, AVERAGED)
    unread = read.table[read.table["problem"] != ""]
    scores = NewScores(
        study=metrics.study,
        arm=metrics.arm,
        table=str(table),
        head=posttraining.head,
        positive_class=metrics.positive_class,
        classes=outcome.classes,
        interval_units="patient" if (read.runs.rows["patient"] != "").all() else "group",
        runs=list(of_runs.runs[NEW]),
        parts={**of_runs.parts, **of_mean.parts},
        endpoints={name: _both(scored[name], scored_mean[name]) for name in scored},
        points=joined_points(points, points_of_mean),
        confusion={} if multilabel else {**_confusion(of_runs), **_confusion(of_mean)},
        label_counts=_label_counts(outcome, of_runs) if multilabel else {},
        differences=differences(metrics.parts.get("test", {}), of_runs.parts[NEW]),
        endpoint_differences={
            name: differences(metrics.endpoints[name].parts.get("test", {}), scored[name].parts[NEW]) for name in scored
        },
        not_scored=[NotScored(image=row.image, problem=row.problem) for row in unread.itertuples()],
        warnings=[*of_runs.warnings, *of_mean.warnings, *known_files(arm_folder, rows, key)],
    )
    for text in scores.warnings:
        logger.warning(text)
    if len(unread):
        logger.warning("%d of %d files have no prediction, such as %s", len(unread), len(rows), unread["image"].iloc[0])
    if flagged := int(read.table[FLAGS].ne("").sum()):
        logger.warning("%d of %d files are unlike the training images: column %s", flagged, len(rows), FLAGS)
    with together():
        scores.write(out)
        write_table(beside, read.table)
    return [*_lines(scores, metrics), *_lines_at(scores, metrics, at)]


def _read(
    arm: Arm,
    rows: pd.DataFrame,
    device: str,
    extent: tuple[float, ...] | None,
    points: Sequence[FittedPoint],
) -> _Read:
    """Predict all files, a chunk at a time."""
    files = [Files(path, extent=extent) for path in rows["file"]]
    outputs: list[list[Predictions]] = [[] for _ in arm.models]
    table = rows[["path", "label", "patient"]].rename(columns={"path": "image"})
    table["image"] = table["image"].map(named)
    lines: list[dict[str, object]] = []
    for chunk in in_chunks(arm, files, device, points):
        lines += chunk.rows
        places = np.asarray(chunk.readable, np.intp) + chunk.start
        for own, of_model in zip(outputs, chunk.outputs):
            about = rows.iloc[places[of_model.rows["sample"]]].reset_index(drop=True)
            own.append(of_model._replace(rows=_with_samples(of_model.rows, about)))
    if not any(outputs):
        raise RescanError("\n".join(f"{row.path}: {line['problem']}" for row, line in zip(rows.itertuples(), lines)))
    filled = {name for line in lines for name in line}
    columns = [
        "predicted",
        "grade",
        *class_columns(arm.classes),
        *map(column_at, points),
        FLAGS,
        "problem",
    ]
    table = pd.concat([table, pd.DataFrame(lines)[[name for name in columns if name in filled]]], axis=1)
    of_models = [joined(own) for own in outputs]
    return _Read(_by_run(arm, of_models), _averaged(arm.posttraining, of_models), table)


def _with_samples(rows: pd.DataFrame, about: pd.DataFrame) -> pd.DataFrame:
    """The rows of predictions with what is known of their samples; a file without a patient is a group of its own."""
    known = {name: about[name].to_numpy() for name in (*KNOWN, "target")}
    group = about["patient"].where(about["patient"] != "", about["path"])
    return rows.assign(sample=about["path"].to_numpy(), group=group.to_numpy(), **known)


def _by_run(arm: Arm, of_models: list[Predictions]) -> Predictions:
    """The predictions of each run of the arm; of an ensemble there is a run per seed, the mean of its members."""
    posttraining = arm.posttraining
    if posttraining.ensemble:
        seeds = [model.header.seed for model in arm.models]
        members = [(seed, [own for own, of in zip(of_models, seeds) if of == seed]) for seed in dict.fromkeys(seeds)]
        means = [(seed, combine(own, posttraining.trim)) for seed, own in members]
        return joined([mean._replace(rows=mean.rows.assign(fold=0, seed=seed)) for seed, mean in means])
    runs = [(run.fold, run.seed) for run in posttraining.runs]
    runs = runs if len(runs) == len(of_models) else [(0, number) for number in range(len(of_models))]
    return joined(
        [own._replace(rows=own.rows.assign(fold=fold, seed=seed)) for own, (fold, seed) in zip(of_models, runs)]
    )


def _averaged(posttraining: Posttraining, of_models: list[Predictions]) -> Predictions:
    """The mean of all networks, as new files are read (`readings.of_new`)."""
    if posttraining.ensemble:
        mean = combine(of_models, posttraining.trim)
    else:
        mean = averaged(joined(of_models), ["part", "sample", "item"])
    return mean._replace(rows=mean.rows.assign(fold=0, seed=0))


def _both(first: Endpoint, second: Endpoint) -> Endpoint:
    return first.model_copy(update={"parts": {**first.parts, **second.parts}})


def _confusion(scored: PartScores) -> dict[str, list[list[float]]]:
    return {
        part: np.mean([rows.confusion for rows in runs.values()], axis=0).tolist() for part, runs in scored.runs.items()
    }


def _label_counts(outcome: Outcome, scored: PartScores) -> dict[str, int]:
    """How many files have each label."""
    rows = next(iter(scored.runs[NEW].values()))
    return {label: int(rows.of_class(number).sum()) for number, label in enumerate(outcome.classes)}


def _lines(scores: NewScores, metrics: Metrics) -> Iterator[str]:
    """A short table: the metrics on the new files, of the mean over runs and of the averaged networks, and at home."""
    new, of_mean = (scores.parts[part]["image"] for part in (NEW, AVERAGED))
    test = metrics.scores()
    yield f"{scores.arm}, {new.n} labeled files of {new.groups} {scores.interval_units}s; 95 % intervals"
    yield f"{'':20}{'mean over runs':>26}{'networks averaged':>26}{'less the home test':>26}"
    for name in OF_LABELS if scores.label_counts else PRINTED:
        if name in new.metrics:
            difference = scores.differences.get(name) if test else None
            cells = [new.metrics[name], of_mean.metrics[name], difference]
            yield f"{METRICS[name].title:20}" + "".join(f"{_cell(cell):>26}" for cell in cells)
    for label, count in scores.label_counts.items():
        of_label = "".join(f"{_cell(of.metrics['auroc'].classes.get(label)):>26}" for of in (new, of_mean))
        yield f"  AUROC of {label} ({count}){of_label}"


def _lines_at(scores: NewScores, metrics: Metrics, name: str | None) -> Iterator[str]:
    """What an operating point scores on the new files, and on the home test part; nothing without a name."""
    at_home = {
        point.of: point.parts.get("test", {}).get("image") for point in metrics.decisions.points if point.name == name
    }
    for point in scores.points:
        new, of_mean = (point.parts.get(part, {}).get("image") for part in (NEW, AVERAGED))
        if point.name == name and new and of_mean:
            yield f"at {name} of {point.of}, threshold {point.threshold:.3f}; last column: the home test"
            for metric in new.metrics:
                home = at_home.get(point.of)
                cells = [new.metrics[metric], of_mean.metrics[metric], home.metrics.get(metric) if home else None]
                name_of, _, rest = (metric, "", "") if metric in METRICS else metric.partition("_")
                title = " ".join([METRICS[name_of].title, *rest.split("_")]).rstrip()  # such as "PPV at prevalence"
                yield f"  {title:18}" + "".join(f"{_cell(cell):>26}" for cell in cells)


def _cell(quantity: object) -> str:
    value, low, high = (getattr(quantity, name, None) for name in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else "")
