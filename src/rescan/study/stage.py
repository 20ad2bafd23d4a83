"""The settings that every training has: one or more stages, which epoch is kept, when a stage ends early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import BeforeValidator, Field, model_validator

from rescan import catalogue
from rescan.study.bounds import Accumulated, BatchSize, BlockNumber, ClipNorm, Count
from rescan.study.named import Named
from rescan.study.strict import Extended, Strict

CLIP_NORM = "the norm to which the gradients of a step, taken together, are scaled down"


class FromBlock(Strict):
    """Train the encoder's blocks from this one on, counted from 1, and all that follows the encoder."""

    from_block: BlockNumber


class TrainingStage(Extended):
    """One part of a training: some `epochs`, or some `steps` of the optimizer, whose last epoch may be cut short."""

    LATER: ClassVar[frozenset[str]] = frozenset({"clip_norm"})

    epochs: Count | None = None
    steps: Count | None = None
    batch_size: BatchSize = 32
    accumulate: Accumulated = 1
    trainable: Union[Literal["all", "head"], FromBlock] = "all"
    optimizer: Annotated[dict[str, Any], Named("optimizer")]
    schedule: Annotated[dict[str, Any], Named("schedule")] = {"name": "constant"}
    clip_norm: ClipNorm | None = Field(default=None, description=CLIP_NORM)

    @model_validator(mode="after")
    def _has_one_length(self) -> TrainingStage:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("needs epochs or steps, not both; null removes one that is inherited")
        return self

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> TrainingStage:
        if self.optimizer.get("nesterov") and not self.optimizer["momentum"]:
            raise ValueError("optimizer: nesterov needs a momentum, such as 0.9")
        return self


def _may_choose(name: Any) -> Any:
    """Refuse a metric that would choose badly, with the reason."""
    record = catalogue.METRICS.get(name) if isinstance(name, str) else None
    if record and record.never_chosen:
        raise ValueError(f"{name} {record.never_chosen}")
    return name


if TYPE_CHECKING:
    EpochMetric = str
else:
    CHOOSING = tuple(name for name, record in catalogue.METRICS.items() if not record.never_chosen)
    EpochMetric = Annotated[Literal[CHOOSING], BeforeValidator(_may_choose)]


class Best(Strict):
    """Keep the epoch with the best validation value of a metric; of `loss`, the stage's own losses."""

    best: EpochMetric


class EarlyStopping(Strict):
    """End a stage after `patience` epochs without a better validation value of a metric."""

    metric: EpochMetric = "loss"
    patience: Count = 10
