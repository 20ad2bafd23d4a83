"""The formulas of class activation maps, in any number of dimensions.

Each takes the activations A of a layer and the gradients G = ∂score/∂A, both (B, C, *cells) float32, and returns
(B, *cells), before what lies below zero is cut off. The score is a logit, not a probability, whose gradients vanish
where a network is sure.
"""

from __future__ import annotations

from torch import Tensor


def _spatial(maps: Tensor) -> tuple[int, ...]:
    return tuple(range(2, maps.ndim))


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_c (mean over cells of G_c) · A_c (Selvaraju et al. 2017)."""
    return (gradients.mean(_spatial(gradients), keepdim=True) * activations).sum(1)


def gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_c w_c · A_c, w_c = Σ over cells of α · ReLU(G_c), α = G² / (2 G² + S · G³), S = Σ over cells of A_c.

    Chattopadhay et al. 2018, equations 5 and 19, for Y = exp(score). The factor exp(score) of their ReLU(∂Y/∂A), one
    number a map, is left out: it overflows, and is gone from the scaled map. α is 1 / (2 + S · G). They suppose maps
    behind a ReLU; where S is below zero, behind a leaky ReLU say, it counts as zero, or α would jump to ±∞.

    MONAI's GradCAMpp differs: it sums A · G³ over the cells, where the derivation has the sum of A times G³ of the one
    cell; both are the same where G is constant, as behind average pooling and one linear layer only. The authors' own
    code also divides α by its sum.
    """
    positive = gradients.relu()
    sums = activations.sum(_spatial(activations), keepdim=True).relu()
    weights = (positive / (2 + sums * positive)).sum(_spatial(gradients), keepdim=True)
    return (weights * activations).sum(1)


def layercam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_c ReLU(G_c) · A_c (Jiang et al. 2021)."""
    return (gradients.relu() * activations).sum(1)


def hirescam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_c G_c · A_c (Draelos & Carin 2020); they cut off what is below zero for display only."""
    return (gradients * activations).sum(1)
