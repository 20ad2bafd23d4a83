"""The section `gradcam`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rescan.study.network import HeadName
from rescan.study.strict import Positive, Strict


class Explanation(Strict):
    """Grad-CAM: how many right and how many wrong test images per class get a map, and of which head's output.

    Maps of volumes whose layers are known are also masked to a slab of these layers.
    """

    images_a_class: Positive = 2
    slab: Literal["superficial", "deep"] = "superficial"
    beside: str | None = Field(default=None, description="the arm of projections whose map stands beside a volume's")
    head: HeadName | None = Field(default=None, description="classification, if the network has it, else its first")
