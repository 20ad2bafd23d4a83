"""YAML 1.2 as a tree of its own mappings, lists and scalars, bounded in size and depth whoever wrote it."""

from __future__ import annotations

import copy
import functools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescan.errors import RescanError, shown
from rescan.named_files import read_bytes

if TYPE_CHECKING:
    from ruamel.yaml.constructor import SafeConstructor

Node = Any  # of ruamel.yaml, which does not say what a node has

MOST_BYTES = 1_000_000
MOST_DEPTH = 40  # an anchor may stand in itself
MOST_VALUES = 100_000  # 10 levels of 10 aliases would be 10 ** 10
LONGEST_NUMBER = 40  # letters; a number of a million digits takes minutes to read
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
OF_STUDIES = "a study file is a mapping with keys such as title, data, recipe, arms"
PREFIX = "tag:yaml.org,2002:"
AS_WRITTEN = {"str", "timestamp", "merge", "value"}  # a class may be called 2020-01-01, or =


def read_yaml(path: str | Path, what: str = OF_STUDIES) -> dict[str, Any]:
    """Read a YAML 1.2 mapping, whose keys are text as written.

    Args:
        path: The file.
        what: Said where it is no mapping.

    Raises:
        RescanError: No such file, larger than MOST_BYTES, not valid YAML, or not a mapping.
    """
    try:
        content = parsed(read_bytes(path, MOST_BYTES).decode("utf-8-sig"))
    except ValueError as error:  # UnicodeDecodeError is one
        raise RescanError(f"{shown(path)}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise RescanError(f"{shown(path)}: {what}")
    return content


def parsed(text: str) -> Any:
    """The content of YAML text: mappings with text as keys, lists, texts, finite numbers, flags, None; nothing twice.

    Raises:
        ValueError: It is not valid, or too large with all its aliases; in one line.
    """
    return copy.deepcopy(_parsed(text))


def typed(value: Any) -> Any:
    """A value of Snakemake's `--config`, which reads texts only, as YAML 1.2 has it; what is in quotes stays text."""
    if isinstance(value, dict):
        return {str(key): typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        content = parsed(value)
    except ValueError:
        return value
    quoted = isinstance(content, str) and value[:1] in ("'", '"')
    return content if quoted or not isinstance(content, (dict, list, str)) else value


@functools.lru_cache(maxsize=16)
def _parsed(text: str) -> Any:
    """The same; kept, since a configuration's study files are read more than once."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    try:
        node = yaml.compose(text)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except YAMLError as error:
        raise ValueError(shown(" ".join(str(error).split()))) from None
    except (AssertionError, AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"the reader gives up ({type(error).__name__}: {error})") from None  # as of "\\UFFFFFFFF"
    return None if node is None else _Tree(yaml.constructor).of(node)


class _Tree:
    """Makes a tree of nodes: each alias is a copy, so that a change of one place changes no other."""

    def __init__(self, constructor: SafeConstructor) -> None:
        self._constructor = constructor
        self._count = 0

    def of(self, node: Node, depth: int = 0) -> Any:
        """The value of a node.

        Raises:
            ValueError: There is none, or there would be too many.
        """
        self._count += 1
        if depth > MOST_DEPTH:
            raise _fault(node, f"is nested deeper than {MOST_DEPTH} levels, or in itself")
        if self._count > MOST_VALUES:
            raise _fault(node, f"more than {MOST_VALUES:,} values, aliases counted as what they stand for")
        if node.id == "mapping":
            return self._mapping(node, depth)
        if node.id == "sequence":
            _check_tag(node, {"seq"})
            return [self.of(entry, depth + 1) for entry in node.value]
        return self._scalar(node)

    def _mapping(self, node: Node, depth: int) -> dict[str, Any]:
        _check_tag(node, {"map"})
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == f"{PREFIX}merge":
                merged |= {name: entry for other in _merged(value) for name, entry in self.of(other, depth + 1).items()}
                continue
            if key.id != "scalar":
                raise _fault(key, "a key must be text, not a list or mapping")
            if key.value in own:
                raise _fault(key, f"the key {_text(key)!r} is there twice")
            own[_text(key)] = self.of(value, depth + 1)
        return {**merged, **own}

    def _scalar(self, node: Node) -> Any:
        kind = _check_tag(node, {*AS_WRITTEN, "null", "bool", "int", "float"})
        if kind in AS_WRITTEN:
            return _text(node)
        if len(node.value) > LONGEST_NUMBER:
            raise _fault(node, f"a number of {len(node.value)} letters; {LONGEST_NUMBER} at most are read")
        try:
            value = self._constructor.construct_object(node)
        except (ValueError, KeyError, IndexError):  # of a tag that does not fit, as in !!int x
            raise _fault(node, f"{node.value!r} is no {kind}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _fault(node, f"{node.value} is no finite number")
        return value


def _merged(value: Node) -> Iterator[Node]:
    """The mappings that the key `<<` merges in, the one that wins last."""
    for other in reversed(value.value) if value.id == "sequence" else [value]:
        if other.id != "mapping":
            raise _fault(other, "<< needs a mapping, or a list of mappings")
        yield other


def _text(node: Node) -> str:
    if CONTROL.search(node.value):
        raise _fault(node, f"{node.value[:100]!r} holds a control character, or half of one")
    return str(node.value)


def _check_tag(node: Node, known: set[str]) -> str:
    """The kind of a node.

    Raises:
        ValueError: It is not known, as of a Python object.
    """
    kind = str(node.tag).removeprefix(PREFIX)
    if kind not in known:
        raise _fault(node, f"the tag {str(node.tag)[:100]} is not read; take it out")
    return kind


def _fault(node: Node, message: str) -> ValueError:
    return ValueError(f"line {node.start_mark.line + 1}: {message}")
