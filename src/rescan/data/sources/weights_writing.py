"""Weights as trainings read them: a safetensors file whose header says what it was made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from rescan.files import write_tensors
from rescan.results.arrays import CHECKSUM, checksum


def write_weights(out: Path, state: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    """Write weights.

    Args:
        out: The file.
        state: Name to array.
        header: What they are made of; a checksum is added.
    """
    tensors = {key: (f"torch.{array.dtype}", array.shape, array.tobytes()) for key, array in state.items()}
    content = {**header, CHECKSUM: checksum(tensors, header)}
    write_tensors(out, save_file, state, {"rescan": json.dumps(content)})
