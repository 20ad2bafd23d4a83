"""Damages of files between steps, and a check that a step meets each with one line, or with a result that is right."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rescan.errors import RescanError

Damage = tuple[str, "bytes | None"]  # what it is, and the content; None: no file


def of_bytes(content: bytes) -> Iterator[Damage]:
    """Damages of any file."""
    yield "missing", None
    yield "empty", b""
    yield "first half", content[: len(content) // 2]
    yield "without the last byte", content[:-1]
    yield "binary", bytes(range(256)) * 8


def of_json(content: bytes) -> Iterator[Damage]:
    """Damages of a JSON file that holds an object."""
    yield from of_bytes(content)
    yield "without its first quotation mark", content.replace(b'"', b"", 1)
    yield "a list", b"[]"
    whole = json.loads(content)
    yield "an unknown key", json.dumps({**whole, "mood": 1}).encode()
    for key in whole:
        yield f"without {key}", json.dumps({name: value for name, value in whole.items() if name != key}).encode()
        yield f"{key} of a wrong type", json.dumps({**whole, key: [{"wrong": "type"}]}).encode()


def of_csv(content: bytes, values: Sequence[tuple[str, object]] = ()) -> Iterator[Damage]:
    """Damages of a table.

    Args:
        content: The table.
        values: Columns, and values that they cannot have.
    """
    yield from of_bytes(content)
    lines = content.splitlines(keepends=True)
    yield "half a line", b"".join([*lines[:2], lines[2][: len(lines[2]) // 2] + b"\n", *lines[3:]])
    yield "a repeated row", b"".join([*lines, lines[1]])
    for place in (1, len(lines) // 2, len(lines) - 1):
        yield f"without line {place + 1}", b"".join([*lines[:place], *lines[place + 1 :]])
    yield "without rows", lines[0]
    whole = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    yield "an unknown column", _csv(whole.assign(mood="1"))
    numbers = pd.read_csv(io.BytesIO(content)).select_dtypes("number").columns
    for column in whole:
        yield f"without {column}", _csv(whole.drop(columns=column))
    for column, value in [*((column, "many") for column in numbers), *values]:
        yield f"{column} {value}", _csv(whole.assign(**{column: [value, *whole[column][1:]]}))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def of_npy(content: bytes) -> Iterator[Damage]:
    """Damages of an array."""
    yield from of_bytes(content)
    whole = np.load(io.BytesIO(content))
    for name, array in (
        ("other numbers", whole.astype(np.complex64)),
        ("other dimensions", whole[0]),
        ("without a row", whole[1:]),
        ("pickled", np.array([{}], object)),
    ):
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=True)
        yield name, stream.getvalue()


def faults(
    file: Path, damages: Iterable[Damage], step: Callable[[], object], results: Sequence[Path], maker: str
) -> list[str]:
    """Run a step on each damage of a file.

    Args:
        file: The file; its content is there again at the end, as is that of the results.
        damages: Its damages.
        step: What reads it.
        results: The files that the step writes; made from the whole file they are there already.
        maker: The step that the error must name.

    Returns:
        Damages that are met with another error than one line that names file and maker, or with another result.
    """
    whole = {path: path.read_bytes() for path in (file, *results)}
    bad = []
    for name, content in damages:
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        try:
            step()
        except RescanError as error:
            line = str(error)
            if "\n" in line or file.name not in line or f"run {maker}" not in line:
                bad.append(f"{name}: {line}")
        except Exception as error:  # noqa: BLE001 - any other error is what is looked for
            bad.append(f"{name}: {type(error).__name__}: {error}")
        else:
            bad += [f"{name}: another {path.name}" for path in results if path.read_bytes() != whole[path]]
        for path, before in whole.items():
            path.write_bytes(before)
    return bad
