"""The task of an arm: to tell classes or grades apart, or to find labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from rescan import catalogue
from rescan.errors import RescanError
from rescan.heads.multilabel_head import present
from rescan.heads.outputs import HEADS
from rescan.log import logger
from rescan.models import model_files, networks
from rescan.models.model_files import load_encoder_weights
from rescan.models.summary import summary
from rescan.paths import RunFolder
from rescan.results.trained_model import ModelHeader, StartWeights
from rescan.study import ClassWeights, Run, Stage
from rescan.training.forward_pass import predict_outputs
from rescan.training.loss_functions import total
from rescan.training.precision import Precision
from rescan.training.randomness import seed_of
from rescan.training.scores import Scores, score
from rescan.training.task import Task


def warn_of_normalization(run: Run) -> None:
    """Say that published weights are fed what they do not expect; a study may mean it so."""
    recipe = run.settings
    expected = catalogue.ENCODERS[recipe.network.encoder].normalization
    if recipe.network.weights == "imagenet" and recipe.normalization != expected:
        logger.warning(
            "%s: normalization: %s, but the weights of %s expect %s",
            run.label,
            recipe.normalization,
            recipe.network.encoder,
            expected,
        )


class Classification(Task):
    """A network with named heads, and a loss per head.

    Attributes:
        stage: The stage under way.
        targets: (N,) int64, the class of each row of `images`, or its labels (see `Outcome.target`).
        weights: (N,) float32 on the device, of each row in the stage's loss; of labels (N, K); None if all weigh the
            same.
    """

    may_diverge = True
    run: Run
    network: networks.Network
    stage: Stage
    weights: torch.Tensor | None

    def __init__(self, run: Run, images: np.ndarray, items: pd.DataFrame, precision: Precision) -> None:
        super().__init__(run, images, items, precision)
        self.started_from: StartWeights | None = None
        if run.start_weights:
            encoder = run.settings.network.encoder
            self.started_from = load_encoder_weights(self.network, run.start_weights, encoder)
            warn_of_normalization(run)
        self.classes, self.head = len(run.study.data.classes), run.settings.epoch_head
        self.multilabel = run.study.data.multilabel
        self.targets = np.zeros(len(images), dtype=np.int64)
        self.targets[items["item"]] = items["target"]
        self._targets_on_device = torch.from_numpy(self.targets).to(precision.device)
        if run.validates_on_test:
            self.rows["validation"] = self.rows["test"]
        self._outputs: list[tuple[torch.Tensor, torch.Tensor]] = []  # of the batches since `hits`, with their targets

    def build(self) -> networks.Network:
        """Build the arm's network."""
        return networks.build(self.run.settings, len(self.run.study.data.classes), self.input)

    def start_stage(self, name: str, before: str | None) -> None:
        """Choose the stage's samples and the weights of their classes; start all but the encoder anew if it says so.

        Raises:
            RescanError: A class has no training sample.
        """
        self.stage = self.run.settings.stages[name]
        if before is not None and self.stage.carry == "encoder":
            torch.manual_seed(seed_of(self.run.seed, "initialization", name))
            state = {key: value for key, value in self.build().state_dict().items() if not key.startswith("encoder.")}
            self.network.load_state_dict(state, strict=False)
        extra = self.items[self.items["part"] == "extra"]
        sources = {origin: rows.to_numpy() for origin, rows in extra.groupby("origin")["item"]}
        sources["own"] = self.rows["train"]
        self.samples = np.concatenate([sources.get(source, np.empty(0, int)) for source in self.stage.samples])
        labels = (
            present(self.targets, self.classes) if self.multilabel else self.targets[:, None] == range(self.classes)
        )
        counts = labels[self.samples].sum(0)
        if not counts.all():
            text = f"a class has no training sample in {', '.join(self.stage.samples)}"
            raise RescanError(f"{self.run.label}, stage {name}: {text}")
        if self.multilabel and (counts == len(self.samples)).any():
            label = self.run.study.data.classes[int(counts.argmax())]
            raise RescanError(f"{self.run.label}, stage {name}: all training samples have the label {label!r}; drop it")
        weights = None
        if self.stage.class_weights == "balanced" and self.multilabel:
            weights = np.where(labels, (len(self.samples) - counts) / counts, 1)
        elif self.stage.class_weights == "balanced":
            weights = (counts.sum() / (self.classes * counts))[self.targets]
        elif isinstance(self.stage.class_weights, ClassWeights):
            weights = self._weights_within(self.stage.class_weights.within)
        self.weights = None if weights is None else torch.from_numpy(weights).float().to(self.precision.device)

    def _weights_within(self, column: str) -> np.ndarray:
        """1 minus the share of each item's class among the stage's items with the same value in a column."""
        value = np.zeros(len(self.images), dtype=np.int64)
        value[self.items["item"]] = pd.factorize(self.items[column])[0]
        counts = np.zeros((value.max() + 1, self.classes))
        np.add.at(counts, (value[self.samples], self.targets[self.samples]), 1)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        return np.asarray(1 - shares[value, self.targets])

    def compares(self, name: str, before: str) -> bool:
        """Not with another head, and not by a loss of another kind."""
        stages, keep = self.run.settings.stages, self.run.settings.keep
        by_loss = keep != "last" and keep.best == "loss"
        return stages[name].carry != "encoder" and not (by_loss and stages[name].losses != stages[before].losses)

    def order(self, stage: str, epoch: int) -> np.ndarray:
        """The epoch's items in the order of training; balanced sampling draws as many, each class as often."""
        if self.stage.sampling == "natural":
            return super().order(stage, epoch)
        targets = self.targets[self.samples]
        odds = 1 / np.bincount(targets, minlength=self.classes)[targets]
        return self.generator(stage, epoch).choice(self.samples, len(self.samples), p=odds / odds.sum())

    def loss(self, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The weighted sum of the heads' losses; what is read off the outputs is kept for `hits`."""
        targets = self._targets_on_device[rows]
        weights = None if self.weights is None else self.weights[rows]
        outputs = self.network(inputs)
        self._outputs.append((outputs[self.head].detach().float(), targets))
        return total(self.stage.losses, outputs, targets, self.classes, weights)

    def hits(self) -> int:
        """How many predictions of the batches since the last call were right."""
        if not self._outputs:
            return 0
        outputs, targets = (torch.cat(batches).cpu().numpy() for batches in zip(*self._outputs))
        self._outputs.clear()
        return int((HEADS[self.head].decide(outputs, self.classes) == targets).sum())

    def score(self, part: str) -> Scores:
        """The loss and the metrics of an epoch."""
        rows, normalization = self.rows[part], self.run.settings.normalization
        outputs = predict_outputs(self.network, self.images, normalization, self.precision.device, rows=rows)
        wanted = self.run.settings.epoch_metrics.values()
        return score(self.stage.losses, outputs, self.targets[rows], self.classes, self.head, wanted)

    def write(self, folder: str) -> None:
        """Write the network, with its header, and its summary."""
        outputs = RunFolder(folder)
        run = self.run
        own = {"arm": run.name, "classes": run.study.data.classes, "start": self.started_from}
        header = ModelHeader(**self.origin, **own, recipe=run.settings.public)
        model_files.save(outputs.model, self.network, header)
        summary(self.network, self.input).write(outputs.network)
