"""The training loop: stages of epochs of steps, for any task; it can stop after any step and go on from there."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from rescan import catalogue, checkout
from rescan.errors import RescanError
from rescan.log import logger
from rescan.models import networks
from rescan.models.normalization import normalize
from rescan.results.training_state import Progress, TrainingKey
from rescan.study import TrainingStage
from rescan.training import loader, state
from rescan.training.augment import augment
from rescan.training.bookkeeping import Bookkeeping
from rescan.training.epoch_log import EpochLog
from rescan.training.learning_rates import Moment
from rescan.training.precision import place
from rescan.training.randomness import seed_of
from rescan.training.scores import Scores
from rescan.training.task import Task

SAVE_AFTER_EPOCH_SECONDS = 20  # quick epochs are not worth a checkpoint each …
SAVE_IN_EPOCH_SECONDS = 600  # … and long ones are worth several
SAVE_BEFORE_SCORES_SECONDS = 120  # a job's time may be over while it scores
CHECK_UPDATES = {"cpu": 1, "cuda": 20}  # looking at a loss makes the CPU wait for the GPU
REMEDY = (
    "lower the learning rate, warm it up (schedule: {name: cosine, warmup: 0.1}) or clip the gradients (clip_norm: 1.0)"
)


class NotFiniteError(Exception):
    """The loss or the weights are no longer numbers; the message says where."""


class Trainer:
    """One training under way: its task, its progress, and the stage that it is in."""

    stage_name: str
    stage: TrainingStage
    steps: int  # of the optimizer in the stage
    steps_per_epoch: int
    epochs: int  # of the stage; the last may be cut short
    optimizer: torch.optim.Optimizer

    def __init__(self, task: Task, key: TrainingKey, stop_reason: Callable[[], str | None]) -> None:
        """Take up the training of this key in the state folder, if there is one.

        Args:
            task: What is learned.
            key: What the result depends on (`state.key_of`).
            stop_reason: Gives the reason to stop, or None (`job.stop_requests`).
        """
        self.task, self.run, self.settings, self.precision = task, task.run, task.run.settings, task.precision
        self.folder, self.key, self.stop_reason = Path(task.run.state_folder), key, stop_reason
        self.progress, self.resumed = state.load(self.folder, key) or (Progress(), {})
        self.progress.note_code(checkout.code()._asdict())
        task.code = self.progress.code
        if self.resumed:
            task.network.load_state_dict(self.resumed["network"])
        self.best: dict[str, torch.Tensor] | None = self.resumed.get("best")
        self.finite: dict[str, torch.Tensor] | None = self.resumed.get("finite")  # while there are no best
        place(task.network, self.precision.device, len(task.input) - 1)
        if self.progress.scaler:
            self.precision.scaler.load_state_dict(self.progress.scaler)
        self.books = Bookkeeping(self.progress, self.precision.device)
        self.last_save = time.monotonic()

    def train(self) -> None:
        """Train through all stages that are not done; leave the network with the weights that are kept.

        A loss that is not finite ends the training. Of a task for which that is a result (`Task.may_diverge`), the best
        weights are kept or, if no epoch is chosen by its score, the last that are finite.

        Raises:
            RescanError: The training must stop; the loss of an autoencoder is not finite; or the memory is too small.
        """
        log = EpochLog(Path(self.run.folder, "tensorboard"), len(self.progress.history))
        with closing(log), self._memory_faults_in_words():
            try:
                self._train_stages(log)
            except NotFiniteError as error:
                if not self.task.may_diverge:
                    raise RescanError(f"{self.run.label}, {error}; {REMEDY}") from None
                logger.warning("%s, %s: the training ends here, diverged; %s", self.run.label, error, REMEDY)
                self.task.diverged = self._place()
                self._go_back()
        if self.best is not None:
            self.task.network.load_state_dict(self.best)

    def _train_stages(self, log: EpochLog) -> None:
        for number, name in list(enumerate(self.settings.stages))[self.progress.stage :]:
            self._start_stage(number, name)
            while self.progress.epoch < self.epochs:
                if not self.progress.step:
                    self._keep_finite()
                self._train_epoch()
                self._save_if_due(SAVE_BEFORE_SCORES_SECONDS)
                scores = self.task.score("validation")
                log.add(self._record(scores))
                self._end_epoch(scores)
                self._save_if_due(SAVE_AFTER_EPOCH_SECONDS)
        if self.best is None and not self._keep_finite():
            raise NotFiniteError("the weights are not finite after the last step")

    def _keep_finite(self) -> bool:
        """Keep the weights in case that the training diverges, if no better ones are and these are finite."""
        if self.best is not None or not self.task.may_diverge:
            return True
        weights = self._weights()
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            return False
        self.finite, self.progress.finite_epoch = weights, len(self.progress.history) - 1
        return True

    def _weights(self) -> dict[str, torch.Tensor]:
        return {key: value.detach().cpu().clone() for key, value in self.task.network.state_dict().items()}

    def _go_back(self) -> None:
        """Keep what was finite last: of a stage without a whole epoch, what it began with, whose scores are noted."""
        if self.best is not None or self.finite is None:
            return
        self.best, self.progress.best_epoch = self.finite, self.progress.finite_epoch
        row = self.progress.finite_epoch
        if row < 0 or self.progress.history[row]["stage"] != self.stage_name:
            self.task.network.load_state_dict(self.best)
            self._record(self.task.score("validation"))
            self.progress.best_epoch = len(self.progress.history) - 1

    def _start_stage(self, number: int, name: str) -> None:
        """Make ready for a stage, or for the rest of the one that was stopped."""
        goes_on = number == self.progress.stage
        before = None if goes_on else list(self.settings.stages)[number - 1]
        self.stage_name, self.stage = name, self.settings.stages[name]
        if before is not None:
            self.books.start_stage(number)
            if not self.task.compares(name, before):
                self.books.forget_best()
                self.best = None
        self.task.start_stage(name, before)
        batches = len(loader.cut(self.task.samples, self.stage.batch_size))
        self.steps_per_epoch = math.ceil(batches / self.stage.accumulate)
        self.steps = self.stage.steps or int(self.stage.epochs or 0) * self.steps_per_epoch
        self.epochs = math.ceil(self.steps / self.steps_per_epoch)
        self._start_optimizer()
        if goes_on and self.resumed:
            state.unpack(self.optimizer, self.resumed["optimizer"], self.resumed["optimizer options"])
            self.resumed.clear()
            logger.info("going on at %s", self._place())

    def _start_optimizer(self) -> None:
        networks.set_trainable(self.task.network, self.stage.trainable)
        options = {key: value for key, value in self.stage.optimizer.items() if key != "name"}
        if self.precision.on_gpu:
            options["foreach"] = True  # torch < 2 would start a dozen kernels for each of some hundred parameters
        trainable = [parameter for parameter in self.task.network.parameters() if parameter.requires_grad]
        self.optimizer = catalogue.resolve("optimizer", self.stage.optimizer["name"])(trainable, **options)

    def _train_epoch(self) -> None:
        """Train on what is left of an epoch."""
        stage, progress = self.stage, self.progress
        steps = min(self.steps_per_epoch, self.steps - progress.epoch * self.steps_per_epoch)
        order = self.task.order(self.stage_name, progress.epoch)
        batches = loader.cut(order, stage.batch_size)[: steps * stage.accumulate]
        networks.set_training(self.task.network, stage.trainable)
        self.optimizer.zero_grad(set_to_none=True)
        rest = batches[progress.step :]
        rows = torch.split(
            torch.from_numpy(np.concatenate(batches)).to(self.precision.device), [len(b) for b in batches]
        )
        prepare = self._preparation(progress.epoch, progress.step)
        title = f"{self.stage_name} {progress.epoch + 1}/{self.epochs}"
        bar = tqdm(total=len(batches), initial=progress.step, desc=title, leave=False, disable=not sys.stderr.isatty())
        with bar, loader.loading(self.task.images, rest, device=self.precision.device, prepare=prepare) as prepared:
            for step, inputs in enumerate(prepared, progress.step):
                update = step // stage.accumulate
                together = batches[update * stage.accumulate : (update + 1) * stage.accumulate]
                self._backward(step, inputs, rows[step], share=len(inputs) / sum(map(len, together)))
                bar.update()
                if (step + 1) % stage.accumulate == 0 or step + 1 == len(batches):
                    self._update(update)
                    progress.step = step + 1
                    if update % CHECK_UPDATES[self.precision.device.type] == 0:
                        self._read_sums()
                    self._save_if_due(SAVE_IN_EPOCH_SECONDS)
        self._read_sums()

    def _preparation(self, epoch: int, first: int) -> Callable[[torch.Tensor, int], torch.Tensor]:
        """What augments and normalizes the batches of an epoch from the step `first` on."""
        name, settings, background = self.stage_name, self.settings, self.run.preparation.background

        def prepare(images: torch.Tensor, number: int) -> torch.Tensor:
            seed = seed_of(self.run.seed, "augmentation", name, epoch, first + number)
            return normalize(augment(images, settings.augmentation, seed, background), settings.normalization)

        return prepare

    def _backward(self, step: int, inputs: torch.Tensor, rows: torch.Tensor, share: float) -> None:
        """Add a batch's share to the gradients, and its loss to the epoch's sums."""
        self.precision.seed(seed_of(self.run.seed, "dropout", self.stage_name, self.progress.epoch, step))
        with self.precision.autocast():
            loss = self.task.loss(inputs, rows)
        self.precision.backward(loss * share)
        self.books.add(loss, len(rows))

    def _update(self, number: int) -> None:
        """Take the optimizer's step of a number in the epoch."""
        schedule, progress = dict(self.stage.schedule), self.progress
        factor = catalogue.resolve("schedule", schedule.pop("name"))
        losses = self.books.validation_losses(self.stage_name)
        step = progress.epoch * self.steps_per_epoch + number
        rate = factor(Moment(step, self.steps, self.steps_per_epoch, progress.before, losses), **schedule)
        progress.updates += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.optimizer["lr"] * rate
        self.precision.step(self.optimizer, self.stage.clip_norm)

    def _read_sums(self) -> None:
        """Bring the progress up to date.

        Raises:
            NotFiniteError: The loss is not finite.
        """
        if not self.books.read(self.task.hits()):
            raise NotFiniteError(f"{self._place()}: the loss is not finite")

    def _record(self, scores: Scores) -> dict[str, Any]:
        """Score what else is watched, and add a row to the history."""
        parts = {part: self.task.score(part) for part in self.settings.watch}
        watched = {f"{part}_{metric}": value for part, of_part in parts.items() for metric, value in of_part.items()}
        return self.books.add_row(self.stage_name, self.optimizer.param_groups[0]["lr"], scores, watched)

    def _end_epoch(self, scores: Scores) -> None:
        """Keep the weights if they are the best; end the stage if it is no longer getting better."""
        if self.books.is_best(self.settings.keep, scores):
            self.best = self._weights()
        self.books.end_epoch()
        rule = self.settings.early_stopping
        if rule is not None and self.books.stops(rule, scores) and self.progress.epoch < self.epochs:
            text = "stage %s ends: validation %s no better for %d epochs"
            logger.info(text, self.stage_name, rule.metric, rule.patience)
            self.progress.epoch = self.epochs

    def _save_if_due(self, interval: float) -> None:
        """Save the state if the last one is older than `interval` seconds, or the training must stop.

        Raises:
            RescanError: The training must stop.
        """
        reason = self.stop_reason()
        if reason or time.monotonic() - self.last_save > interval:
            self._read_sums()
            self.progress.scaler = self.precision.scaler.state_dict()
            kept = {"finite": self.finite} if self.best is None else {"best": self.best}
            state.save(self.folder, self.key, self.progress, self.task.network, self.optimizer, kept)
            self.last_save = time.monotonic()
        if reason:
            raise RescanError(
                f"{self.run.folder}: {reason} at {self._place()}, where an epoch takes "
                f"{self._epoch_seconds():.0f} s; run the same again to go on"
            )

    @contextmanager
    def _memory_faults_in_words(self) -> Iterator[None]:
        """Turn torch's error about memory into one line."""
        try:
            yield
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            raise RescanError(
                f"{self.run.label}, {self._place()}: GPU out of memory at batch_size {self.stage.batch_size}; divide "
                "batch_size and multiply accumulate by the same number"
            ) from None

    def _epoch_seconds(self) -> float:
        """How long an epoch takes: as this one so far, or the last."""
        progress = self.progress
        if not progress.step:
            return float(progress.history[-1]["seconds"] or 0)
        return progress.seconds / progress.step * self.steps_per_epoch * self.stage.accumulate

    def _place(self) -> str:
        return f"stage {self.stage_name}, epoch {self.progress.epoch}, step {self.progress.step}"
