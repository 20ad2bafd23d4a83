"""The section `network` of a recipe: encoder, neck, hidden layers, heads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from rescan import catalogue
from rescan.catalogue.map_layers import OF_BLOCKS, numbered
from rescan.named_files import at_home
from rescan.study.bounds import MOST_LAYERS, Limit, NormMomentum, Pixels, ShareOrNone, Width
from rescan.study.named import Named, NameOf
from rescan.study.strict import Extended, Strict


class Layers(Strict):
    """Hidden fully connected layers, each with ReLU, then dropout."""

    hidden: Annotated[list[Width], Field(max_length=MOST_LAYERS)] = []
    dropout: ShareOrNone = 0.0

    @model_validator(mode="after")
    def _dropout_follows_a_layer(self) -> Layers:
        if self.dropout and not self.hidden:
            raise ValueError("dropout needs a hidden layer to follow; add hidden: [512], or leave dropout out")
        return self


class Head(Layers):
    """A head's own hidden layers, and how its outputs are read.

    `link` is of the ordinal head: sigmoids of "grade > k", k = 0 … K-2; or, for networks that were published with this
    fault, one softmax over K outputs. `limit` is of the regression head: its output then lies between 0 and the limit.
    """

    link: Literal["sigmoid", "softmax"] = "sigmoid"
    limit: Limit | None = None


if TYPE_CHECKING:
    HeadName = str
else:
    HeadName = Literal[tuple(catalogue.HEADS)]


class Block(Strict):
    """A convolution whose padding keeps the size of the maps, a ReLU and max pooling (`pool: 1`: none).

    A residual block with maps X is ReLU(conv(ReLU(conv(X))) + X), where X goes through a 1 × 1 convolution if their
    number or size changes.
    """

    kernel: Pixels = 3
    maps: Width
    stride: Pixels = 1
    pool: Pixels = 1
    residual: bool = False

    @model_validator(mode="after")
    def _padding_can_keep_the_size(self) -> Block:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, but is {self.kernel}")
        return self


Blocks = Annotated[list[Block], Field(min_length=1, max_length=MOST_LAYERS)]
Norm = Literal["batch", "instance", "group"]
Start = Literal["random", "published", "autoencoder", "file"]
OUT = "leave norm_momentum out; null removes one that is inherited"
WEIGHTS_FILES = (".safetensors", ".pth", ".pt")


def is_weights_file(name: str) -> bool:
    """Whether a name is that of a file of weights."""
    return name.lower().endswith(WEIGHTS_FILES)


class EncoderSettings(Extended):
    """An encoder, and how it is built.

    `norm_momentum` is torch's: by what share of the way to a batch's own mean and variance a step of the training moves
    batch norm's running ones. Keras calls the rest momentum: its 0.99 is 0.01 here. By default the network's own.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"norm_momentum"})

    encoder: Annotated[str, NameOf("encoder")]
    blocks: Blocks | None = Field(default=None, description="of radiograph_cnn")
    norm: Norm = "batch"
    norm_momentum: NormMomentum | None = Field(default=None, description="of batch norm: the share of a new batch")
    checkpointing: bool = Field(default=False, description="compute activations twice rather than keep them")

    @model_validator(mode="after")
    def _blocks_describe_an_encoder(self) -> EncoderSettings:
        if self.blocks is not None and not catalogue.ENCODERS[self.encoder].from_blocks:
            described = [name for name, record in catalogue.ENCODERS.items() if record.from_blocks]
            raise ValueError(f"{self.encoder} has no blocks; they describe {', '.join(described)}")
        return self

    @model_validator(mode="after")
    def _timms_networks_stay_as_they_are(self) -> EncoderSettings:
        if catalogue.ENCODERS[self.encoder].of_size and (self.norm != "batch" or self.checkpointing):
            key = "checkpointing: true" if self.checkpointing else f"norm: {self.norm}"
            raise ValueError(f"{key} is not for timm's networks, such as {self.encoder}; leave it out")
        return self

    @model_validator(mode="after")
    def _momentum_is_of_batch_norm(self) -> EncoderSettings:
        if self.norm_momentum is not None and self.norm != "batch":
            raise ValueError(f"norm_momentum is of batch norm, but norm is {self.norm}; {OUT}")
        if self.norm_momentum is not None and not catalogue.ENCODERS[self.encoder].batch_norm:
            raise ValueError(f"{self.encoder} has no batch norm; {OUT}")
        return self

    @property
    def layers(self) -> Mapping[str, str]:
        """The blocks that Grad-CAM can map, from the input on, and their modules: see `catalogue.map_layers`."""
        if self.blocks is not None:
            return numbered(len(self.blocks), OF_BLOCKS)
        return catalogue.ENCODERS[self.encoder].layers


class Network(Layers, EncoderSettings):
    """Encoder, neck, hidden fully connected layers that all heads share, and the heads."""

    weights: str = Field(
        default="imagenet",
        description="imagenet (those published of the encoder), none, the name of an autoencoder, or a file of weights",
    )
    neck: Annotated[dict[str, Any], Named("neck")] = catalogue.NECKS["avg"].fill({})
    heads: Annotated[dict[HeadName, Head], Field(min_length=1)] = {"classification": Head()}

    @field_validator("weights")
    @classmethod
    def _file_is_of_weights(cls, weights: str) -> str:
        if "://" in weights:
            raise ValueError(f"{weights!r} is an address; download the file and give its path")
        if ("/" in weights or "\\" in weights) and not is_weights_file(weights):
            raise ValueError(f"{weights!r} ends in none of {', '.join(WEIGHTS_FILES)}, as files of weights do")
        return weights

    @property
    def start(self) -> Start:
        """What the encoder starts from."""
        if self.weights in ("none", "imagenet"):
            return "random" if self.weights == "none" else "published"
        return "file" if is_weights_file(self.weights) else "autoencoder"

    def anchored(self, folder: Path) -> Network:
        """The same with the path of a file of weights, if it has one, as seen from a folder."""
        if self.start != "file":
            return self
        return self.model_copy(update={"weights": str(Path(folder, at_home(self.weights)).resolve())})

    @property
    def public(self) -> Network:
        """The same without the folder of a file of weights, which tells of the machine."""
        return self.model_copy(update={"weights": PurePath(self.weights).name}) if self.start == "file" else self
