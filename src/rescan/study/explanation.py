"""The section `gradcam`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import Field, field_validator

from rescan import catalogue
from rescan.study.bounds import FromEnd, ImagesPerClass
from rescan.study.named import NameOf
from rescan.study.network import EncoderSettings, HeadName
from rescan.study.strict import Strict

Layer = Union[FromEnd, str]


class Explanation(Strict):
    """Grad-CAM: how many right and wrong test images per class get a map, and of which head and block, by which method.

    `layer` is a block of the encoder by name, or counted from the end, or one for each encoder. Maps of volumes whose
    layers are known are also masked to a slab of these layers.
    """

    images_a_class: ImagesPerClass = 2
    slab: Literal["superficial", "deep"] = "superficial"
    beside: str | None = Field(default=None, description="the arm of projections whose map stands beside a volume's")
    head: HeadName | None = Field(default=None, description="classification, if the network has it, else its first")
    layer: Union[Layer, dict[str, Layer]] = Field(
        default=-1, description="a block of the encoder, or -1 (its last), -2, …; or one for each encoder by name"
    )

    method: Annotated[str, NameOf("method")] = "gradcam"

    @field_validator("layer", mode="before")
    @classmethod
    def _layers_are_names_or_counted_from_the_end(cls, value: Any) -> Any:
        """Refuse the rest in one line, where pydantic has one for each kind of value."""
        for encoder in value if isinstance(value, dict) else ():
            catalogue.check("encoder", encoder)
        for layer in value.values() if isinstance(value, dict) else [value]:
            if not isinstance(layer, str) and (type(layer) is not int or layer >= 0):
                need = "the name of a block of the encoder, or -1 (its last), -2, …; or one of these for each encoder"
                raise ValueError(f"needs {need}; not {layer!r}")
        for encoder, layer in value.items() if isinstance(value, dict) else ():
            record = catalogue.ENCODERS[encoder]  # it may be one that no arm has: of another scale or task
            if isinstance(layer, str) and not record.from_blocks and layer not in record.layers:
                raise ValueError(f"{encoder} has no block {layer!r}; it has {', '.join(record.layers)}")
        return value

    def layer_of(self, network: EncoderSettings) -> str:
        """The name of the block of an encoder that is mapped: of an encoder that `layer` leaves out, the last.

        Raises:
            ValueError: The encoder has no such block.
        """
        layer = self.layer.get(network.encoder, -1) if isinstance(self.layer, dict) else self.layer
        names = list(network.layers)
        if isinstance(layer, int) and layer >= -len(names):
            return names[layer]
        if layer not in names:
            raise ValueError(f"{network.encoder} has no block {layer!r}; it has {', '.join(names)}")
        return str(layer)
