"""All heads by name, and what is done with the outputs of several heads at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rescan import catalogue
from rescan.heads.head import Array, Head

# What an arm's predictions can be read from: a head, or the linear neuron on all heads, whose output is one grade.
READERS: dict[str, Head] = {name: record.implementation(name) for name, record in catalogue.READERS.items()}
HEADS = {name: READERS[name] for name in catalogue.HEADS}


def average(outputs: Mapping[str, Sequence[Array]], trim: float = 0.0) -> dict[str, Array]:
    """Average several networks' outputs, or one network's outputs of several versions of the images, per head.

    Args:
        outputs: Per head its outputs, (n, width) each.
        trim: As in `Head.average`.

    Returns:
        Per head (n, width).
    """
    return {name: READERS[name].average(values, trim) for name, values in outputs.items()}


def columns(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs, (n, width) per head, as the columns (n,) of predictions.csv."""
    return {
        column: output[:, number]
        for name, output in outputs.items()
        for number, column in enumerate(HEADS[name].columns(output.shape[1]))
    }


def neuron_inputs(outputs: Mapping[str, Array], classes: int) -> Array:
    """What the linear neuron is fed: one column per head, in the order of HEADS.

    Args:
        outputs: Per head (n, width).
        classes: K.

    Returns:
        (n, number of heads).
    """
    columns = [head.neuron_input(outputs[name], classes) for name, head in HEADS.items() if name in outputs]
    return np.column_stack(columns).astype(float)
