"""`state.json`: where a training stands, and what its result depends on. The trainer goes on from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Optional, Union

from pydantic import ConfigDict, Field

from rescan.files import fingerprint, write_json
from rescan.results.json_result import JsonResult, Part

Row = dict[str, Union[int, float, str, None]]  # of history.csv


@dataclass
class Progress:
    """Where a training stands. JSON keeps all of it exactly.

    Attributes:
        stage: Number of the stage.
        epoch: Within the stage.
        step: Batches of this epoch that are done.
        sums: Of this epoch: loss, right predictions, images.
        updates: Steps of the optimizer in all.
        before: Those of the stages before.
        seconds: Spent on this epoch.
        waited: Epochs since the stage's best, for early stopping.
        stage_best: The score of the stage's best epoch.
        best: The score of the best epoch.
        best_epoch: The row of the history whose weights are kept.
        finite_epoch: The last row of the history when finite weights were kept in case that the training diverges.
        history: One row per epoch.
        losses: Step of the optimizer and loss.
        scaler: The state of the gradients' scaler.
        code: All code that trained so far: commit, changes and checksum of each (`rescan.checkout.Code`).
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * 3)
    updates: int = 0
    before: int = 0
    seconds: float = 0.0
    waited: int = 0
    stage_best: Optional[float] = None
    best: Optional[float] = None
    best_epoch: Optional[int] = None
    finite_epoch: int = -1
    history: list[Row] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)
    code: list[dict[str, str]] = field(default_factory=list)

    def note_code(self, code: dict[str, str]) -> None:
        """Note that some code trains."""
        if code not in self.code:
            self.code.append(code)


class TrainingKey(Part):
    """All that a training's result depends on; equal keys mean equal results.

    Attributes:
        recipe: The fingerprint of the settings (`AnyRun.key`).
        images: That of the prepared images.
        split: That of the samples, their classes and parts.
        fold: The fold.
        seed: The seed.
        pretrained_weights: The checksum of the file that the encoder starts from; "" for none.
        version_of_the_trainer: TRAINING_VERSION.
        device: `cpu` or `cuda`.
        threads: Torch's threads; 0 on a GPU, where they do not matter.
    """

    model_config = ConfigDict(populate_by_name=True)

    recipe: str
    images: str
    split: str
    fold: int
    seed: int
    pretrained_weights: str = Field(alias="pretrained weights")
    version_of_the_trainer: int = Field(alias="version of the trainer")
    device: str
    threads: Optional[int]

    def differences(self, other: TrainingKey) -> list[str]:
        """In what another key differs, in words."""
        names = type(self).model_fields
        return [name.replace("_", " ") for name in names if getattr(self, name) != getattr(other, name)]


class TrainingState(JsonResult):
    """A training that is finished, or that can go on.

    Attributes:
        key: What its result depends on.
        finished: Whether its outputs are there. Only if not, there are the other fields.
        progress: Where it stands.
        files: Safetensors files beside: `network`, `optimizer`, and `best` if an epoch was chosen, else `finite`.
        optimizer: What of the optimizer's state is no tensor (`state.pack`).
        checksums: SHA-256 of these files by their names, or, of a finished training, of its outputs.
        seal: The fingerprint of all the other fields.
    """

    step: ClassVar[str] = "train"

    key: TrainingKey
    finished: bool
    progress: Optional[Progress] = None
    files: dict[str, str] = {}
    optimizer: dict[str, Any] = {}
    checksums: dict[str, str] = {}
    seal: str = ""

    def write(self, path: str | Path) -> None:
        """Write the file, sealed."""
        write_json(path, {**self._content(), "seal": self._own_seal()})

    @property
    def is_whole(self) -> bool:
        """Whether no value was changed since it was written."""
        return self.seal == self._own_seal()

    def _own_seal(self) -> str:
        return fingerprint(self._content())

    def _content(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True, exclude={"seal"})
