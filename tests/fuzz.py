"""Random mutations of what Rescan reads: each is taken, or refused in lines that name the file; no traceback, no hang.

`python -m tests.fuzz study config --count 10000 --seed 1` mutates each study file, then config.yaml. The other targets
are the files between steps, of `tests.fuzz_results`.
"""

from __future__ import annotations

import argparse
import copy
import logging
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

from tests import fuzz_results
from tests.time_limit import TooLong, time_limit

from rescan.errors import RescanError
from rescan.study import SCALES, Settings, Study
from rescan.study import file as study_file
from rescan.study.yaml_text import parsed, read_yaml
from rescan.workflow.plan import Plan

ROOT = Path(__file__).parent.parent
STUDIES = [*sorted(ROOT.glob("studies/*.yaml")), *sorted(ROOT.glob("docs/examples/*.yaml"))]
SECONDS = 5  # of computing that a case may take
AS_TEXT = 0.25  # share of cases that change the text rather than the tree that is read of it: these take longer
NASTY = [
    None, True, False, 0, 1, -1, 2, 10**30, -(10**30), 0.5, 1e308, -1e-308, "", " ", "a", "no", "null", "1", "..", "/",
    "~nouser/x", "-x", "CON", "x" * 300, "a\nb", "ä", "рaper", "\u202e", "manifest.csv", "index", "*", "(a+)+b", "[",
    "{}", "%s {0} {name}", "http://[::1", "https://", "file:///etc/passwd", "/dev/zero", "/dev/full", "own", "imagenet",
    "none", "published", "linear", "name", [], [[]], [None], [1, 2], ["a"], ["a", "a"], {}, {"name": None},
    {"name": "x"}, {"": {}}, {"a": {}}, {"name": []}, {"best": "auroc"}, {"by": "site", "values": ["a", "b"]},
]  # fmt: skip
PIECES = [
    "&a ",
    "*a",
    "<<: *a\n",
    "- ",
    ": ",
    "\t",
    "\0",
    "\ufeff",
    "'",
    '"',
    "{",
    "}",
    "[",
    "]",
    "#",
    "!!set ",
    "|\n",
    "\r",
]


def run(target: str, count: int, seed: int) -> list[str]:
    """Mutate what a target reads, `count` times each; returns what went wrong, one text per case."""
    return TARGETS[target](count, seed)


def study(count: int, seed: int) -> list[str]:
    """Mutations of each study file, read at both scales."""
    return [fault for path in STUDIES for fault in of_study(path, count, seed)]


def of_study(path: Path, count: int, seed: int) -> list[str]:
    """Mutations of one study file."""
    text = path.read_text("utf-8")
    tree = read_yaml(path)
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, path.name)
        for chance, case in _cases(count, seed, path.stem):
            mutated = _changed_text(text, chance) if chance.random() < AS_TEXT else _changed_tree(tree, chance)
            faults += _watched(case, mutated, lambda what=mutated: _load(place, what))
    return faults


def _load(place: Path, what: object) -> None:
    reads = mock.patch.object(study_file, "read_yaml", lambda _: copy.deepcopy(what))  # noqa: PT008 - each time anew
    if isinstance(what, bytes):
        place.write_bytes(what)
        reads = mock.patch.object(study_file, "read_yaml", read_yaml)
    for scale in SCALES:
        try:
            with reads:
                loaded = study_file.load(place, Settings(scale))
        except RescanError as error:
            _check_lines(error, (str(place),))
        else:
            written = loaded.model_dump_json(indent=1).encode()
            assert Study.model_validate_json(written) == loaded, "is read back as another study"


def config(count: int, seed: int) -> list[str]:
    """Mutations of config.yaml, with the studies that it then names."""
    text = (ROOT / "config.yaml").read_text("utf-8")
    tree = read_yaml(ROOT / "config.yaml")
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for chance, case in _cases(count, seed, "config"):
            mutated = _changed_text(text, chance) if chance.random() < AS_TEXT else _changed_tree(tree, chance)
            faults += _watched(case, mutated, lambda what=mutated: _plan(Path(folder), what))
    return faults


def _plan(folder: Path, what: object) -> None:
    if isinstance(what, bytes):
        try:
            what = parsed(what.decode("utf-8-sig"))
        except ValueError as error:
            what = RescanError(f"config: {error}")
            _check_lines(what, ("config: ",))
    if isinstance(what, dict):
        try:
            Plan(copy.deepcopy(what), ROOT, folder)
        except RescanError as error:
            _check_lines(error, ("config: ", str(ROOT), str(folder)))


def _check_lines(error: RescanError, starts: tuple[str, ...]) -> None:
    for line in str(error).splitlines() or [""]:
        assert line.startswith(starts), f"a line does not name the file: {line!r}"
        assert line.isprintable(), f"a line with control characters: {line!r}"


def _cases(count: int, seed: int, name: str) -> Iterator[tuple[random.Random, str]]:
    """A source of chance for each case, and how to repeat the case."""
    for number in range(count):
        yield random.Random(f"{seed} {name} {number}"), f"{name}, seed {seed}, case {number}"


def _watched(case: str, mutated: object, check: Callable[[], None]) -> list[str]:
    """What goes wrong in a case; nothing, if all is well."""
    try:
        with time_limit(SECONDS):
            check()
    except (Exception, TooLong):  # noqa: BLE001 - whatever it is, it is a fault
        return [f"{case}: {mutated!r:.2000}\n{traceback.format_exc(limit=-6)}"]
    return []


def _changed_tree(tree: dict[str, object], chance: random.Random) -> dict[str, object]:
    """A copy of a tree of mappings and lists with up to three changes."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(tree))
        if not places:
            break
        box, key = chance.choice(places)
        other_box, other_key = chance.choice(places)
        change = chance.randrange(8)
        if change <= 2:
            box[key] = copy.deepcopy(chance.choice(NASTY))
        elif change == 3:
            del box[key]
        elif change == 4:
            box[key] = copy.deepcopy(other_box[other_key])
        elif change == 5 and isinstance(box, dict):
            box[_misspelled(str(key), chance)] = box.pop(key)
        elif change == 6 and isinstance(box, dict):
            box[str(chance.choice(NASTY)).replace("\n", " ")] = copy.deepcopy(box[key])
        elif isinstance(box, list):
            box.insert(chance.randint(0, len(box)), copy.deepcopy(other_box[other_key]))
        else:
            box[key] = chance.choice([[box[key]], {"name": box[key]}, str(box[key])])
    return tree


def _places(tree: object) -> Iterator[tuple[dict | list, object]]:
    """Where each value of a tree stands: a mapping or list, and its key there."""
    if isinstance(tree, (dict, list)):
        for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
            yield tree, key
            yield from _places(value)


def _misspelled(name: str, chance: random.Random) -> str:
    place = chance.randint(0, len(name))
    return chance.choice([name[:place] + chance.choice("xé ._") + name[place:], name[:place], name.upper()])


def _changed_text(text: str, chance: random.Random) -> bytes:
    """Text with up to three changes of its lines, signs or bytes."""
    for _ in range(chance.randint(1, 3)):
        place, change = chance.randint(0, len(text)), chance.randrange(5)
        lines = text.splitlines(keepends=True)
        line = chance.randrange(len(lines) or 1)
        if change == 0:
            text = text[:place] + chance.choice(PIECES) + text[place:]
        elif change == 1:
            text = text[:place] + text[place + chance.randint(1, 40) :]
        elif change == 2:
            text = "".join(lines[:line] + lines[line + 1 :])
        elif change == 3:
            text = "".join([*lines[: line + 1], chance.choice(lines or [""]), *lines[line + 1 :]])
        else:
            content = bytearray(text.encode())
            content[place % len(content or b"x") : place % len(content or b"x") + 1] = bytes([chance.randrange(256)])
            text = content.decode("utf-8", "replace") if chance.random() < 0.5 else content.decode("latin-1")
    content = text.encode()
    return content[:-1] + b"\xff" if chance.random() < 0.02 else content


TARGETS: dict[str, Callable[[int, int], list[str]]] = {
    "study": study,
    "config": config,
    **{name: partial(fuzz_results.run, name) for name in fuzz_results.TARGETS},
}


def main() -> None:
    """Run targets and print what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", choices=TARGETS)
    parser.add_argument("--count", type=int, default=1000, help="of mutations, of each file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("rescan").setLevel(logging.ERROR)
    total = 0
    for target in options.targets:
        began = time.monotonic()
        faults = run(target, options.count, options.seed)
        took = time.monotonic() - began
        result = f"{target}: {options.count} cases of each file, {len(faults)} faults, {took:.0f} s"
        print(*faults, result, sep="\n", flush=True)  # noqa: T201
        total += len(faults)
    sys.exit(total > 0)


if __name__ == "__main__":
    main()
