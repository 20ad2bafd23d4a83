"""Tables as files: what a spreadsheet, LaTeX and Markdown read of them."""

from __future__ import annotations

import csv
import re
from io import StringIO

import pytest

from rescan.reporting.tables.export_table import ExportTable, to_csv, to_latex, to_markdown, write_table_files
from rescan.reporting.text.latex import escaped
from rescan.reporting.text.words import Value

ROWS = [
    ("a_1 & b", 1234, Value(0.123456789, 0.1, 0.2), "accuracy"),
    ("=1+1", None, Value(-0.5), "macro_f1"),
    ("[x] 50 % {y}\n$z$ #~^\\", 2, None, "–"),
]
TABLE = ExportTable("my_table", "Scores, 95 % interval.", ("arm", "n", "value", "metric"), ROWS)


def test_csv_has_full_numbers_bounds_in_columns_of_their_own_and_no_formula():
    rows = list(csv.reader(StringIO(to_csv(TABLE))))
    assert rows == [
        ["arm", "n", "value", "value_low", "value_high", "metric"],
        ["a_1 & b", "1234", "0.123456789", "0.1", "0.2", "accuracy"],
        ["'=1+1", "", "-0.5", "", "", "macro_f1"],
        ["[x] 50 % {y} $z$ #~^\\", "2", "", "", "", "–"],
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r\n="])
def test_a_text_is_never_a_formula_but_a_negative_number_stays_one(start):
    table = ExportTable("t", "", ("text", "number"), [(f"{start}cmd", -1.5)])
    (_, row) = csv.reader(StringIO(to_csv(table), newline=""))
    assert row[0] == f"'{start.strip()}cmd"
    assert float(row[1]) == -1.5


def test_latex_has_rules_rounded_numbers_and_as_many_cells_in_each_row():
    text = to_latex(TABLE)
    body = text.split(r"\endhead")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert body == [
        r"a\_1 \& b & 1,234 & 0.123 (0.100--0.200) & accuracy \\",
        r"=1+1 & -- & $-$0.500 & macro F1 \\",
        r"{[}x] 50 \% \{y\} \$z\$ \#\textasciitilde{}\textasciicircum{}\textbackslash{} & 2 & -- & -- \\",
    ]
    assert r"\begin{longtable}{lrrl}" in text
    assert r"\caption{Scores, 95 \% interval.}\label{tab:my-table}" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{longtable}"):
        assert text.count(rule) == 1


def test_every_special_letter_of_latex_is_escaped():
    bare = re.sub(r"\\(text[a-z]+\{\}|[&%$#_{}])", "", escaped('\\&%$#_{}~^<>|"'))
    assert bare == ""
    assert escaped("κ ≥ −0.5 ± 2 “x” a–b") == "$\\kappa$ $\\geq$ $-$0.5 $\\pm$ 2 ``x'' a--b"


def test_long_texts_break_lines():
    text = to_latex(ExportTable("t", "", ("arm", "reason"), [("a", "word " * 30)]))
    assert r"\begin{longtable}{l>{\raggedright\arraybackslash}p{" in text


def test_markdown_shows_letters_as_they_are():
    lines = to_markdown(ExportTable("t", "C", ("a",), [("x|y_z*<b>",)])).splitlines()
    assert lines == ["**C**", "", "| A |", "| --- |", r"| x\|y\_z\*\<b\> |"]


def test_columns_that_are_empty_are_left_out_for_readers_alone():
    table = ExportTable("t", "C", ("a", "b", "c"), [("x", None, 1), ("y", "", 2)], ["A", "B", "C"])
    assert to_csv(table).splitlines() == ["a,b,c", "x,,1", "y,,2"]
    assert r"A & C \\" in to_latex(table)
    assert to_markdown(table).splitlines()[2:] == ["| A | C |", "| --- | --- |", "| x | 1 |", "| y | 2 |"]


def test_a_table_without_rows_is_whole(tmp_path):
    write_table_files(tmp_path, ExportTable("empty", "None.", ("a", "b"), []))
    assert (tmp_path / "empty.csv").read_text("utf-8") == "a,b\n"
    assert r"A & B \\" in (tmp_path / "empty.tex").read_text("utf-8")
