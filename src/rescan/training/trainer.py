"""The training loop: stages of epochs of steps; it can stop after any step and go on from there."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from rescan import catalogue
from rescan.errors import RescanError
from rescan.files import write_json
from rescan.heads import outputs as heads
from rescan.log import logger
from rescan.models import networks
from rescan.paths import RunFolder
from rescan.study import AnyRun, ClassWeights, Stage
from rescan.training import loader, state
from rescan.training.augment import augment
from rescan.training.infer import predict_outputs
from rescan.training.learning_rates import Moment
from rescan.training.loss_functions import total
from rescan.training.randomness import seed_of
from rescan.training.scores import better, score

SAVE_AFTER_EPOCH_SECONDS = 20  # quick epochs are not worth a checkpoint each …
SAVE_IN_EPOCH_SECONDS = 600  # … and long ones are worth several
MOST_LOSSES = 4000  # of single steps that are kept; beyond, of neighbors the mean
CHECK_UPDATES = {"cpu": 1, "cuda": 20}  # looking at a loss makes the CPU wait for the GPU


class Trainer:
    """One training under way: its network, its data, its progress, and the stage that it is in."""

    stage_name: str
    stage: Stage
    samples: np.ndarray  # the stage's training items, by row of the images
    weights: np.ndarray | None  # of each row of the images in the stage's loss
    steps: int  # of the optimizer in the stage
    per_epoch: int  # … and in an epoch
    epochs: int  # of the stage; the last may be cut short
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        run: AnyRun,
        *,
        device: torch.device,
        images: np.ndarray,
        items: pd.DataFrame,
        key: dict[str, Any],
        stop_reason: Callable[[], str | None],
    ) -> None:
        """Build the network and, if the state folder holds a training with this key, take up its state.

        Args:
            run: What is trained.
            device: Where to train.
            images: (N, *spatial, C) uint8 or uint16, memory-mapped.
            items: The run's items (`loader.read_items`).
            key: What the result depends on (`state.key_of`).
            stop_reason: Says why to stop, or None (`job.stop_requests`).
        """
        self.run, self.recipe, self.device, self.key, self.stop_reason = run, run.settings, device, key, stop_reason
        self.folder, self.background = Path(run.state_folder), run.preparation.background
        self.images, self.items = images, items
        self.classes, self.head = len(run.study.data.classes), self.recipe.epoch_head
        self.targets = np.zeros(len(images), dtype=np.int64)
        self.targets[items["item"]] = items["target"]
        self.rows = {part: rows.to_numpy() for part, rows in items.groupby("part")["item"]}
        self.extras = {
            name: rows.to_numpy() for name, rows in items[items["part"] == "extra"].groupby("origin")["item"]
        }
        if self.recipe.validation == "test":
            self.rows["validation"] = self.rows["test"]

        torch.manual_seed(seed_of(run.seed, "initialization"))
        self.input = (images.shape[-1], *images.shape[1:-1])
        self.network = self._build()
        if start := run.start_weights:
            networks.load_encoder_weights(self.network, start)
        self.progress, self.saved = state.load(self.folder, key) or (state.Progress(), {})
        if self.saved:
            self.network.load_state_dict(self.saved["network"])
        self.best: dict[str, torch.Tensor] | None = self.saved.get("best")
        self.on_gpu = device.type == "cuda"
        self.network.to(device)
        if self.on_gpu and len(self.input) == 3:
            self.network.to(memory_format=torch.channels_last)
        torch.backends.cudnn.benchmark = self.on_gpu
        bf16 = self.on_gpu and torch.cuda.get_device_capability() >= (8, 0)  # older cards only emulate it
        self.half = torch.bfloat16 if bf16 else torch.float16
        self.scaler = _grad_scaler(enabled=self.on_gpu and self.half == torch.float16)
        if self.progress.scaler:
            self.scaler.load_state_dict(self.progress.scaler)
        self.sums = torch.tensor(self.progress.sums, dtype=torch.float64, device=device)
        self.read: list[tuple[torch.Tensor, torch.Tensor]] = []  # outputs and targets whose accuracy is still to count
        self.tensorboard = _tensorboard(Path(run.folder, "tensorboard"), len(self.progress.history))
        self.saved_at = self.clock = time.monotonic()

    def _build(self) -> Any:
        """Make the network, with weights drawn from torch's global generator."""
        return networks.build(self.recipe, self.classes, self.input)

    def run_stages(self) -> None:
        """Train through all stages that are not done.

        Raises:
            RescanError: The training must stop; the loss is not finite; or the memory is too small.
        """
        progress = self.progress
        first = progress.stage
        for number, name in list(enumerate(self.recipe.stages))[first:]:
            self.stage_name, self.stage = name, self.recipe.stages[name]
            if number > first:
                progress.stage, progress.epoch, progress.waited, progress.stage_best = number, 0, 0, None
                progress.before = progress.updates
                before = self.recipe.stages[list(self.recipe.stages)[number - 1]]
                if self.stage.carry == "encoder":
                    self._start_heads_anew()
                if self.stage.carry == "encoder" or before.losses != self.stage.losses:
                    self._forget_best()
            self._choose_samples()
            self._measure()
            self._start_optimizer()
            if number == first and self.saved:
                state.unpack(self.optimizer, self.saved["optimizer"], self.saved["optimizer options"])
                self.saved.clear()
                logger.info("going on at %s", self._place())
            try:
                while progress.epoch < self.epochs:
                    self._train_epoch()
                    self._end_epoch()
                    self._save_if_due(SAVE_AFTER_EPOCH_SECONDS)
            except RuntimeError as error:
                if "out of memory" not in str(error):
                    raise
                raise RescanError(
                    f"{self.run.label}, {self._place()}: GPU out of memory at batch_size {self.stage.batch_size}; "
                    "divide batch_size and multiply accumulate by the same number"
                ) from None

    def _start_heads_anew(self) -> None:
        torch.manual_seed(seed_of(self.run.seed, "initialization", self.stage_name))
        fresh = networks.build(self.recipe, self.classes, self.input).state_dict()
        self.network.load_state_dict({name: v for name, v in fresh.items() if not name.startswith("encoder.")}, False)

    def _forget_best(self) -> None:
        """Choose among the epochs from here on: other heads, or other losses, do not compare with those before."""
        if self.stage.carry == "encoder" or (self.recipe.keep != "last" and self.recipe.keep.best == "loss"):
            self.best, self.progress.best, self.progress.best_epoch = None, None, None

    def _choose_samples(self) -> None:
        """Find the stage's training items, and the weights of their classes."""
        stage = self.stage
        self.samples = np.concatenate(
            [self.rows["train"] if name == "own" else self.extras.get(name, np.empty(0, int)) for name in stage.samples]
        )
        targets = self.targets[self.samples]
        counts = np.bincount(targets, minlength=self.classes)
        if not counts.all():
            sources = ", ".join(stage.samples)
            raise RescanError(f"{self.run.label}, stage {self.stage_name}: a class has no training sample in {sources}")
        self.weights = None
        if stage.class_weights == "balanced":
            self.weights = (counts.sum() / (self.classes * counts))[self.targets]
        elif isinstance(stage.class_weights, ClassWeights):
            self.weights = self._weights_within(stage.class_weights.within)

    def _weights_within(self, column: str) -> np.ndarray:
        """One less the share of each item's class among the stage's items with the same value in a column."""
        value = np.zeros(len(self.images), dtype=np.int64)
        value[self.items["item"]] = pd.factorize(self.items[column])[0]
        counts = np.zeros((value.max() + 1, self.classes))
        np.add.at(counts, (value[self.samples], self.targets[self.samples]), 1)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        return np.asarray(1 - shares[value, self.targets])

    def _measure(self) -> None:
        """Find how long the stage is."""
        batches = len(loader.cut(self.samples, self.stage.batch_size))
        self.per_epoch = math.ceil(batches / self.stage.accumulate)
        self.steps = self.stage.steps or int(self.stage.epochs or 0) * self.per_epoch
        self.epochs = math.ceil(self.steps / self.per_epoch)

    def _order(self) -> np.ndarray:
        """The epoch's items in the order of training; balanced sampling draws as many, each class as often."""
        random = np.random.default_rng(seed_of(self.run.seed, "order", self.stage_name, self.progress.epoch))
        if self.stage.sampling == "natural":
            return random.permutation(self.samples)
        targets = self.targets[self.samples]
        odds = 1 / np.bincount(targets, minlength=self.classes)[targets]
        return random.choice(self.samples, len(self.samples), p=odds / odds.sum())

    def _start_optimizer(self) -> None:
        networks.set_trainable(self.network, self.stage.trainable)
        options = {key: value for key, value in self.stage.optimizer.items() if key != "name"}
        trainable = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizer = catalogue.resolve("optimizer", self.stage.optimizer["name"])(trainable, **options)

    def _train_epoch(self) -> None:
        """Train on what is left of an epoch."""
        stage, progress = self.stage, self.progress
        steps = min(self.per_epoch, self.steps - progress.epoch * self.per_epoch)
        batches = loader.cut(self._order(), stage.batch_size)[: steps * stage.accumulate]
        networks.set_training(self.network, stage.trainable)
        self.optimizer.zero_grad(set_to_none=True)
        left = batches[progress.step :]
        what = f"{self.stage_name} {progress.epoch + 1}/{self.epochs}"
        bar = tqdm(total=len(batches), initial=progress.step, desc=what, leave=False, disable=not sys.stderr.isatty())
        with bar, loader.loading(self.images, left, pin=self.on_gpu) as loaded:
            for step, (images, rows) in enumerate(zip(loaded, left), progress.step):
                update = step // stage.accumulate
                together = batches[update * stage.accumulate : (update + 1) * stage.accumulate]
                self._backward(step, images, rows, share=len(images) / sum(map(len, together)))
                bar.update()
                if (step + 1) % stage.accumulate == 0 or step + 1 == len(batches):
                    self._update(update)
                    progress.step = step + 1
                    if update % CHECK_UPDATES[self.device.type] == 0:
                        self._read_sums()
                    self._save_if_due(SAVE_IN_EPOCH_SECONDS)

    def _backward(self, step: int, images: torch.Tensor, rows: np.ndarray, share: float) -> None:
        """Add a batch's share to the gradients, and its loss and correct predictions to the epoch's sums."""
        weights = None if self.weights is None else torch.from_numpy(self.weights[rows]).float().to(self.device)
        targets = torch.from_numpy(self.targets[rows])
        images, targets = (tensor.to(self.device, non_blocking=True) for tensor in (images, targets))
        place = (self.stage_name, self.progress.epoch, step)
        drawn = augment(
            images, self.recipe.augmentation, seed_of(self.run.seed, "augmentation", *place), self.background
        )
        torch.manual_seed(seed_of(self.run.seed, "dropout", *place))
        with torch.autocast("cuda", dtype=self.half) if self.on_gpu else nullcontext():
            loss = self._loss(networks.normalize(drawn, self.recipe.normalization), targets, weights)
        self.scaler.scale(loss * share).backward()
        self.sums[0] += loss.detach().double() * len(targets)
        self.sums[2] += len(targets)

    def _loss(self, fed: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """The loss of a batch, normalized; what is read off its outputs is kept for the epoch's accuracy."""
        outputs = self.network(fed)
        self.read.append((outputs[self.head].detach().float(), targets))
        return total(self.stage.losses, outputs, targets, self.classes, weights)

    def _score(self, part: str) -> dict[str, float | None]:
        """Score the network on a part."""
        rows = self.rows[part]
        outputs = predict_outputs(self.network, self.images, self.recipe.normalization, self.device, rows=rows)
        return score(self.stage.losses, outputs, self.targets[rows], self.classes, self.head)

    def _update(self, number: int) -> None:
        """Take the optimizer's step of a number in the epoch."""
        schedule, progress = dict(self.stage.schedule), self.progress
        factor = catalogue.resolve("schedule", schedule.pop("name"))
        losses = [row["validation_loss"] for row in progress.history if row["stage"] == self.stage_name]
        rate = factor(
            Moment(progress.epoch * self.per_epoch + number, self.steps, self.per_epoch, progress.before, losses),
            **schedule,
        )
        progress.updates += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.optimizer["lr"] * rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def _read_sums(self) -> list[float]:
        """Take the epoch's sums and its time, and the loss since the last time, into the progress.

        Raises:
            RescanError: The loss is not finite.
        """
        progress = self.progress
        if self.read:
            outputs, targets = (torch.cat(parts).cpu().numpy() for parts in zip(*self.read))
            self.sums[1] += int((heads.HEADS[self.head].decide(outputs, self.classes) == targets).sum())
            self.read.clear()
        before, progress.sums = progress.sums, self.sums.tolist()
        if progress.sums[2] > before[2]:
            loss = (progress.sums[0] - before[0]) / (progress.sums[2] - before[2])
            progress.losses.append([progress.updates, loss])
            if len(progress.losses) > MOST_LOSSES:
                pairs = zip(progress.losses[::2], progress.losses[1::2])
                progress.losses = [[step, (one + other) / 2] for (_, one), (step, other) in pairs]
        if not math.isfinite(progress.sums[0]):
            raise RescanError(
                f"{self.run.label}, {self._place()}: the loss is not finite; lower the learning rate or warm it up "
                "(schedule: {name: cosine, warmup: 0.1})"
            )
        now = time.monotonic()
        progress.seconds, self.clock = progress.seconds + now - self.clock, now
        return progress.sums

    def _end_epoch(self) -> None:
        """Score validation and what is watched; add a row to the history; keep the best weights; end the epoch."""
        progress, recipe = self.progress, self.recipe
        loss, correct, seen = self._read_sums()
        scores = self._score("validation")
        watched = {f"{part}_{metric}": value for part in recipe.watch for metric, value in self._score(part).items()}
        row = {
            "stage": self.stage_name,
            "epoch": len(progress.history),
            "step": progress.updates,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": loss / seen,
            **({"train_accuracy": correct / seen} if "accuracy" in scores else {}),
            **{f"validation_{metric}": value for metric, value in scores.items()},
            **watched,
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(seen / progress.seconds, 1),
        }
        progress.history.append(row)
        self._tell(row)
        if recipe.keep != "last" and better(recipe.keep.best, scores, progress.best):
            progress.best, progress.best_epoch = scores[recipe.keep.best], row["epoch"]
            self.best = {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}
        progress.epoch, progress.step, progress.seconds = progress.epoch + 1, 0, 0.0
        progress.sums = self.sums.zero_().tolist()
        self.clock = time.monotonic()
        if recipe.early_stopping is not None:
            metric, patience = recipe.early_stopping.metric, recipe.early_stopping.patience
            if better(metric, scores, progress.stage_best):
                progress.waited, progress.stage_best = 0, scores[metric]
            else:
                progress.waited += 1
            if progress.waited >= patience and progress.epoch < self.epochs:
                logger.info("stage %s ends: validation %s no better for %d epochs", self.stage_name, metric, patience)
                progress.epoch = self.epochs

    def write(self, folder: Path, header: dict[str, Any]) -> None:
        """Write the network, with a header, and its summary."""
        networks.save(Path(RunFolder(folder).model), self.network, header)
        *layers, whole = networks.summary(self.network, self.input)
        sizes = {"total": whole["parameters"], "trainable": whole["trainable"], "layers": layers}
        write_json(RunFolder(folder).network, sizes)

    def _tell(self, row: dict[str, Any]) -> None:
        """Log an epoch, for people and for TensorBoard."""
        numbers = {key: math.nan if value is None else value for key, value in row.items()}
        accuracies = [numbers.get(f"{part}_accuracy") for part in ("train", "validation")]
        own, held_out = ("" if value is None else f", accuracy {value:.3f}" for value in accuracies)
        said = f"loss %(train_loss).4f{own}; validation loss %(validation_loss).4f{held_out}"
        logger.info(f"stage %(stage)s, epoch %(epoch)d: {said}; %(images_per_second).3g images/s", numbers)
        for key, value in numbers.items():
            if key not in {"stage", "epoch", "step"}:
                self.tensorboard.add_scalar(key.replace("_", "/", 1), value, row["epoch"])

    def _save_if_due(self, interval: float) -> None:
        """Save the state if the last one is older than `interval` seconds, or the training must stop.

        Raises:
            RescanError: The training must stop.
        """
        reason = self.stop_reason()
        if reason or time.monotonic() - self.saved_at > interval:
            self._read_sums()
            self.progress.scaler = self.scaler.state_dict()
            state.save(self.folder, self.key, self.progress, self.network, self.optimizer, best=self.best)
            self.saved_at = time.monotonic()
        if reason:
            raise RescanError(f"{self.run.folder}: stopped {reason} at {self._place()}; run the same again to go on")

    def _place(self) -> str:
        return f"stage {self.stage_name}, epoch {self.progress.epoch}, step {self.progress.step}"


def _grad_scaler(*, enabled: bool) -> Any:
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cuda", enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)  # torch < 2.3


def _tensorboard(folder: Path, epoch: int) -> Any:
    """Open TensorBoard's log of a run, which begins again if `epoch` is 0."""
    from torch.utils.tensorboard import SummaryWriter

    if epoch == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return SummaryWriter(str(folder), purge_step=epoch)
