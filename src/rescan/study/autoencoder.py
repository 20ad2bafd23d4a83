"""The section `autoencoders`: encoders that are pre-trained by reconstruction."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rescan import catalogue
from rescan.study.named import Augmentation, Named, NameOf
from rescan.study.network import Block, Network, Norm
from rescan.study.recipe import Best, EarlyStopping, Recipe, Stage
from rescan.study.strict import Positive, Strict


class Autoencoder(Strict):
    """An encoder that is pre-trained, with a decoder, to reconstruct its inputs; arms start from it by its name.

    It is trained and validated on the same parts as the run that starts from it. `samples: all` adds the validation and
    test parts: a leak, for an arm that measures its effect. The epoch with the lowest validation loss is kept.
    """

    preparation: str
    encoder: Annotated[str, NameOf("encoder")]
    blocks: Annotated[list[Block], Field(min_length=1)] | None = None
    norm: Norm = "batch"
    checkpointing: bool = False
    normalization: Literal[tuple(catalogue.NORMALIZATIONS)] = "unit"  # type: ignore[valid-type]
    augmentation: Augmentation = {}
    samples: Literal["train", "all"] = "train"
    epochs: Positive = 100
    patience: Positive = 30
    batch_size: Positive = 8
    accumulate: Positive = 1
    optimizer: Annotated[dict[str, Any], Named("optimizer")] = catalogue.OPTIMIZERS["adam"].fill({})
    schedule: Annotated[dict[str, Any], Named("schedule")] = {"name": "constant"}

    def recipe(self) -> Recipe:
        """The same as the trainer takes it; heads and losses are not used."""
        stage = {key: getattr(self, key) for key in ("epochs", "batch_size", "accumulate", "optimizer", "schedule")}
        network = {key: getattr(self, key) for key in ("encoder", "blocks", "norm", "checkpointing")}
        return Recipe(
            preparation=self.preparation,
            network=Network(weights="none", **network),
            normalization=self.normalization,
            augmentation=self.augmentation,
            stages={"autoencoder": Stage(**stage)},
            keep=Best(best="loss"),
            early_stopping=EarlyStopping(metric="loss", patience=self.patience),
        )
