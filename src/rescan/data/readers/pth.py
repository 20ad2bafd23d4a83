"""Reading the .pth files that torch writes, without torch and without running them.

A .pth file holds a pickle, and a pickle is a program. The reader lets it make ordered dictionaries of tensors and
refuses all else. It knows both forms that torch has written: an archive (zip), and a stream (before torch 1.6).
"""

from __future__ import annotations

import io
import pickle  # only through _Reader, which resolves nothing but tensors
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from rescan.errors import RescanError

DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
STREAM_MAGIC = 0x1950A86A20F9469CFC6C


class _Storage(NamedTuple):
    """Where a tensor's values lie: the key of a run of numbers, and what it is a view of."""

    key: str
    dtype: str
    start: int


class _Tensor(NamedTuple):
    """A tensor as pickled: its values come later in the stream form."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __setstate__(self, state: object) -> None:
        """Take a parameter's flags (requires_grad, …), which arrays have no use for."""


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: _Tensor, *_: object) -> _Tensor:
    return data


class _Reader(pickle.Unpickler):
    """An unpickler that can make dictionaries of tensors, and nothing else."""

    globals: dict[tuple[str, str], Any] = {  # noqa: RUF012 - never changed
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor"): _tensor,  # before torch 0.4
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _parameter,
        ("torch.nn.parameter", "Parameter"): _parameter,  # before torch 0.4
        **{("torch", name): dtype for name, dtype in DTYPES.items()},
    }

    def find_class(self, module: str, name: str) -> Any:
        """Resolve what a tensor needs; refuse all else."""
        if (module, name) not in self.globals:
            raise RescanError(f"refuses to run code: it calls {module}.{name}")
        return self.globals[module, name]

    def persistent_load(self, identity: Any) -> _Storage:
        """Note a storage: ("storage", type, key, device, length[, view])."""
        _, dtype, key, _, _, *view = identity
        return _Storage(key, dtype, view[0][1] if view and view[0] else 0)


def read_pth(path: str | Path) -> dict[str, np.ndarray]:
    """Read a state dictionary that torch.save wrote, in either of its forms, without running it.

    Returns:
        Name to array, C-contiguous, read-only.

    Raises:
        RescanError: The file asks to run code, is no such file, or holds something other than named tensors.
    """
    try:
        with Path(path).open("rb") as stream:
            is_archive = stream.read(4) == b"PK\x03\x04"
            stream.seek(0)
            return (_archive if is_archive else _stream)(stream)
    except RescanError as error:
        raise RescanError(f"{path}: {error}") from None
    # A damaged pickle can fail in any of these ways.
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, LookupError, TypeError, ValueError, AttributeError,
            struct.error, ArithmeticError, MemoryError, OSError) as error:  # fmt: skip
        raise RescanError(
            f"{path}: not a file of weights that torch wrote, or damaged ({error}); get it again"
        ) from None


def _archive(stream: BinaryIO) -> dict[str, np.ndarray]:
    """Read the archive form: <name>/data.pkl, and <name>/data/<key> for each storage."""
    with zipfile.ZipFile(stream) as archive:
        records = {record.partition("/")[2]: record for record in archive.namelist()}
        state = _tensors(io.BytesIO(archive.read(records["data.pkl"])))
        storages = {tensor.storage for tensor in state.values()}
        values = {key: np.frombuffer(archive.read(records[f"data/{key}"]), dtype) for key, dtype, _ in storages}
    return {name: _array(tensor, values[tensor.storage.key]) for name, tensor in state.items()}


def _stream(stream: BinaryIO) -> dict[str, np.ndarray]:
    """Read the stream form: magic number, version, system; the state; the storages' keys; the numbers of each."""
    if _Reader(stream).load() != STREAM_MAGIC:
        raise RescanError("not a file that torch wrote; get it again")
    _version, _system = _Reader(stream).load(), _Reader(stream).load()
    state = _tensors(stream)
    dtypes = {tensor.storage.key: np.dtype(tensor.storage.dtype) for tensor in state.values()}
    values = {}
    for key in _Reader(stream).load():
        (length,) = struct.unpack("<q", stream.read(8))
        values[key] = np.frombuffer(stream.read(max(0, length) * dtypes[key].itemsize), dtypes[key])
        if len(values[key]) != length:
            raise ValueError(f"it holds {len(values[key])} of {length} numbers")
    return {name: _array(tensor, values[tensor.storage.key]) for name, tensor in state.items()}


def _tensors(stream: BinaryIO) -> dict[str, _Tensor]:
    """Read the state dictionary, its tensors still without values."""
    state = _Reader(stream).load()
    if not isinstance(state, dict) or not all(isinstance(value, _Tensor) for value in state.values()):
        raise RescanError("holds something other than named tensors; save network.state_dict()")
    return {str(name): tensor for name, tensor in state.items()}


def _array(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
    """Cut a tensor out of its storage's values."""
    start = tensor.storage.start + tensor.offset
    if 0 in tensor.shape:
        return np.empty(tensor.shape, values.dtype)
    last = start + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides))
    # Checked here because as_strided is not: it would read beyond the storage.
    if (
        min(start, *tensor.shape, *tensor.strides, 0) < 0
        or len(tensor.shape) != len(tensor.strides)
        or last >= len(values)
    ):
        raise ValueError("a tensor lies outside its storage")
    strides = [stride * values.itemsize for stride in tensor.strides]
    return np.asarray(
        np.lib.stride_tricks.as_strided(values[start:], tensor.shape, strides, writeable=False), order="C"
    )
