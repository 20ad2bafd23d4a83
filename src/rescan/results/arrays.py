"""Arrays (`.npy`) between steps, and the headers of safetensors files: read without pickle and without torch."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rescan import touched
from rescan.results.damage import damaged, missing

CHECKSUM = "checksum"  # the key of a safetensors file's header that holds it
LARGEST_HEADER = 100_000_000  # bytes: the limit of the safetensors format


def read_array(
    path: str | Path, step: str, *, dtypes: tuple[str, ...], dimensions: int | None = None, rows: int | None = None
) -> np.ndarray:
    """Memory-map an array.

    Args:
        path: The `.npy` file.
        step: The step that makes it.
        dtypes: The types that its values may have, such as "uint8".
        dimensions: How many it must have; any if not given.
        rows: The length that its first dimension must have; any if not given.

    Raises:
        RescanError: It is missing, truncated or no such array.
    """
    touched.read(path)
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise missing(path, step) from None
    except (ValueError, EOFError, TypeError, SyntaxError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise damaged(path, step, f"not a whole .npy array ({error})") from None
    if not isinstance(array, np.ndarray):  # an .npz archive
        raise damaged(path, step, "not a .npy array")
    if array.dtype.name not in dtypes:
        raise damaged(path, step, f"holds {array.dtype.name} values, not {' or '.join(dtypes)}")
    if dimensions is not None and array.ndim != dimensions:
        raise damaged(path, step, f"has {array.ndim} dimensions, not {dimensions}")
    if rows is not None and (array.ndim == 0 or len(array) != rows):
        raise damaged(path, step, f"has {len(array) if array.ndim else 0} rows, not {rows}")
    return array


def checksum(tensors: Mapping[str, tuple[str, Sequence[int], Any]], header: dict[str, Any]) -> str:
    """A checksum of all that a safetensors file of Rescan holds.

    Args:
        tensors: Name to torch's name of the type, shape, and bytes.
        header: Without the checksum.
    """
    digest = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=16)
    for name, (dtype, shape, content) in sorted(tensors.items()):
        digest.update(f"\n{name} {dtype} {list(shape)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def read_metadata(path: str | Path, step: str) -> dict[str, Any]:
    """Read the metadata of a safetensors file: an 8-byte length, then a JSON header (the format's specification).

    Returns:
        The header's `__metadata__`; empty if there is none.

    Raises:
        RescanError: The file is missing, truncated or no safetensors file.
    """
    touched.read(path)
    try:
        with Path(path).open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length)) if length <= LARGEST_HEADER else None
    except FileNotFoundError:
        raise missing(path, step) from None
    except (struct.error, ValueError, RecursionError) as error:
        raise damaged(path, step, f"not a safetensors file ({error})") from None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise damaged(path, step, "not a safetensors file")
    metadata: dict[str, Any] = header.get("__metadata__", {})
    return metadata
