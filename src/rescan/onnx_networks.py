"""Networks as ONNX files: a graph, and behind it the header of the model; run by onnxruntime, without torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rescan import touched
from rescan.data.gray_levels import of_store
from rescan.errors import RescanError
from rescan.heads.outputs import HEADS
from rescan.results.arrays import CHECKSUM
from rescan.results.trained_model import ModelHeader, model_checksum

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

NAME = "model.onnx"  # of a network's file, beside its model.safetensors
IMAGES, VECTORS = "images", "vectors"  # the graph's input, and the output that is no head's
KEY = "rescan"  # of the entry of the file's metadata that holds the header
WEIGHTS = "weights"  # the header's key of the checksum of the model.safetensors that it was made from
# How ONNX, which is protobuf, begins an entry of a file's metadata: field 14, whose field 1 is the key, 2 the value.
ENTRY, KEY_AND_VALUE = b"\x72", b"\x0a" + bytes([len(KEY)]) + KEY.encode() + b"\x12"
AT_ONCE = 32 * 256 * 256  # pixels or voxels that go through a network at once


class OnnxNetwork:
    """A network that onnxruntime runs on the CPU.

    Attributes:
        heads: The names of its heads.
    """

    def __init__(self, session: InferenceSession) -> None:
        """Take a session of a file that `load_onnx` has checked."""
        self._session = session
        self._names = [output.name for output in session.get_outputs()]
        self.heads = [name for name in self._names if name != VECTORS]

    def outputs(self, images: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Compute the outputs of images of a store.

        Args:
            images: (N, *spatial, C) uint8 or uint16, N at least 1.

        Returns:
            Per head (N, width) float32; and what the heads take, (N, D) float32.
        """
        at_once = max(1, AT_ONCE // int(np.prod(images.shape[1:-1])))
        parts = []
        for start in range(0, len(images), at_once):
            levels = np.moveaxis(of_store(images[start : start + at_once]), -1, 1)
            parts.append(self._session.run(self._names, {IMAGES: np.ascontiguousarray(levels, np.float32)}))
        whole = {name: np.concatenate(of_parts) for name, of_parts in zip(self._names, zip(*parts))}
        vectors = whole.pop(VECTORS)
        return whole, vectors


def with_header(graph: bytes, header: ModelHeader, weights: str) -> bytes:
    """The content of an ONNX file: a graph, and behind it, as metadata of the file, the header with a checksum.

    Args:
        graph: An ONNX file without metadata.
        header: That of the model.
        weights: The checksum of the model.safetensors that it was made from.
    """
    content = {**header.model_dump(mode="json"), WEIGHTS: weights}
    return graph + _entry(json.dumps({**content, CHECKSUM: _checksum(graph, content)}, ensure_ascii=False))


def _entry(text: str) -> bytes:
    """A header as an entry of an ONNX file's metadata."""
    value = text.encode()
    pair = KEY_AND_VALUE + _varint(len(value)) + value
    return ENTRY + _varint(len(pair)) + pair


def _varint(number: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first."""
    content = bytearray()
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])


def _checksum(graph: bytes, content: dict[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16)
    digest.update(graph)
    return digest.hexdigest()


def read_header(path: Path) -> tuple[ModelHeader, str]:
    """Read the header of an ONNX file, after checking that the whole file is as it was written.

    Returns:
        The header, and the checksum of the model.safetensors that the file was made from.

    Raises:
        RescanError: It is missing, not as it was written, not of Rescan, or of another version of it.
    """
    touched.read(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RescanError(f"{path}: no such file; export the arm with --format onnx") from None
    place = content.rfind(KEY_AND_VALUE)
    if place < 0:
        raise _unusable(path, "no ONNX file of Rescan, or cut short")
    text, shift = memoryview(content)[place + len(KEY_AND_VALUE) :], 0
    while shift < len(text) and text[shift] > 127:
        shift += 1
    try:
        header: dict[str, Any] = dict(json.loads(bytes(text[shift + 1 :])))
        entry = _entry(bytes(text[shift + 1 :]).decode())
    except (ValueError, TypeError, RecursionError) as error:
        raise _unusable(path, f"its header is no JSON object ({error})") from None
    expected = header.pop(CHECKSUM, None)
    if not content.endswith(entry) or expected != _checksum(content[: -len(entry)], header):
        raise _unusable(path, "its network or its header is not as it was written")
    weights = str(header.pop(WEIGHTS, ""))
    try:
        return ModelHeader.model_validate_json(json.dumps(header)), weights
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise _unusable(path, f"this version of Rescan cannot read it ({reason})") from None


def load_onnx(path: Path, trained: Path) -> tuple[OnnxNetwork, ModelHeader]:
    """Read a network.

    Args:
        path: The ONNX file.
        trained: The model.safetensors that it was made from, if that is there, too.

    Returns:
        The network, on the CPU, and the header.

    Raises:
        RescanError: As `read_header` does; or it was made from another model.safetensors; or onnxruntime is not there,
            or cannot run it.
    """
    header, weights = read_header(path)
    if trained.exists() and (model_checksum(trained) or "") != weights:
        raise _unusable(path, f"was made from another model than {trained.name} beside it")
    try:
        import onnxruntime
    except ImportError as error:
        raise RescanError(
            f"--runtime onnx: onnxruntime cannot be imported ({error}); install it: pip install 'rescan[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads(), 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - its errors have no class of their own in common
        reason = " ".join(str(error).split())[:200]
        raise _unusable(path, f"onnxruntime {onnxruntime.__version__} cannot run it ({reason})") from None
    shapes = {put.name: list(put.shape) for put in (*session.get_inputs(), *session.get_outputs())}
    if fault := _misfit(shapes, header.input):
        raise _unusable(path, fault)
    return OnnxNetwork(session), header


def _misfit(shapes: dict[str, list[Any]], takes: Sequence[int]) -> str | None:
    """Why a graph is not a network as `with_header` gets it, if it is not."""
    own = shapes.pop(IMAGES, [])
    if own[1:] != list(takes):
        return f"takes {own[1:]}, its header says {list(takes)}"
    heads = [name for name in shapes if name in HEADS]
    return None if heads and set(shapes) == {*heads, VECTORS} else f"gives {', '.join(shapes)}, not heads and {VECTORS}"


def threads() -> int:
    """How many threads a network may use: as many as OMP_NUM_THREADS says, which torch heeds, too; else all cores."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _unusable(path: Path, fault: str) -> RescanError:
    return RescanError(f"{path}: {fault}; export the arm with --format onnx again")
