"""The classification head: K logits of one softmax."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, softmax

from rescan.heads.head import TINY, Array, Head, Indices


class Classification(Head):
    """Read as the class with the largest logit; its grade is the expected class number."""

    def decide(self, output: Array, classes: int) -> Indices:  # noqa: ARG002
        """The class with the largest logit."""
        return output.argmax(1)

    def grade(self, output: Array, classes: int) -> Array:
        """The expected class number."""
        return softmax(output, axis=1) @ np.arange(classes)

    def log_probabilities(self, output: Array, classes: int) -> Array:  # noqa: ARG002
        """Logarithms of the softmax."""
        return np.asarray(log_softmax(output, axis=1))

    def neuron_input(self, output: Array, classes: int) -> Array:
        """The class itself."""
        return self.decide(output, classes).astype(float)

    def _averageable(self, output: Array) -> Array:
        return np.asarray(softmax(output, axis=1))

    def _from_averageable(self, mean: Array) -> Array:
        return np.log(np.maximum(mean, TINY) / mean.sum(1, keepdims=True))
