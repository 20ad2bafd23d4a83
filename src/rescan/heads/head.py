"""What all heads have in common: how the outputs of one head become classes, grades and probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rescan.catalogue import READERS

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
TINY = 1e-12  # the least probability, so that its logarithm stays finite


@dataclass(frozen=True)
class Head(ABC):
    """A kind of head, under its name in the catalogue. Its outputs are (n, width); K is the number of classes."""

    name: str

    @property
    def of_classes(self) -> bool:
        """Whether its outputs stand for classes. Those of other heads stand for grades on a line."""
        return not READERS[self.name].of_grades

    @property
    def one_output(self) -> bool:
        """Whether its width is 1; its column in predictions.csv then has no number."""
        return READERS[self.name].one_output

    @property
    def takes_cuts(self) -> bool:
        """Whether its grade can be read with cut points instead of being rounded."""
        return READERS[self.name].gives_grade

    def width(self, classes: int, link: str = "sigmoid") -> int:  # noqa: ARG002 - the ordinal head needs the link
        """How many outputs it has for K classes."""
        return 1 if self.one_output else classes

    def columns(self, width: int) -> list[str]:
        """The names of its columns in predictions.csv."""
        return [self.name] if self.one_output else [f"{self.name}_{number}" for number in range(width)]

    def first_threshold(self, width: int, classes: int) -> int | None:  # noqa: ARG002 - for heads of thresholds
        """The lowest grade that passes its first threshold; None if it is not trained on thresholds."""
        return None

    @abstractmethod
    def decide(self, output: Array, classes: int) -> Indices:
        """The class (n,) that each row of outputs stands for."""

    @abstractmethod
    def grade(self, output: Array, classes: int) -> Array:
        """The grade (n,) on the line of the classes' numbers."""

    def log_probabilities(self, output: Array, classes: int) -> Array | None:  # noqa: ARG002 - for heads that have them
        """Log-probabilities (n, K) of the classes; None if the head gives none."""
        return None

    def neuron_input(self, output: Array, classes: int) -> Array:
        """What the linear neuron on all heads is fed of this one: (n,)."""
        return self.grade(output, classes)

    def average(self, outputs: Sequence[Array], trim: float = 0.0) -> Array:
        """Average outputs of several networks, (n, width) each: of probabilities, given back as logits.

        Args:
            outputs: One array per network.
            trim: Share of the values that is cut off at either end of each output before the mean (a trimmed mean).
        """
        stacked = np.stack([self._averageable(output) for output in outputs])
        cut = int(trim * len(stacked))
        # As scipy's trim_mean, which takes a second to import.
        kept = np.partition(stacked, (cut, len(stacked) - cut - 1), axis=0)[cut : len(stacked) - cut]
        return self._from_averageable(kept.mean(axis=0))

    def _averageable(self, output: Array) -> Array:
        """Outputs on the scale on which they are averaged."""
        return output

    def _from_averageable(self, mean: Array) -> Array:
        """A mean, back on the scale of the outputs."""
        return mean


def nearest(grades: Array, classes: int) -> Indices:
    """The nearest grade; halves go up. NaN becomes 0."""
    return np.clip(np.floor(np.nan_to_num(grades) + 0.5), 0, classes - 1).astype(np.intp)
