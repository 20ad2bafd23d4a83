"""Files whose times lie in the future, because the clock was wrong when they were written, or is now."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from rescan.paths import RAW, RAW_EXTRA, Paths
from rescan.workflow.plan import Plan

TOLERANCE = 60.0  # seconds; what is less is over before it matters


def set_right(plan: Plan) -> None:
    """Bring results of the plan's studies whose times lie in the future back to now.

    Snakemake makes anew what is older than its inputs: behind such a file again and again, until its time has come. All
    are moved by as much, so that what is newer than what stays as it was.
    """
    now, later = time.time(), dict[str, float]()
    folders = [folder for study in plan.studies for folder in (plan.paths(study).results, plan.paths(study).data)]
    for place in _places([*folders, os.path.dirname(Paths.weights(""))]):  # noqa: PTH120 - all are texts here
        try:
            changed = os.lstat(place).st_mtime
        except OSError:  # gone meanwhile
            continue
        if changed > now + TOLERANCE:
            later[place] = changed
    if not later:
        return
    shift = max(later.values()) - now
    for place, changed in later.items():
        try:
            os.utime(place, (changed - shift, changed - shift), follow_symlinks=False)
        except OSError as error:
            _say(f"{place}: its time lies in the future, and cannot be set ({error.strerror}): it is made again")
    _say(f"{len(later)} results, such as {next(iter(later))}, were of the future (a clock was wrong): now they are not")


def _places(folders: list[str]) -> Iterator[str]:
    """All that lies in folders, but for data sets."""
    for folder in folders:
        for above, names, files in os.walk(folder):
            names[:] = [name for name in names if name not in (RAW, RAW_EXTRA)]
            yield from (f"{above}/{name}" for name in [*names, *files])


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - among Snakemake's own words
