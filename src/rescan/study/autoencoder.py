"""The section `autoencoders`: encoders that are pre-trained by reconstruction."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rescan import catalogue
from rescan.study.bounds import Accumulated, BatchSize, ClipNorm, Count
from rescan.study.named import Augmentation, Named
from rescan.study.network import EncoderSettings
from rescan.study.stage import CLIP_NORM, Best, EarlyStopping, TrainingStage
from rescan.study.strict import Extended


class Autoencoder(EncoderSettings, Extended):
    """An encoder that is pre-trained, with a decoder, to reconstruct its inputs; arms start from it by its name.

    It is trained and validated on the same parts as the run that starts from it. `samples: all` adds the validation and
    test parts: a leak, for an arm that measures its effect. The epoch with the lowest validation loss is kept.
    """

    LATER: ClassVar[frozenset[str]] = EncoderSettings.LATER | {"clip_norm"}

    preparation: str
    normalization: Literal[tuple(catalogue.NORMALIZATIONS)] = "unit"  # type: ignore[valid-type]
    augmentation: Augmentation = {}
    samples: Literal["train", "all"] = "train"
    epochs: Count = 100
    patience: Count = 30
    batch_size: BatchSize = 8
    accumulate: Accumulated = 1
    optimizer: Annotated[dict[str, Any], Named("optimizer")] = catalogue.OPTIMIZERS["adam"].fill({})
    schedule: Annotated[dict[str, Any], Named("schedule")] = {"name": "constant"}
    clip_norm: ClipNorm | None = Field(default=None, description=CLIP_NORM)

    @property
    def stages(self) -> dict[str, TrainingStage]:
        """Its only stage."""
        names = ("epochs", "batch_size", "accumulate", "optimizer", "schedule", "clip_norm")
        return {"autoencoder": TrainingStage(**{name: getattr(self, name) for name in names})}

    @property
    def keep(self) -> Best:
        """The epoch with the lowest validation loss."""
        return Best(best="loss")

    @property
    def early_stopping(self) -> EarlyStopping:
        """The stage ends after `patience` epochs without a lower validation loss."""
        return EarlyStopping(metric="loss", patience=self.patience)

    @property
    def watch(self) -> list[str]:
        """No other part is scored after each epoch."""
        return []
