"""The command line: one command per rule of the workflow, and those for people. No logic lives here.

Every step takes the resolved study (`results/<scale>/<study>/study.json`) and finds its inputs and outputs beside it
(`rescan.paths`), in the folder that it is run in.
"""

import os
import sys

import typer

from rescan import stopping
from rescan.cli import steps, tools
from rescan.errors import RescanError
from rescan.files import shown
from rescan.log import logger
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
    tools.export,
    steps.infer,
    steps.ensemble,
    steps.posttrain,
    steps.evaluate,
    steps.gradcam,
    steps.compare,
    steps.report,
    tools.predict,
    tools.evaluate_on,
    tools.init,
    tools.check,
    tools.schema,
    tools.estimate,
    tools.doctor,
    tools.clean,
):
    app.command()(command)


def main() -> None:
    """Run the command; a user's mistake ends in one line per fault and exit code 1."""
    try:
        app()
    except Stopped:
        logger.error(stopping.line())
        sys.exit(stopping.exit_code())
    except RescanError as error:
        for line in str(error).splitlines():
            logger.error(line)
        sys.exit(stopping.exit_code() or 1)
    except OSError as error:
        where = shown(error.filename or "a file")
        logger.error("%s: %s; check the path, its permissions and the disk", where, error.strerror or error)
        sys.exit(1)
    except Exception:  # noqa: BLE001 - whatever it is, the log must have it
        logger.exception("unexpected error; this is a fault of Rescan, please report it with the lines below")
        sys.exit(1)
