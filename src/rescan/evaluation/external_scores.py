"""Scores of an arm on external data, and what they differ by from those of the home test part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rescan.evaluation import predictions
from rescan.evaluation.calibration import confidence
from rescan.evaluation.part_scores import PartReadings, PartScores, read_parts, score_endpoints, score_parts
from rescan.evaluation.point_scores import joined, score_points
from rescan.metrics.run_rows import RunRows
from rescan.paths import EXTERNAL as FOLDER
from rescan.results.decisions import PointScores
from rescan.results.metrics_file import Difference, Endpoint, ExternalDifferences, Levels, Scores, difference
from rescan.results.parts import EXTERNAL
from rescan.results.posttraining import Posttraining, RunId
from rescan.results.reliability import Confidence
from rescan.study import Outcome, Study


@dataclass
class ExternalScores:
    """Of all external data sets: scores by part (external/<name>) and level, runs by image, differences by name.

    Attributes:
        parts: The scores.
        runs: By part.
        endpoints: Those of the home parts, with the external ones added.
        differences: By name of the data set.
        points: The operating points, with those parts only.
        confidence: What the probabilities are worth there.
        warnings: What limits the scores.
    """

    endpoints: dict[str, Endpoint]
    parts: dict[str, Levels] = field(default_factory=dict)
    runs: dict[str, dict[RunId, RunRows]] = field(default_factory=dict)
    differences: dict[str, ExternalDifferences] = field(default_factory=dict)
    points: list[PointScores] = field(default_factory=list)
    confidence: Confidence = field(default_factory=Confidence)
    warnings: list[str] = field(default_factory=list)


def score_external(
    study: Study, arm: str, posttraining: Posttraining, parts: Mapping[str, Levels], endpoints: dict[str, Endpoint]
) -> ExternalScores:
    """Score an arm on each external data set, read as its test images are: what was fitted at home stays as it is.

    Args:
        study: The study.
        arm: The arm.
        posttraining: What was fitted at home.
        parts: The scores of the home parts.
        endpoints: Those of the endpoints.

    Raises:
        RescanError: Predictions are missing or damaged.
    """
    result = ExternalScores(endpoints)
    for name, data_set in study.externals.items():
        everything = predictions.read(data_set, arm)
        labeled = everything.where(everything.rows["part"] == EXTERNAL)
        part = f"{FOLDER}/{name}"
        read = _read_new(study.data.outcome, posttraining, labeled, part)
        scored, own, points = _score(study.data.outcome, posttraining, read, part)
        there = confidence(study.data.outcome, posttraining, read, [part])
        result.confidence.calibration.update(there.calibration)
        result.confidence.referral.update(there.referral)
        result.parts |= scored.parts
        result.runs |= scored.runs
        result.points = joined(result.points, points)
        result.warnings += scored.warnings
        result.endpoints = {
            endpoint: of.model_copy(update={"parts": {**of.parts, **own[endpoint].parts}})
            for endpoint, of in result.endpoints.items()
        }
        result.differences[name] = ExternalDifferences(
            metrics=differences(parts.get("test", {}), scored.parts[part]),
            endpoints={
                endpoint: differences(of.parts.get("test", {}), of.parts[part])
                for endpoint, of in result.endpoints.items()
            },
        )
    return result


def score_new(
    outcome: Outcome, posttraining: Posttraining, labeled: predictions.Predictions, part: str
) -> tuple[PartScores, dict[str, Endpoint], list[PointScores]]:
    """Score labeled predictions that nothing was fitted on, as one part; their endpoints, and operating points."""
    return _score(outcome, posttraining, _read_new(outcome, posttraining, labeled, part), part)


def _read_new(
    outcome: Outcome, posttraining: Posttraining, labeled: predictions.Predictions, part: str
) -> PartReadings:
    return read_parts(outcome, posttraining, labeled._replace(rows=labeled.rows.assign(part=part)))


def _score(
    outcome: Outcome, posttraining: Posttraining, read: PartReadings, part: str
) -> tuple[PartScores, dict[str, Endpoint], list[PointScores]]:
    scored = score_parts(outcome, read, parts=[part])
    scored.warnings[:0] = [f"{part}: {text}" for text in read.warnings]
    return scored, score_endpoints(outcome, read, [part]), score_points(outcome, posttraining, read, [part])


def differences(home: Mapping[str, Scores], external: Mapping[str, Scores]) -> dict[str, Difference]:
    """External less home, by metric, of images: of two independent samples, read by the same networks.

    The interval is made of the two intervals (Zou and Donner 2008; of proportions with Wilson's, Newcombe 1998).
    """
    if "image" not in home or "image" not in external:
        return {}
    both = home["image"].metrics, external["image"].metrics
    values = {name: difference(both[0][name], both[1][name]) for name in both[0] if name in both[1]}
    return {name: value for name, value in values.items() if value is not None}
