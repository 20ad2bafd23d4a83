"""The arguments and options that several commands share."""

# No `from __future__ import annotations` here: on Python 3.9, typer cannot read annotations that are strings.
import math
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from rescan.errors import RescanError
from rescan.named_files import output


class DeviceName(str, Enum):
    """The device to compute on; `auto` takes a GPU if there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


MOST_PROCESSES = 1024
MOST_MINUTES = 1e7  # 19 years
MOST_MILLIMETERS = 1e5


def _log(path: Optional[Path]) -> Optional[Path]:
    """Refuse a log that is a pipe or device, which would wait for ever or be full, or that cannot be written."""
    try:
        return path if path is None else output(path)
    except (OSError, RescanError) as error:
        raise typer.BadParameter(str(error)) from None


def finite(value: float) -> float:
    """Refuse what is neither more nor less than any bound."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


def _sizes(extent: Optional[tuple[float, float, float]]) -> Optional[tuple[float, float, float]]:
    """Refuse sizes that nothing has."""
    for size in extent or ():
        if not 0 < size <= MOST_MILLIMETERS:
            raise typer.BadParameter(f"{size:g} millimeters are no size; give numbers above 0")
    return extent


Resolved = Annotated[Path, typer.Argument(help="the resolved study: results/<scale>/<study>/study.json")]
TrainedArm = Annotated[
    Path, typer.Argument(help="an arm's folder, such as results/demo/brain_tumor/cnn5, or a bundle made of one")
]
Log = Annotated[Optional[Path], typer.Option(help="write the messages to this file too", callback=_log)]
Arm = Annotated[str, typer.Option(help="the arm's name")]
Fold = Annotated[int, typer.Option(min=0, max=999, help="the fold, from 0")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="the seed of the run")]
Device = Annotated[DeviceName, typer.Option(help="what to compute on", envvar="RESCAN_DEVICE")]
Threads = Annotated[
    int,
    typer.Option(
        min=1,
        max=MOST_PROCESSES,
        help="torch threads on a CPU; another number changes last digits",
        envvar="RESCAN_THREADS",
    ),
]
Processes = Annotated[int, typer.Option(min=1, max=MOST_PROCESSES, help="processes that read images")]
JobsPerGpu = Annotated[
    int, typer.Option(min=1, max=64, help="how many jobs may share one GPU", envvar="RESCAN_JOBS_PER_GPU")
]
Runtime = Annotated[
    float,
    typer.Option(
        min=0,
        max=MOST_MINUTES,
        callback=finite,
        help="minutes until the job is killed: it stops before, with a checkpoint; 0: never",
    ),
]
Preparation = Annotated[str, typer.Option(help="the preparation's name")]
At = Annotated[
    Optional[str], typer.Option(help="an operating point of the arm, such as sensitivity_95: a column of its answers")
]
Extent = Annotated[
    Optional[tuple[float, float, float]],
    typer.Option(help="millimeters along depth, height and width", callback=_sizes),
]
