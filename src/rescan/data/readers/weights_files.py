"""Files of weights that people have: safetensors, and those that torch.save wrote. Read without torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, deserialize

from rescan.data.readers.pth import BFLOAT16, as_numbers, read_pth, shapes_in_pth
from rescan.errors import RescanError, shown
from rescan.named_files import regular

Shape = tuple[int, ...]
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16, "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U8": "u1", "BOOL": "?",
}  # fmt: skip
LARGEST_HEADER = 100_000_000  # bytes: the limit of the safetensors format
REMEDY = "check network.weights"


class Contents(NamedTuple):
    """What a file of weights says of itself.

    Attributes:
        shapes: Of its arrays, by name.
        header: What Rescan wrote of it, if Rescan did.
    """

    shapes: dict[str, Shape]
    header: dict[str, Any]


def contents(path: str | Path) -> Contents:
    """The names and shapes in a file of weights, read without its numbers.

    Raises:
        RescanError: It is not there, no file, cannot be read, or is no file of weights; or it asks to run code.
    """
    place = regular(path, remedy=REMEDY)
    try:
        if place.suffix.lower() != ".safetensors":
            return Contents(shapes_in_pth(place), {})
        header = _header(place)
        metadata = header.pop("__metadata__", {})
        shapes = {str(name): tuple(map(int, entry["shape"])) for name, entry in header.items()}
        last = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        if place.stat().st_size < last:
            raise ValueError("its end is missing")
        own = json.loads(metadata.get("rescan", "{}"))
    except OSError as error:
        raise RescanError(f"{shown(place)}: cannot be read ({error.strerror}); {REMEDY}") from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, struct.error) as error:
        raise _damaged(place, error) from None
    return Contents(shapes, own if isinstance(own, dict) else {})


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read a file of weights; numbers of other precisions become float32.

    Returns:
        Name to array.

    Raises:
        RescanError: As `contents`; or a weight is no number that float32 has, or of a type that no network here has,
            or a variance below 0.
    """
    place = regular(path, remedy=REMEDY)
    try:
        state = _arrays(place) if place.suffix.lower() == ".safetensors" else read_pth(place)
    except OSError as error:
        raise RescanError(f"{shown(place)}: cannot be read ({error.strerror}); {REMEDY}") from None
    except (ValueError, TypeError, KeyError, SafetensorError) as error:
        raise _damaged(place, error) from None
    with np.errstate(over="ignore"):  # refused below
        single = {name: array.astype("<f4", copy=False) for name, array in state.items() if array.dtype.kind == "f"}
    state = {**state, **single}
    for name, array in state.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            what = "values that are no numbers, or too large for single precision"
            raise RescanError(f"{shown(place)}: {shown(name)} holds {what}; take another file")
        if name.endswith("running_var") and (array < 0).any():
            raise RescanError(f"{shown(place)}: {shown(name)} holds variances below 0; take another file")
    return state


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > LARGEST_HEADER:
            raise ValueError("its header is too long")
        header: dict[str, Any] = json.loads(stream.read(length))
    return {
        name: {**entry, "data_offsets": [offset + 8 + length for offset in entry["data_offsets"]]}
        if name != "__metadata__"
        else entry
        for name, entry in header.items()
    }


def _arrays(path: Path) -> dict[str, np.ndarray]:
    state = {}
    for name, entry in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"{name} holds numbers of type {entry['dtype']}")
        dtype = DTYPES[entry["dtype"]]
        state[name] = as_numbers(np.frombuffer(entry["data"], "<u2" if dtype == BFLOAT16 else dtype), dtype)
        state[name] = state[name].reshape(entry["shape"])
    return state


def _damaged(path: Path, error: Exception) -> RescanError:
    reason = " ".join(str(error).split())
    return RescanError(f"{shown(path)}: no file of weights, or damaged ({shown(reason)}); get it again")
