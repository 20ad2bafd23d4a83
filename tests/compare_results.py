"""Compare two trees of results: same scale, same seeds, code before and after a change that must not alter results.

    python tests/compare_results.py OLD/results/demo NEW/results/demo

Compared of every study and arm are: predictions byte for byte; models and arrays value for value; volumes with their
affines; the pictures of Grad-CAM pixel for pixel; tables, except for the columns of the clock; JSON files, except for
fingerprints. Any difference in these is printed, and the exit code is 1. Sentences (warnings, reasons), figures, whose
axes have words, the paragraph of methods and the visible text of the page are compared, too, and differences printed,
but they are no failure.
Not compared are resolved studies, states of trainings, provenance, TensorBoard's records, and the page that a scale
once had.
"""

# ruff: noqa: T201
from __future__ import annotations

import difflib
import html
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import nibabel
import numpy as np
import pandas as pd
from safetensors.numpy import load_file

FINGERPRINTS = {"result_key"}  # keys of JSON files
CLOCK = {"seconds", "images_per_second"}  # columns of tables
SENTENCES = {"warnings", "text", "reason", "rule", "scored"}  # keys of JSON files, columns of tables
NOT_COMPARED = re.compile(r"/\.|^\.|^index\.html$|/study\.json$|/tensorboard/|/provenance/|/ro-crate-metadata\.json$")
MOVED = (  # files that have another place now
    (r"^([^/]+)/forest\.png$", r"\1/comparison_figures/forest.png"),
    (r"^([^/]+)/ablations/([^/]+)$", r"\1/comparison_figures/ablation_\2"),
)
SHOWN = 10  # differences per file


class Difference(NamedTuple):
    """A line to print."""

    text: str
    is_failure: bool = True


def compare_bytes(old: Path, new: Path) -> Iterator[Difference]:
    if old.read_bytes() != new.read_bytes():
        lines = zip(old.read_text().splitlines(), new.read_text().splitlines())
        first = next((number for number, (a, b) in enumerate(lines, 1) if a != b), "after the shorter one's end")
        yield Difference(f"bytes differ, first in line {first}")


def compare_tables(old: Path, new: Path) -> Iterator[Difference]:
    tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in (old, new)]
    before, after = (table.drop(columns=[name for name in CLOCK if name in table]) for table in tables)
    if list(before) != list(after) or len(before) != len(after):
        yield Difference(f"{before.shape[0]} rows of {[*before]}, now {after.shape[0]} rows of {[*after]}")
        return
    for name in before:
        rows = np.flatnonzero((before[name] != after[name]).to_numpy())
        if len(rows):
            change = f"first {before[name].iloc[rows[0]]!r}, now {after[name].iloc[rows[0]]!r}"
            yield Difference(
                f"column {name}: {len(rows)} of {len(before)} rows differ, {change}", name not in SENTENCES
            )


def compare_json(old: Path, new: Path) -> Iterator[Difference]:
    return _differences(*(json.loads(path.read_text("utf-8")) for path in (old, new)))


def _differences(old: Any, new: Any, where: str = "", sentence: bool = False) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            place = f"{where}.{key}".lstrip(".")
            if key in FINGERPRINTS:
                continue
            if key in old and key in new:
                yield from _differences(old[key], new[key], place, sentence or key in SENTENCES)
            else:
                yield Difference(f"{place}: only in the {'old' if key in old else 'new'} file")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (a, b) in enumerate(zip(old, new)):
            yield from _differences(a, b, f"{where}[{place}]", sentence)
    elif old != new:
        both_text = isinstance(old, str) and isinstance(new, str)
        yield Difference(f"{where}: {old!r}, now {new!r}", not (sentence and both_text))


def compare_arrays(old: Path, new: Path) -> Iterator[Difference]:
    return _array(np.load(old, allow_pickle=False), np.load(new, allow_pickle=False))


def _array(old: np.ndarray, new: np.ndarray, name: str = "array") -> Iterator[Difference]:
    if (old.shape, old.dtype) != (new.shape, new.dtype):
        yield Difference(f"{name}: {old.dtype} {old.shape}, now {new.dtype} {new.shape}")
    elif not np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
        yield Difference(f"{name}: {int((old != new).sum())} of {old.size} values differ")


def compare_volumes(old: Path, new: Path) -> Iterator[Difference]:
    before, after = nibabel.load(old), nibabel.load(new)
    yield from _array(before.affine, after.affine, "affine")
    yield from _array(np.asarray(before.dataobj), np.asarray(after.dataobj), "values")


def compare_models(old: Path, new: Path) -> Iterator[Difference]:
    before, after = load_file(old), load_file(new)
    if [*before] != [*after]:
        yield Difference(f"names of weights differ: {sorted({*before} ^ {*after})[:4]} …")
    for name in sorted({*before} & {*after}):
        yield from _array(before[name], after[name], name)


def compare_pictures(old: Path, new: Path) -> Iterator[Difference]:
    return _array(*(cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (old, new)), "picture")


def compare_figures(old: Path, new: Path) -> Iterator[Difference]:
    for difference in compare_pictures(old, new):
        yield difference._replace(is_failure=False)


def compare_drawings(old: Path, new: Path) -> Iterator[Difference]:
    if old.read_bytes() != new.read_bytes():
        yield Difference("bytes differ", is_failure=False)


def compare_texts(old: Path, new: Path) -> Iterator[Difference]:
    for difference in compare_bytes(old, new):
        yield difference._replace(is_failure=False)


def compare_pages(old: Path, new: Path) -> Iterator[Difference]:
    texts = [visible_text(path.read_text("utf-8")) for path in (old, new)]
    for line in difflib.unified_diff(*texts, "old page", "new page", n=0, lineterm=""):
        yield Difference(line, is_failure=False)


def visible_text(page: str) -> list[str]:
    """The text of a page, one line per block."""
    page = re.sub(r"<(script|style)\b.*?</\1>|<!--.*?-->", " ", page, flags=re.DOTALL)
    page = re.sub(r"</?(a|b|i|em|strong|code|span|sub|sup|abbr)\b[^>]*>", "", page)
    blocks = re.split(r"<[^>]*>", page)
    return [line for block in blocks if (line := " ".join(html.unescape(block).split()))]


COMPARERS: tuple[tuple[str, Callable[[Path, Path], Iterator[Difference]]], ...] = (
    (r"/(predictions|submission)\.csv$", compare_bytes),
    (r"\.csv$", compare_tables),
    (r"\.json$", compare_json),
    (r"\.npy$", compare_arrays),
    (r"\.nii\.gz$", compare_volumes),
    (r"\.safetensors$", compare_models),
    (r"/gradcam/.*\.png$", compare_pictures),
    (r"\.png$", compare_figures),
    (r"\.(svg|pdf)$", compare_drawings),
    (r"/(methods\.txt|cite\.(txt|bib))$", compare_texts),
    (r"\.html$", compare_pages),
)
DRAWN = (compare_figures, compare_drawings)  # an older tree may lack them


def files_of(tree: Path) -> dict[str, Path]:
    """The files to compare by the place that they have now, relative to the tree."""
    files = {}
    for path in sorted(tree.rglob("*")):
        place = path.relative_to(tree).as_posix()
        if path.is_file() and not NOT_COMPARED.search(place):
            for pattern, replacement in MOVED:
                place = re.sub(pattern, replacement, place)
            files[place] = path
    return files


def compare_trees(old: Path, new: Path) -> tuple[dict[str, list[Difference]], Counter[str]]:
    """The differences of each file that has any, and how many files of each kind were compared."""
    before, after = files_of(old), files_of(new)
    differences: dict[str, list[Difference]] = {}
    kinds: Counter[str] = Counter()
    for place in sorted({*before, *after}):
        comparer = next((function for pattern, function in COMPARERS if re.search(pattern, f"/{place}")), compare_bytes)
        if place in before and place in after:
            lines = list(comparer(before[place], after[place]))
            kinds[comparer.__name__.removeprefix("compare_")] += 1
        else:
            lines = [Difference(f"only in the {'old' if place in before else 'new'} tree", comparer not in DRAWN)]
        if lines:
            differences[place] = lines
    return differences, kinds


def main(old: Path, new: Path) -> int:
    """Print the differences; the exit code."""
    differences, kinds = compare_trees(old, new)
    for place, lines in differences.items():
        print(f"{place}:")
        limit = len(lines) if place.endswith(".html") else SHOWN
        for line in lines[:limit]:
            print(f"  {'DIFFERS ' if line.is_failure else ''}{line.text}")
        if len(lines) > limit:
            print(f"  … and {len(lines) - limit} more")
    failures = sum(any(line.is_failure for line in lines) for lines in differences.values())
    print("compared:", ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing")
    print(f"{failures} files differ; {len(differences) - failures} in words or figures only")
    return int(failures > 0 or not kinds)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
