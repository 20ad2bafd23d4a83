"""Names that weights had when their file was made, and have today."""

from __future__ import annotations

import re
from typing import Any


def renewed(renamed: tuple[tuple[str, str], ...], key: str, array: Any) -> tuple[str, Any]:
    """Today's name of a weight, and the weight in today's shape.

    Args:
        renamed: Patterns and what stands for them today (`catalogue.encoder_record.Weights`).
        key: The name in the file.
        array: The weight in the file, an array or a tensor.
    """
    for pattern, name in renamed:
        key = re.sub(pattern, name, key)
    # Squeeze-and-excitation was written with 1 × 1 convolutions, and is with linear layers.
    return key, array.reshape(array.shape[:2]) if ".se_layer." in key and array.ndim == 4 else array
