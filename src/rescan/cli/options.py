"""The arguments and options that several commands share."""

# No `from __future__ import annotations` here: on Python 3.9, typer cannot read annotations that are strings.
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer


class DeviceName(str, Enum):
    """The device to compute on; `auto` takes a GPU if there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Resolved = Annotated[Path, typer.Argument(help="the resolved study: results/<scale>/<study>/study.json")]
Log = Annotated[Optional[Path], typer.Option(help="write the messages to this file too")]
Arm = Annotated[str, typer.Option(help="the arm's name")]
Fold = Annotated[int, typer.Option(help="the fold, from 0")]
Seed = Annotated[int, typer.Option(help="the seed of the run")]
Device = Annotated[DeviceName, typer.Option(help="what to compute on", envvar="RESCAN_DEVICE")]
Threads = Annotated[
    int, typer.Option(help="torch threads on a CPU; another number changes last digits", envvar="RESCAN_THREADS")
]
Processes = Annotated[int, typer.Option(help="processes that read images")]
JobsPerGpu = Annotated[int, typer.Option(help="how many jobs may share one GPU", envvar="RESCAN_JOBS_PER_GPU")]
Runtime = Annotated[
    float,
    typer.Option(min=0, help="minutes until the job is killed: it stops before, with a checkpoint; 0: never"),
]
Preparation = Annotated[str, typer.Option(help="the preparation's name")]
At = Annotated[
    Optional[str], typer.Option(help="an operating point of the arm, such as sensitivity_95: a column of its answers")
]
