"""`rescan verify`: whether results are still what their provenance says, and agree with each other."""

from __future__ import annotations

from pathlib import Path

from rescan.data.sources.digests import changed_files
from rescan.errors import RescanError
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.provenance_file import read_provenance
from rescan.results.source import SourceReport
from rescan.study import Study
from rescan.trace.checksums import check_files
from rescan.trace.neighbors import check_neighbors
from rescan.trace.page_agreement import check_overview, check_page
from rescan.trace.place import in_place, studies_below, with_externals
from rescan.trace.verified import Findings


def verify(results: Path, *, sources: bool = False, stores: bool = False) -> Findings:
    """Verify results.

    Args:
        results: A study's folder, or one that holds some: `results/<scale>` or `results`.
        sources: Whether to read all images of the sources again, for the checksum in source.json.
        stores: Whether to read the arrays of packed stores again.

    Raises:
        RescanError: There are no results.
    """
    findings = Findings()
    for home in studies_below(results):
        for folder in with_externals(home):
            logger.info("%s: verifying", folder)
            try:
                with in_place(folder) as study:
                    findings.add(_of_study(study, sources=sources, stores=stores))
            except RescanError as error:
                findings.error(error)
    return findings


def _of_study(study: Study, *, sources: bool, stores: bool) -> Findings:
    findings, paths = Findings(), Paths(study.scale, study.name)
    calls, faults = read_provenance(paths.provenance)
    of_all, more_faults = read_provenance(Paths.provenance_of_all())
    findings.wrong += [*faults, *more_faults]
    if not calls:
        remedy = "run its steps with this version of Rescan"
        findings.fault(paths.provenance, "there is no provenance, so no checksum to compare with", remedy)
    check_files(study, {**of_all, **calls}, findings, stores=stores)
    check_neighbors(study, findings, stores=stores)
    if study.home is None:
        check_page(study, calls, findings)
        check_overview(findings)
    if sources:
        _check_sources(study, paths, findings)
    return findings


def _check_sources(study: Study, paths: Paths, findings: Findings) -> None:
    """Read the images of all sources again."""
    try:
        report = SourceReport.read(paths.source)
    except RescanError as error:
        findings.error(error)
        return
    for known in [report, *report.extra.values()]:
        if not Path(known.root).is_dir():
            findings.note(f"{known.root}: the images are not here, so sources could not be checked")
            return
        findings.checked, findings.bytes = findings.checked + known.files, findings.bytes + known.bytes
    try:
        changed = changed_files(study)
    except RescanError as error:
        findings.error(error)
        return
    findings.wrong += [f"{line} since download; put it back, or run download again" for line in changed]
