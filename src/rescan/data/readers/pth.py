"""Reading the .pth files that torch writes, without torch and without running them.

A .pth file holds a pickle, and a pickle is a program. The reader lets it make dictionaries of tensors, numbers and
texts and refuses all else. It knows both forms that torch has written: an archive (zip), and a stream (before torch
1.6).
"""

from __future__ import annotations

import io
import pickle  # only through _Reader, which resolves nothing but tensors
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from rescan.errors import RescanError, shown

T = TypeVar("T")

BFLOAT16 = "bfloat16"  # which numpy does not have: the upper half of a float32
DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
# Where a checkpoint, which holds more than the network, has the network's state.
STATES = ("state_dict", "model_state_dict", "model")
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

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.dtypes: dict[str, str] = {}  # of all storages, by their keys

    def find_class(self, module: str, name: str) -> Any:
        """Resolve what a tensor needs; refuse all else."""
        if (module, name) not in self.globals:
            raise RescanError(
                f"refuses to run code: it calls {shown(f'{module}.{name}')}; save the network's state_dict alone, as "
                "safetensors, where the file was made"
            )
        return self.globals[module, name]

    def persistent_load(self, identity: Any) -> _Storage:
        """Note a storage: ("storage", type, key, device, length[, view])."""
        _, dtype, key, _, _, *view = identity
        self.dtypes[key] = dtype
        return _Storage(key, dtype, view[0][1] if view and view[0] else 0)


def read_pth(path: str | Path) -> dict[str, np.ndarray]:
    """Read a state dictionary that torch.save wrote, in either of its forms, without running it.

    It may be the entry `state_dict`, `model_state_dict` or `model` of a checkpoint, or the only one of its kind there.

    Returns:
        Name to array, C-contiguous, read-only.

    Raises:
        RescanError: The file asks to run code, is no such file, or holds something other than named tensors.
    """
    return _read(path, _archive, _stream)


def shapes_in_pth(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of what `read_pth` reads, without its numbers.

    Raises:
        RescanError: As `read_pth`, as far as the numbers don't matter.
    """

    def shapes_in_archive(stream: BinaryIO) -> dict[str, tuple[int, ...]]:
        with zipfile.ZipFile(stream) as archive:
            return _shapes(_tensors(_state(archive, _records(archive)).load()))

    def shapes_in_stream(stream: BinaryIO) -> dict[str, tuple[int, ...]]:
        return _shapes(_tensors(_behind_head(stream).load()))

    return _read(path, shapes_in_archive, shapes_in_stream)


def _read(path: str | Path, archive: Callable[[BinaryIO], T], stream: Callable[[BinaryIO], T]) -> T:
    """Read a file by the one of two functions that is for its form."""
    try:
        with Path(path).open("rb") as opened:
            is_archive = opened.read(4) == b"PK\x03\x04"
            opened.seek(0)
            return (archive if is_archive else stream)(opened)
    except RescanError as error:
        raise RescanError(f"{path}: {error}") from None
    # A damaged pickle can fail in any of these ways.
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, LookupError, TypeError, ValueError, AttributeError,
            struct.error, ArithmeticError, MemoryError, OSError, RecursionError) as error:  # fmt: skip
        raise RescanError(
            f"{path}: not a file of weights that torch wrote, or damaged ({error}); get it again"
        ) from None


def _archive(stream: BinaryIO) -> dict[str, np.ndarray]:
    """Read the archive form: <name>/data.pkl, and <name>/data/<key> for each storage."""
    with zipfile.ZipFile(stream) as archive:
        records = _records(archive)
        state = _tensors(_state(archive, records).load())
        storages = {tensor.storage for tensor in state.values()}
        values = {key: _numbers(archive.read(records[f"data/{key}"]), dtype) for key, dtype, _ in storages}
    return {name: _array(tensor, values[tensor.storage.key]) for name, tensor in state.items()}


def _records(archive: zipfile.ZipFile) -> dict[str, str]:
    return {record.partition("/")[2]: record for record in archive.namelist()}


def _state(archive: zipfile.ZipFile, records: dict[str, str]) -> _Reader:
    return _Reader(io.BytesIO(archive.read(records["data.pkl"])))


def _stream(stream: BinaryIO) -> dict[str, np.ndarray]:
    """Read the stream form: magic number, version, system; the state; the storages' keys; the numbers of each."""
    reader = _behind_head(stream)
    state = _tensors(reader.load())
    values = {}
    for key in _Reader(stream).load():
        (length,) = struct.unpack("<q", stream.read(8))
        dtype = reader.dtypes[key]
        values[key] = _numbers(stream.read(max(0, length) * _stored(dtype).itemsize), dtype)
        if len(values[key]) != length:
            raise ValueError(f"it holds {len(values[key])} of {length} numbers")
    return {name: _array(tensor, values[tensor.storage.key]) for name, tensor in state.items()}


def _behind_head(stream: BinaryIO) -> _Reader:
    """A reader of the state in the stream form."""
    if _Reader(stream).load() != STREAM_MAGIC:
        raise RescanError("not a file that torch wrote; get it again")
    _version, _system = _Reader(stream).load(), _Reader(stream).load()
    return _Reader(stream)


def _stored(dtype: str) -> np.dtype[Any]:
    return np.dtype("<u2" if dtype == BFLOAT16 else dtype)


def _numbers(content: bytes, dtype: str) -> np.ndarray:
    return as_numbers(np.frombuffer(content, _stored(dtype)), dtype)


def as_numbers(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers as numpy has them: those of bfloat16, stored as uint16, as float32."""
    return (stored.astype("<u4") << 16).view("<f4") if dtype == BFLOAT16 else stored


def _tensors(content: Any) -> dict[str, _Tensor]:
    """The state dictionary in what was read, its tensors still without values."""
    if not _is_state(content) and isinstance(content, dict):
        states = {key: value for key, value in content.items() if value and _is_state(value)}
        named = [states[key] for key in STATES if key in states]
        content = named[0] if named else next(iter(states.values())) if len(states) == 1 else None
    if not _is_state(content):
        raise RescanError("holds something other than named tensors; save network.state_dict()")
    return {str(name): tensor for name, tensor in content.items()}


def _is_state(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(value, _Tensor) for value in content.values())


def _shapes(state: dict[str, _Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(map(int, tensor.shape)) for name, tensor in state.items()}


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
