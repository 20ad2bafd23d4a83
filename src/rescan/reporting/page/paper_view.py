"""What the page offers for a paper: methods, tables, citations, checklists, the command; and their files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rescan.files import writing
from rescan.paths import Paths
from rescan.reporting.checklists.claim_2024 import CLAIM
from rescan.reporting.checklists.items import FilledChecklist, filled
from rescan.reporting.checklists.tripod_ai import TRIPOD
from rescan.reporting.page.arms_table import ArmsTable
from rescan.reporting.tables.decision_exports import decision_tables, map_check_table
from rescan.reporting.tables.export_table import ExportTable, to_markdown, write_table_files
from rescan.reporting.tables.score_exports import comparison_tables, map_table, score_tables
from rescan.reporting.text import citations, methods
from rescan.reporting.text.citations import Citation
from rescan.reporting.text.rerun import Rerun, rerun
from rescan.reporting.text.run_facts import run_facts
from rescan.reporting.text.versions import versions
from rescan.reporting.text.words import number
from rescan.results.comparison import Comparison
from rescan.results.metrics_file import Metrics
from rescan.study import Study


@dataclass(frozen=True)
class PaperView:
    """What a paper about the study needs.

    Attributes:
        folder: The folder of the files, as the page links to it.
        methods: The paragraphs.
        tables: All tables.
        citations: What to cite.
        checklists: With what this run answers.
        rerun: How to run it again.
    """

    folder: str
    methods: Sequence[str]
    tables: Sequence[ExportTable]
    citations: Sequence[Citation]
    checklists: Sequence[FilledChecklist]
    rerun: Rerun


def paper_view(
    study: Study, arms: Sequence[Metrics], first_table: ArmsTable, comparison: Sequence[Comparison]
) -> PaperView:
    """Collect what a paper needs.

    Args:
        study: The study.
        arms: The results of the arms that have some.
        first_table: The page's table of the arms.
        comparison: The rows of comparison.csv.

    Raises:
        RescanError: A file that is there is damaged.
    """
    paths, facts = Paths(study.scale, study.name), run_facts(study, arms)
    tables = [
        _arms(first_table),
        *score_tables(arms),
        *decision_tables(arms),
        *comparison_tables(comparison),
        *map_table(facts.maps),
        *map_check_table(facts.maps),
    ]
    return PaperView(
        folder=os.path.relpath(paths.tables, Path(paths.page).parent),
        methods=methods.methods(facts, versions()),
        tables=tables,
        citations=citations.citations(study, facts.is_phantom),
        checklists=[filled(checklist, facts) for checklist in (CLAIM, TRIPOD)],
        rerun=rerun(study, facts),
    )


def _arms(table: ArmsTable) -> ExportTable:
    """The page's first table, with what stands there beside a number: that an arm diverged or collapsed."""
    columns = ["arm", *(re.sub(r"\W+", "_", title.lower()) for title in table.columns), "caution"]
    rows = [
        (row.name, *(None if cell == number(None) else cell for cell in row.cells), row.strong or None)
        for row in table.rows
    ]
    return ExportTable("arms", "The arms and references.", columns, rows, ["Arm", *table.columns, "Caution"])


def write_paper(study: Study, view: PaperView) -> None:
    """Write the files: tables as CSV and LaTeX, checklists also as Markdown, methods, citations."""
    folder = Path(Paths(study.scale, study.name).tables)
    for table in [*view.tables, *(checklist.table for checklist in view.checklists)]:
        write_table_files(folder, table)
    texts = {
        "methods.txt": methods.as_text(view.methods),
        "cite.txt": citations.as_text(list(view.citations)),
        "cite.bib": citations.as_bibtex(list(view.citations)),
        **{f"{checklist.checklist.name}.md": to_markdown(checklist.table) for checklist in view.checklists},
    }
    for name, text in texts.items():
        with writing(folder / name) as temporary:
            temporary.write_text(text, "utf-8")
