"""Runs: an arm, or an autoencoder, trained once on one fold with one seed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rescan.paths import AutoencoderFolder, Paths, RunFolder, StateFolder, StoreFolder
from rescan.study.keys import autoencoder_key, recipe_key
from rescan.study.recipe import ClassWeights

if TYPE_CHECKING:
    from rescan.study.autoencoder import Autoencoder
    from rescan.study.preparation import Preparation
    from rescan.study.recipe import Recipe
    from rescan.study.study import Study


@dataclass(frozen=True)
class AnyRun(ABC):
    """What is trained once, and where it lies: an arm's `Run` or an `AutoencoderRun`.

    Attributes:
        study: The resolved study.
        name: Of the arm, or of the autoencoder.
        fold: The fold, from 0.
        seed: The seed.
    """

    study: Study
    name: str
    fold: int
    seed: int

    @property
    @abstractmethod
    def settings(self) -> Recipe | Autoencoder:
        """How it is trained."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What messages call it."""

    @property
    @abstractmethod
    def folder(self) -> str:
        """The folder of its outputs."""

    @property
    @abstractmethod
    def state_folder(self) -> StateFolder:
        """The folder of what the training resumes from."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The fingerprint of all that its training depends on in the study file."""

    @property
    @abstractmethod
    def start_weights(self) -> str | None:
        """The file that its encoder starts from; None for random weights."""

    @property
    @abstractmethod
    def sees_test(self) -> bool:
        """Whether test samples change what comes out."""

    @property
    def training_samples(self) -> str:
        """Which of the training part it is trained on (`Recipe.training_samples`)."""
        return "all"

    @property
    def extras(self) -> set[str]:
        """The names of data.extra that it is trained on, too."""
        return set()

    @property
    def validates_on_test(self) -> bool:
        """Whether it is validated on the test part, and trained on the validation part."""
        return False

    @property
    def weight_columns(self) -> list[str]:
        """The columns of the manifest that class weights are taken within."""
        return []

    @property
    def fold_and_seed(self) -> tuple[int, int]:
        """Its fold and seed."""
        return self.fold, self.seed

    @property
    def paths(self) -> Paths:
        """The paths of its study."""
        return Paths(self.study.scale, self.study.name)

    @property
    def preparation(self) -> Preparation:
        """How its samples are prepared."""
        return self.study.preparations[self.settings.preparation]

    @property
    def store(self) -> StoreFolder:
        """The packed store of its samples."""
        return self.paths.store(self.settings.preparation)


class Run(AnyRun):
    """An arm trained once."""

    @property
    def settings(self) -> Recipe:
        """The arm's recipe."""
        return self.study.arms[self.name]

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"arm {self.name}"

    @property
    def folder(self) -> RunFolder:
        """The folder of its outputs."""
        return self.paths.run(self.name, self.fold, self.seed)

    @property
    def state_folder(self) -> StateFolder:
        """The folder of what the training resumes from."""
        return self.paths.state(self.name, self.fold, self.seed)

    @property
    def key(self) -> str:
        """The fingerprint of all that its training depends on in the study file."""
        return recipe_key(self.study, self.name)

    @property
    def start_weights(self) -> str | None:
        """ImageNet or own weights, or the encoder of the same run of an autoencoder; None for random weights."""
        network = self.settings.network
        if network.start == "random":
            return None
        if network.start == "autoencoder":
            return AutoencoderRun(self.study, network.weights, self.fold, self.seed).folder.encoder
        return Paths.weights(network.encoder, network.weights if network.start == "file" else None)

    @property
    def sees_test(self) -> bool:
        """Whether test samples are validated on, or watched."""
        return self.validates_on_test or "test" in self.settings.watch

    @property
    def training_samples(self) -> str:
        """Which of the training part it is trained on."""
        return self.settings.training_samples

    @property
    def extras(self) -> set[str]:
        """The names of data.extra that it is trained on, too."""
        return self.settings.extras

    @property
    def validates_on_test(self) -> bool:
        """Whether it is validated on the test part, and trained on the validation part."""
        return self.settings.validation == "test"

    @property
    def weight_columns(self) -> list[str]:
        """The columns of the manifest that class weights are taken within."""
        weights = [stage.class_weights for stage in self.settings.stages.values()]
        return sorted({weighted.within for weighted in weights if isinstance(weighted, ClassWeights)})

    @property
    def trained(self) -> Run:
        """The run whose model it reads: its own, or that of the arm that its recipe names in `models`; at home."""
        return Run(self.study.trainer, self.settings.models or self.name, self.fold, self.seed)


class AutoencoderRun(AnyRun):
    """An autoencoder trained once."""

    @property
    def settings(self) -> Autoencoder:
        """How it is trained."""
        return self.study.autoencoders[self.name]

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"autoencoder {self.name}"

    @property
    def folder(self) -> AutoencoderFolder:
        """The folder of its outputs."""
        return self.paths.autoencoder(self.name, self.fold, self.seed)

    @property
    def state_folder(self) -> StateFolder:
        """The folder of what the training resumes from."""
        return self.paths.autoencoder_state(self.name, self.fold, self.seed)

    @property
    def key(self) -> str:
        """The fingerprint of all that its training depends on in the study file."""
        return autoencoder_key(self.study, self.name)

    @property
    def start_weights(self) -> None:
        """None: an autoencoder starts from random weights."""
        return None

    @property
    def sees_test(self) -> bool:
        """Whether it is trained on the test part, too."""
        return self.settings.samples == "all"
