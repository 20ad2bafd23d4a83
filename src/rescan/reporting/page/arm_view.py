"""What the page shows of one arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rescan.paths import Paths
from rescan.reporting.page.calibration_view import CalibrationView, calibration_view
from rescan.reporting.page.map_checks_view import MapChecksView, map_checks_view
from rescan.reporting.page.maps_view import MapsView, maps_view
from rescan.reporting.page.picture import Picture, picture
from rescan.reporting.page.points_view import PointsView, points_view
from rescan.reporting.page.score_tables import ScoreTable, score_tables
from rescan.reporting.text import arm_words
from rescan.results.metrics_file import Metrics, Scores
from rescan.results.network_summary import NetworkSummary
from rescan.results.posttraining import Posttraining
from rescan.results.trained_model import TrainedModel, read_trained_model
from rescan.study import Recipe, Study


@dataclass(frozen=True)
class ArmView:
    """An arm that has results.

    Attributes:
        link: The id of its section.
        recipe: How it is trained and read.
        metrics: Its results.
        reads: Whose models it reads; "" if it has its own.
        warnings: What limits its results, without what limits all arms' and what its findings repeat.
        figures: Those that apply to it.
        tables: Its scores.
        points: Its operating points, if it has any.
        posttraining: Sentences about what was fitted after the training.
        batch_norm: What its statistics do; "" of networks without it.
        calibration: What its probabilities are worth.
        maps: Its Grad-CAM maps, if there are any.
        map_checks: How far these can be believed.
        submission: The file of the classes of unlabeled images; "" if there is none.
        network: The layers of its network, if they are known.
        model: The header of its first model file, if there is one.
    """

    link: str
    recipe: Recipe
    metrics: Metrics
    reads: str
    warnings: Sequence[str]
    figures: Sequence[Picture]
    tables: Sequence[ScoreTable]
    points: PointsView | None
    posttraining: Sequence[str]
    batch_norm: str
    calibration: CalibrationView
    maps: MapsView | None
    map_checks: MapChecksView | None
    submission: str
    network: NetworkSummary | None
    model: TrainedModel | None

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.metrics.arm

    @property
    def test(self) -> Scores | None:
        """The scores of the test images, if there are any."""
        return self.metrics.scores()

    @property
    def out_of_fold(self) -> Scores | None:
        """The scores of the validation parts of all folds together, if there are several."""
        return self.metrics.scores("out_of_fold")


def arm_view(study: Study, metrics: Metrics, link: str, everywhere: Sequence[str]) -> ArmView:
    """Collect what the page shows of an arm.

    Args:
        study: The study.
        metrics: The arm's results.
        link: The id of its section.
        everywhere: Warnings that hold for all arms, and stand elsewhere.
    """
    arm, paths = metrics.arm, Paths(study.scale, study.name)
    folder, recipe = paths.arm(arm), study.arms[arm]
    fitted = Posttraining.read_if_there(folder.posttraining)
    elsewhere = {*everywhere, *(finding.text for finding in metrics.diagnosis)}
    captions = arm_words.captions(study, arm, metrics.curves.run, len(metrics.runs))
    pictures = [
        picture(getattr(folder.figures, name), "evaluate", f"{arm}: {name}", text) for name, text in captions.items()
    ]
    networks = [run.folder.network for run in study.runs(recipe.models or arm)]
    models = [run.folder.model for run in study.runs(arm)]
    network = next((file for file in networks if Path(file).is_file()), None)
    model = next((file for file in models if Path(file).is_file()), None)
    return ArmView(
        link=link,
        recipe=recipe,
        metrics=metrics,
        reads=arm_words.reads(study, arm),
        warnings=[text for text in metrics.warnings if text not in elsewhere],
        figures=[figure for figure in pictures if figure],
        tables=score_tables(study, metrics, fitted),
        points=points_view(study, metrics),
        posttraining=arm_words.posttraining(study, arm, fitted),
        batch_norm=arm_words.batch_norm(metrics),
        calibration=calibration_view(study, metrics, fitted),
        maps=maps_view(folder, arm),
        map_checks=map_checks_view(folder, arm),
        submission=folder.submission if Path(folder.submission).is_file() else "",
        network=NetworkSummary.read(network) if network else None,
        model=read_trained_model(model) if model else None,
    )
