"""`network.json` of a run: the layers of its network."""

from __future__ import annotations

from typing import ClassVar

from rescan.results.json_result import JsonResult, Part


class LayerSummary(Part):
    """A layer.

    Attributes:
        layer: Its name.
        type: Its class.
        output: The shape of its output, without the batch.
        parameters: How many it has.
        trainable: How many of them the last stage trained.
    """

    layer: str
    type: str
    output: list[int]
    parameters: int
    trainable: int


class NetworkSummary(JsonResult):
    """The layers in order, and how many parameters the whole network has.

    Attributes:
        total: All parameters.
        trainable: Those that the last stage trained.
        layers: The layers.
    """

    step: ClassVar[str] = "train"

    total: int
    trainable: int
    layers: list[LayerSummary]
