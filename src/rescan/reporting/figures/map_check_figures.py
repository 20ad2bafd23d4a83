"""The figure of deletion and insertion: what the checks of an arm's maps found, on average."""

from __future__ import annotations

from rescan.paths import GradcamFolder
from rescan.reporting.figures.style import COLORS, LINES, PathLike, canvas, legend_above
from rescan.results.map_checks_file import MapChecks
from rescan.results.map_files import MapSummary

SCORES = {"probability": "probability of the\nexplained class", "grade": "grade as a share\nof the highest"}


def map_checks(summary: MapSummary, folder: GradcamFolder) -> None:
    """Draw checks.png beside the summary that it is drawn from."""
    deletion_and_insertion(summary.checks, folder.checks_figure)


def deletion_and_insertion(checks: MapChecks, out: PathLike) -> None:
    """Draw the mean score while blocks are blurred (above) and while they come back (below), beside random order.

    Args:
        checks: Of an arm's maps.
        out: The PNG.
    """
    curves = checks.curves
    backwards = [1 - share for share in reversed(curves.shares)]
    panels = (
        ("deletion: share of the image that is blurred", curves.deletion, curves.shares, curves.random),
        ("insertion: share that has come back", curves.insertion, backwards, curves.random[::-1]),
    )
    with canvas(out, 5.4) as figure:
        for axes, (title, scores, shares, random) in zip(figure.subplots(2, 1, sharex=True, sharey=True), panels):
            axes.plot(curves.shares, scores, "o-", color=COLORS[0], label="the map's order")
            axes.plot(shares, random, "s", linestyle=LINES[1], color=COLORS[1], label="random order")
            axes.set(xlabel=title, ylabel=SCORES[checks.score], xlim=(-0.02, 1.02))
            axes.tick_params(labelbottom=True)
        legend_above(figure)
