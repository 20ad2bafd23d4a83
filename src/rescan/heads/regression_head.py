"""The regression head: one grade. The linear neuron on all heads is read in the same way."""

from __future__ import annotations

from typing import ClassVar

from rescan.heads.head import Array, Head, Indices, nearest


class Regression(Head):
    """Read as the nearest grade, or by cut points; it gives no probabilities."""

    one_output: ClassVar[bool] = True
    takes_cuts: ClassVar[bool] = True

    def decide(self, output: Array, classes: int) -> Indices:
        """The nearest grade."""
        return nearest(output[:, 0], classes)

    def grade(self, output: Array, classes: int) -> Array:  # noqa: ARG002
        """The output itself."""
        return output[:, 0]
