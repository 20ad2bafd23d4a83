"""Pre-training an autoencoder: the training loop with another network, loss and validation score."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from rescan.files import writing
from rescan.models import autoencoders as autoencoder
from rescan.models import networks
from rescan.models.networks import encoder_of
from rescan.paths import AutoencoderFolder
from rescan.training import loader
from rescan.training.infer import batch_of
from rescan.training.trainer import Trainer

SHOWN = 6  # validation images whose reconstructions are kept for the figure


class Pretrainer(Trainer):
    """A training of an autoencoder: its loss is the mean squared error of the normalized images.

    With `samples: all` it also learns from the validation and the test part: the leak that is to be shown.
    """

    def _build(self) -> Any:
        encoder = encoder_of(self.recipe, self.input)
        return autoencoder.Autoencoder(encoder, self.input, norm=self.recipe.network.norm)

    def _choose_samples(self) -> None:
        parts = ("train", "validation", "test") if self.run.sees_test else ("train",)
        self.samples, self.weights = np.concatenate([self.rows[part] for part in parts]), None

    def _loss(self, fed: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:  # noqa: ARG002 - it has no classes
        return functional.mse_loss(self.network(fed).float(), fed)

    def _score(self, part: str) -> dict[str, float | None]:
        rows = self.rows[part]
        batches = loader.cut(rows, batch_of(self.images))
        sums = torch.zeros((), dtype=torch.float64, device=self.device)
        self.network.eval()
        with torch.no_grad(), loader.loading(self.images, batches, pin=self.on_gpu) as loaded:
            for batch in loaded:
                fed = networks.normalize(batch.to(self.device, non_blocking=True), self.recipe.normalization)
                with torch.autocast("cuda", dtype=self.half) if self.on_gpu else nullcontext():
                    made = self.network(fed)
                sums += len(batch) * functional.mse_loss(made.float(), fed).double()
        return {"loss": float(sums) / len(rows)}

    def write(self, folder: Path, header: dict[str, Any]) -> None:
        """Write the encoder, and some validation images with their reconstructions, (n, 2, *spatial, C) uint8."""
        autoencoder.save_encoder(Path(AutoencoderFolder(folder).encoder), self.network.encoder, header)
        rows = self.rows["validation"]
        chosen = np.sort(rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int)])
        pairs = []
        with torch.no_grad():
            for row in chosen:
                batch = loader.gray_levels(np.array(self.images[row : row + 1])).movedim(-1, 1).to(self.device)
                fed = networks.normalize(batch, self.recipe.normalization)
                made = networks.denormalize(self.network.eval()(fed), self.recipe.normalization)
                both = torch.cat([batch.float(), made]).round().clamp(0, 255).to(torch.uint8)
                pairs.append(both.movedim(1, -1).cpu().numpy())
        with writing(AutoencoderFolder(folder).reconstructions) as temporary:
            np.save(temporary, np.stack(pairs), allow_pickle=False)
