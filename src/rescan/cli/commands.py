"""The command line: one command per rule of the workflow, and those for people. No logic lives here.

Every step takes the resolved study (`results/<scale>/<study>/study.json`) and finds its inputs and outputs beside it
(`rescan.paths`), in the folder that it is run in.
"""

import os
import sys
from typing import NoReturn

import typer

from rescan import stopping
from rescan.cli import steps, tools, trained
from rescan.errors import RescanError, in_words
from rescan.log import logger
from rescan.memory import watched
from rescan.stopping import Stopped

# Threads of torch that wait must not keep cores busy: three trainings that shared two cores took six times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
for command in (
    tools.resolve,
    steps.download,
    steps.weights,
    steps.index,
    steps.audit,
    steps.split,
    steps.preprocess,
    steps.explore,
    steps.train,
    steps.pretrain,
    trained.export,
    steps.infer,
    steps.ensemble,
    steps.posttrain,
    steps.evaluate,
    steps.gradcam,
    steps.compare,
    steps.report,
    trained.predict,
    trained.evaluate_on,
    trained.bundle,
    trained.watch,
    tools.init,
    tools.check,
    tools.schema,
    tools.estimate,
    tools.doctor,
    tools.verify,
    tools.clean,
):
    app.command()(command)


def main() -> None:
    """Run the command; a user's mistake, or a fault of the machine, ends in one line and exit code 1."""
    _open_standard_streams()
    try:
        try:
            with watched():
                app()
        finally:
            sys.stdout.flush()  # else a full disk behind it is said by Python, when it is too late for an exit code
    except Stopped:
        _fail(stopping.line(), stopping.exit_code() or 1)
    except RescanError as error:
        _fail(str(error), stopping.exit_code() or 1)
    except Exception as error:  # noqa: BLE001 - whatever it is, the log must have it
        line = in_words(error)
        if line is not None:
            _fail(line)
        logger.exception("unexpected error; this is a fault of Rescan, please report it with the lines below")
        sys.exit(1)


def _fail(lines: str, code: int = 1) -> NoReturn:
    for line in lines.splitlines():
        logger.error(line)
    try:
        sys.stdout.flush()
    except OSError:  # else Python tries again at the end, and says so
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _open_standard_streams() -> None:
    """Open those that are closed, to nowhere; else the next file gets such a number, and messages go into it."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdin, sys.stdout, sys.stderr = (
        stream or open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the whole process
        for number, (stream, mode) in enumerate(((sys.stdin, "r"), (sys.stdout, "w"), (sys.stderr, "w")))
    )
