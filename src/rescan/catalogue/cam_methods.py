"""Methods that map where a block of an encoder speaks for a target."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.record import Record, by_name


@dataclass(frozen=True)
class CamMethod(Record):
    """A function of a block's activations A and the gradients ∂score/∂A, (B, C, *cells), that returns (B, *cells).

    Its sentence is its name as its authors write it.
    """

    kind = "method"


CAM_METHODS = by_name(
    CamMethod(
        "gradcam",
        "rescan.explanation.cam_formulas:gradcam",
        sentence="Grad-CAM",
        about="ReLU(Σ mean(∂s/∂A) · A): channels weighed by their mean gradient (Selvaraju et al. 2017)",
    ),
    CamMethod(
        "gradcam++",
        "rescan.explanation.cam_formulas:gradcam_plus_plus",
        sentence="Grad-CAM++",
        about="ReLU(Σ w · A), w = Σ α · ReLU(∂s/∂A): positive gradients, each cell by its own α "
        "(Chattopadhay et al. 2018)",
    ),
    CamMethod(
        "layercam",
        "rescan.explanation.cam_formulas:layercam",
        sentence="LayerCAM",
        about="ReLU(Σ ReLU(∂s/∂A) · A): each cell by its own positive gradient; for finer blocks (Jiang et al. 2021)",
    ),
    CamMethod(
        "hirescam",
        "rescan.explanation.cam_formulas:hirescam",
        sentence="HiResCAM",
        about="ReLU(Σ ∂s/∂A · A): each cell by its own gradient (Draelos & Carin 2020)",
    ),
)
