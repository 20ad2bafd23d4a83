"""What stands above the samples: the arm, the data that it was trained for, how well it did on its test part."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Optional

from rescan import __version__, catalogue
from rescan.arm_models import Arm
from rescan.files import fingerprint
from rescan.paths import ArmFolder
from rescan.results.metrics_file import Metrics

CAUTION = "Research use only; not a medical device."
OF_DEMO = "Demo: trained on made images; it knows nothing of real ones."
SHOWN = 4  # scores, the one that the study puts first and the first others
PREFERRED = ("auroc", "sensitivity", "specificity", "accuracy", "quadratic_kappa", "macro_f1", "balanced_accuracy")


class Score(NamedTuple):
    """A score of the test part with its 95 % interval."""

    title: str
    value: float
    low: Optional[float]
    high: Optional[float]


class ArmFacts(NamedTuple):
    """What is known of an arm.

    Attributes:
        study: Its study.
        arm: Its name.
        classes: Their names.
        networks: How many are averaged.
        version: Of Rescan that trained them.
        reader: Of Rescan that reads new images.
        scores: Of the test part by image; none without metrics.json.
        n: Number of images that they are of.
        key: Tells this arm's fit from others', 16 hex digits.
        is_demo: Whether it was trained on images that Rescan made itself.
    """

    study: str
    arm: str
    classes: list[str]
    networks: int
    version: str
    reader: str
    scores: list[Score]
    n: int
    key: str
    is_demo: bool

    @property
    def caution(self) -> str:
        """What stands wherever the arm reads an image."""
        return f"{CAUTION} {OF_DEMO}" if self.is_demo else CAUTION

    @property
    def title(self) -> str:
        """Arm and study in words."""
        return f"{self.arm} of {self.study}"


def facts_of(arm: Arm) -> ArmFacts:
    """What is known of an arm: of its networks, and of its scores if these are there.

    Raises:
        RescanError: Its metrics.json is damaged.
    """
    header = arm.models[0].header
    metrics = Metrics.read_if_there(ArmFolder(arm.folder).metrics)
    # An ensemble's networks are those of other arms.
    study, name = (header.study, header.arm) if metrics is None else (metrics.study, metrics.arm)
    if metrics is None and len({model.header.arm for model in arm.models}) > 1:
        name = Path(arm.folder).resolve().name
    scores, n = ([], 0) if metrics is None else _scores(metrics)
    version = ", ".join(dict.fromkeys(model.header.version for model in arm.models))
    key = fingerprint([study, name, __version__, arm.posttraining.model_dump(mode="json")])
    is_demo = header.scale == "demo"
    return ArmFacts(study, name, arm.classes, len(arm.models), version, __version__, scores, n, key, is_demo)


def _scores(metrics: Metrics) -> tuple[list[Score], int]:
    """The scores of the test part that are shown, and of how many images."""
    scores = metrics.scores()
    if scores is None:
        return [], 0
    shown = []
    for name in dict.fromkeys((metrics.metric, *PREFERRED)):
        estimate = scores.metrics.get(name)
        if estimate is not None and estimate.value is not None:
            shown.append(Score(catalogue.METRICS[name].title, estimate.value, estimate.low, estimate.high))
    return shown[:SHOWN], scores.n
