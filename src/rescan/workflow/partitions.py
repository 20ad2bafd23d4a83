"""The partitions of a SLURM cluster that jobs are to go to: one that is not there is said before the first job."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from rescan import catalogue
from rescan.errors import RescanError

KEY = "slurm_partition"
NAMES = re.compile(r"[\w.,-]+")  # one, or several with commas between; other values are expressions of Snakemake's


def check_partitions(settings: Any) -> None:
    """Check that the partitions that jobs are to go to exist.

    Args:
        settings: Snakemake's settings of resources: `default_resources.args` are texts `name=value`,
            `overwrite_resources` maps rule to name to value.

    Raises:
        RescanError: A partition is not there, or SLURM does not answer.
    """
    values = [
        value for name, _, value in (text.partition("=") for text in settings.default_resources.args) if name == KEY
    ]
    for resources in settings.overwrite_resources.values():
        values += [str(getattr(value, "orig_arg", value)) for name, value in resources.items() if name == KEY]
    names = {name for value in values if NAMES.fullmatch(value) for name in value.split(",")}
    if not names:
        return
    command = ["sinfo", "--noheader", "--format=%R"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.CalledProcessError) as error:
        why = " ".join(str(getattr(error, "stderr", "") or error).split())
        raise RescanError(f"SLURM does not answer ({why}); run this on a login node of the cluster") from None
    there = set(answer.stdout.split())
    for name in sorted(names - there):
        raise RescanError(f"{KEY}: no partition {name!r}{catalogue.suggest(name, there)}")
