"""Whether the page of a study and the tables beside it say what the results say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rescan import checkout
from rescan.errors import RescanError
from rescan.paths import OVERVIEW, Paths
from rescan.reporting.page.overview import overview_page
from rescan.reporting.page.study_view import study_view
from rescan.reporting.tables.export_table import to_csv
from rescan.results.provenance_file import Provenance, provenance_of, provenance_path
from rescan.study import Study
from rescan.trace.crate import crate
from rescan.trace.verified import Findings


def check_page(study: Study, calls: Mapping[str, Provenance], findings: Findings) -> None:
    """Make the tables of the page again from the results, and compare; likewise the crate, from the provenance.

    That the page itself is made of these results, and was not edited since, its provenance shows. Tables that another
    version of the code made may differ from what this one makes: then it is no fault.

    Args:
        study: The study.
        calls: Its provenance, by path.
        findings: Where to put what is wrong.
    """
    paths = Paths(study.scale, study.name)
    if not Path(paths.crate).is_file():
        if provenance_path("report", paths) in calls:
            findings.fault(paths.crate, "is missing; report made it", "run report again")
    elif not _says(Path(paths.crate), crate(study, provenance_of(study)[0])):
        findings.fault(paths.crate, "does not say what the provenance says", "run report again")
    if not Path(paths.page).is_file():
        findings.note(f"{paths.page}: there is no page")
        return
    try:
        tables = study_view(study).paper.tables
    except RescanError as error:
        findings.error(error)
        return
    call = calls.get(provenance_path("report", paths))
    same = call is not None and [code.checksum for code in call.code] == [checkout.code().checksum]
    for table in tables:
        path = Path(paths.tables, f"{table.name}.csv")
        if not _says(path, to_csv(table)):
            if same:
                findings.fault(str(path), "does not say what the results say", "run report again")
            else:
                findings.note(f"{path}: this version of Rescan would write it otherwise; `rescan report` does")


def check_overview(findings: Findings) -> None:
    """Compare the page of all studies, which no step's provenance names: it changes with each report."""
    if Path(OVERVIEW).is_file() and not _says(Path(OVERVIEW), overview_page()):
        findings.note(f"{OVERVIEW}: is not the page that this version of Rescan makes now; `rescan report` does")


def _says(path: Path, text: str) -> bool:
    try:
        return path.read_text("utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
