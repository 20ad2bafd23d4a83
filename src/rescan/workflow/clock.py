"""Files whose times lie in the future, because the clock was wrong when they were written, or is now."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from rescan.paths import RAW, RAW_EXTRA, Paths
from rescan.workflow.plan import Plan

TOLERANCE = 60 * 10**9  # nanoseconds; what is less is over before it matters


def set_right(plan: Plan) -> None:
    """Where results of the plan's studies are of the future, bring the times of all back, the latest to now.

    Snakemake makes anew what is older than its inputs: behind such a file again and again, until its time has come. All
    results are moved by as much, also those that are not of the future: so what is newer than what stays as it was.
    """
    now, times = time.time_ns(), dict[str, int]()
    folders = [folder for study in plan.studies for folder in (plan.paths(study).results, plan.paths(study).data)]
    for place in _places([*folders, os.path.dirname(Paths.weights(""))]):  # noqa: PTH120 - all are texts here
        with suppress(OSError):  # gone meanwhile
            times[place] = os.lstat(place).st_mtime_ns
    later = [place for place, changed in times.items() if changed > now + TOLERANCE]
    if not later:
        return
    shift = max(times.values()) - now
    for place, changed in times.items():
        try:
            os.utime(place, ns=(changed - shift, changed - shift), follow_symlinks=False)
        except OSError as error:
            _say(f"{place}: its time cannot be set ({error.strerror}): it may be made again")
    _say(f"{len(later)} results, such as {later[0]}, were of the future (a clock was wrong): now they are not")


def _places(folders: list[str]) -> Iterator[str]:
    """All that lies in folders, but for data sets."""
    for folder in folders:
        for above, names, files in os.walk(folder):
            names[:] = [name for name in names if name not in (RAW, RAW_EXTRA)]
            yield from (f"{above}/{name}" for name in [*names, *files])


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - among Snakemake's own words
