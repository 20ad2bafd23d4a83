"""Reading the fields of tables that are text, however it is encoded and separated."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import re
from pathlib import Path

from rescan.errors import RescanError
from rescan.log import logger

MOST_FIELDS = 16_384  # of a row, and …
MOST_SIGNS = 32_767  # of a field, as Excel has it
STARTS = 200  # rows that say what separates fields
DELIMITERS = ",;\t|"
MARKS = {  # of the byte order; those of UTF-32 start as those of UTF-16 do
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def cells_of(path: Path, content: bytes) -> dict[int, list[str]]:
    """The fields of a separated text, by the line that a row starts in.

    Raises:
        RescanError: It is no text, or quotes in it do not match.
    """
    text = _decoded(path, content)
    said = re.match(r"sep=(.)[\r\n]", text)  # as Excel writes it
    delimiter = said[1] if said else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    lines: dict[int, list[str]] = {}
    start = 1
    try:
        for fields in reader:
            if len(fields) > MOST_FIELDS:
                raise csv.Error(f"{len(fields):,} fields, at most {MOST_FIELDS:,} are read")
            if any(len(field) > MOST_SIGNS for field in fields):
                raise csv.Error(f"a field of more than {MOST_SIGNS:,} characters")
            lines[start] = fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise RescanError(f"{path}: line {start}: not a table ({error}); mend the file") from None
    if said:
        del lines[1]
    return lines


def _decoded(path: Path, content: bytes) -> str:
    """The text of a table's bytes."""
    mark = next((mark for mark in MARKS if content.startswith(mark)), b"")
    start = content[:4000]
    of_zeros = "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
    encoding = MARKS.get(mark, of_zeros if b"\0" in start else "utf-8")
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        try:
            text = content.decode("cp1252") if encoding == "utf-8" and not mark else ""
        except UnicodeDecodeError:
            text = ""
        if not text:
            raise RescanError(f"{path}: not text ({error.reason}); save it as CSV in UTF-8") from None
        logger.warning("%s: is not UTF-8; read as Windows-1252, as Excel writes it", path)
    if "\0" in text:
        raise RescanError(f"{path}: not a table: it holds zero bytes; save it as CSV in UTF-8")
    return text


def _delimiter(text: str) -> str:
    """What separates the fields: what cuts most rows as the first, and then into most fields; a comma for one field."""
    best, most = ",", (0.0, 1)
    for delimiter in DELIMITERS:
        start = itertools.islice(io.StringIO(text, newline=""), STARTS)
        with contextlib.suppress(csv.Error):
            widths = [len(row) for row in csv.reader(start, delimiter=delimiter, skipinitialspace=True) if any(row)]
            width = max(set(widths), key=widths.count, default=1)
            quality = (widths.count(width) / len(widths) if width > 1 else 0.0, width)
            if quality > most:
                best, most = delimiter, quality
    return best
