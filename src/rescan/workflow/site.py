"""The page of all studies around a workflow: which studies it runs, and how it ended."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rescan.errors import RescanError
from rescan.paths import OVERVIEW
from rescan.results.progress import DONE, FAILED, Progress
from rescan.workflow.plan import Plan


class Site:
    """What a workflow says of itself on the page of all studies."""

    def __init__(self, plan: Plan) -> None:
        """Say nothing yet."""
        self.plan = plan
        self._progress: Progress | None = None

    def start(self, dag: Any) -> None:
        """List the studies that have jobs as running.

        Args:
            dag: Snakemake's graph of jobs.
        """
        wildcards = [job.wildcards for job in dag.needrun_jobs()]
        studies = {str(names.study).partition("/")[0] for names in wildcards if hasattr(names, "study")}
        try:
            self._progress = Progress(self.plan.paths(study) for study in sorted(studies))
        except OSError as error:  # of another user, or on a disk without locks
            self._say(f"{error.filename or 'results'}: {error.strerror}; {OVERVIEW} cannot say what is running")
        self._write()

    def end(self, *, succeeded: bool) -> None:
        """List them as what they are, and say where the pages are; never fail, for the workflow is over."""
        if self._progress:
            with suppress(OSError):  # of a full disk: without a word, a workflow that is over counts as stopped
                self._progress.end(DONE if succeeded else FAILED)
        self._write()
        pages = [Path(self.plan.paths(study).page) for study in self.plan.studies]
        if succeeded and all(page.is_file() for page in pages):  # not where only some rules were wanted
            self._say(*(f"The page: {page.resolve()}" for page in pages))
            self._say(f"The page of all studies: {Path(OVERVIEW).resolve()}")

    def _write(self) -> None:
        from rescan.reporting.page.overview import overview

        try:
            overview()
        except (RescanError, OSError) as error:
            self._say(f"{OVERVIEW}: cannot be written ({error}); `python -m rescan report` writes it")

    def _say(self, *lines: str) -> None:
        print(*lines, sep="\n", file=sys.stderr)  # noqa: T201 - among Snakemake's own words
