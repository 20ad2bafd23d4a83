"""The regression head: one grade. The linear neuron on all heads is read in the same way."""

from __future__ import annotations

from rescan.heads.head import Array, Head, Indices, nearest


class Regression(Head):
    """Read as the nearest grade, or by cut points; it gives no probabilities."""

    def decide(self, output: Array, classes: int) -> Indices:
        """The nearest grade."""
        return nearest(output[:, 0], classes)

    def grade(self, output: Array, classes: int) -> Array:  # noqa: ARG002
        """The output itself."""
        return output[:, 0]
