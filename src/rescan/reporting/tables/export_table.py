"""A table as files: CSV with full numbers, LaTeX (booktabs) with rounded ones, Markdown."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Optional, Union

from rescan.files import writing
from rescan.reporting.text.latex import escaped
from rescan.reporting.text.words import Quantity, interval, metric, number, title

Cell = Optional[Union[str, int, float, Quantity]]  # None: unknown, or does not apply

FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the start of a formula
OPENING = ("[", "*")  # behind the end of a row LaTeX would take these for its options
DIGITS = 3
WIDE = 60  # characters; longer texts get a column that breaks lines
HEAD = "% \\usepackage{array,booktabs,longtable} \\usepackage[utf8]{inputenc} \\usepackage[T1]{fontenc}\n"


@dataclass(frozen=True)
class ExportTable:
    """A table to be written.

    Attributes:
        name: Of its files, without an ending.
        caption: One sentence.
        columns: A name per column, as in a CSV file: small letters, `_` between words.
        rows: A cell per column. A quantity becomes three columns of the CSV file: `x`, `x_low` and `x_high`.
        titles: A title per column in LaTeX and Markdown; made of the names if there are none.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    titles: Sequence[str] = ()

    @property
    def heads(self) -> list[str]:
        """What stands above the columns, for a reader."""
        return list(self.titles) or [title(name) for name in self.columns]

    @property
    def texts(self) -> list[list[str]]:
        """The rows as a reader sees them: rounded, metrics by their names."""
        columns = self.columns
        return [
            [
                metric(cell) if name == "metric" and isinstance(cell, str) else shown(cell)
                for name, cell in zip(columns, row)
            ]
            for row in self.rows
        ]


def write_table_files(folder: str | Path, table: ExportTable) -> None:
    """Write `<name>.csv` and `<name>.tex` into a folder."""
    for suffix, text in ((".csv", to_csv(table)), (".tex", to_latex(table))):
        with writing(Path(folder, table.name + suffix)) as temporary:
            temporary.write_text(text, "utf-8")


def to_csv(table: ExportTable) -> str:
    """The table as CSV: full numbers, empty fields for what is unknown; no text is a spreadsheet's formula."""
    wide = [any(_is_quantity(row[place]) for row in table.rows) for place in range(len(table.columns))]
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [[name, f"{name}_low", f"{name}_high"] if of else [name] for name, of in zip(table.columns, wide)]
    writer.writerow(name for group in names for name in group)
    for row in table.rows:
        fields = [_fields(cell) if of else [_field(cell)] for cell, of in zip(row, wide)]
        writer.writerow(field for group in fields for field in group)
    return out.getvalue()


def _is_quantity(cell: Cell) -> bool:
    return not isinstance(cell, (str, int, float)) and cell is not None


def _fields(cell: Cell) -> list[str]:
    """Value, low and high; a text or a single number stands in the first."""
    if cell is None or isinstance(cell, (str, int, float)):
        return [_field(cell), "", ""]
    return [_field(value) for value in (cell.value, cell.low, cell.high)]


def _field(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        text = " ".join(cell.split())
        return f"'{text}" if text.startswith(FORMULA) else text
    return repr(float(cell)) if isinstance(cell, float) else str(cell)


def _for_readers(table: ExportTable) -> ExportTable:
    """A table without the columns that are empty in all of its rows, which a CSV file keeps."""
    kept = [
        place
        for place in range(len(table.columns))
        if not table.rows or any(shown(row[place]) not in ("", "–") for row in table.rows)
    ]
    rows = [[row[place] for place in kept] for row in table.rows]
    return replace(
        table,
        columns=[table.columns[place] for place in kept],
        rows=rows,
        titles=[table.titles[place] for place in kept] if table.titles else (),
    )


def to_latex(table: ExportTable) -> str:
    """The table as a `longtable` with the rules of booktabs, which breaks over pages."""
    table = _for_readers(table)
    columns = list(zip(*table.rows)) if table.rows else [()] * len(table.columns)
    kinds = "".join(_column_kind(cells, len(table.columns)) for cells in columns)
    lines = [
        HEAD + rf"\begin{{longtable}}{{{kinds}}}",
        rf"\caption{{{escaped(table.caption)}}}\label{{tab:{table.name.replace('_', '-')}}}\\",
        r"\toprule",
        _latex_row(table.heads),
        r"\midrule",
        r"\endhead",
        *map(_latex_row, table.texts),
        r"\bottomrule",
        r"\end{longtable}",
    ]
    return "\n".join(lines) + "\n"


def _column_kind(cells: Sequence[Cell], count: int) -> str:
    """Texts on the left, numbers on the right; long texts in a column of a share of the line."""
    if any(isinstance(cell, str) and len(cell) > WIDE for cell in cells):
        return rf">{{\raggedright\arraybackslash}}p{{{0.9 / min(count, 3):.2f}\linewidth}}"
    return "r" if any(not isinstance(cell, str) and cell is not None for cell in cells) else "l"


def _latex_row(texts: Sequence[str]) -> str:
    cells = [f"{{{text[0]}}}{escaped(text[1:])}" if text.startswith(OPENING) else escaped(text) for text in texts]
    return " & ".join(cells) + r" \\"


def shown(cell: Cell) -> str:
    """A cell as a reader sees it: rounded, with its interval; "–" for what is unknown."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return " ".join(cell.split())
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return number(cell, DIGITS)
    return f"{number(cell.value, DIGITS)} {interval(cell)}".rstrip()


def to_markdown(table: ExportTable) -> str:
    """The table as Markdown, as journals' forms and code hosts show it."""
    table = _for_readers(table)
    rows = [" | ".join(map(escaped_markdown, row)) for row in (table.heads, *table.texts)]
    rows.insert(1, " | ".join(["---"] * len(table.columns)))
    lines = [f"| {row} |" for row in rows]
    return "\n".join([f"**{escaped_markdown(table.caption)}**", "", *lines]) + "\n"


def escaped_markdown(text: str) -> str:
    """A text, on one line, as Markdown that shows just that."""
    return "".join(f"\\{letter}" if letter in "\\|*_`<>[]" else letter for letter in text)
