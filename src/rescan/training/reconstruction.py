"""The task of an autoencoder: to reconstruct its inputs."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from rescan.files import writing
from rescan.models import autoencoders, model_files
from rescan.models.networks import encoder_of
from rescan.models.normalization import denormalize, normalize
from rescan.paths import AutoencoderFolder
from rescan.results.trained_model import EncoderHeader
from rescan.study import AutoencoderRun
from rescan.training import loader
from rescan.training.forward_pass import batch_size_for
from rescan.training.scores import Scores
from rescan.training.task import Task

EXAMPLES = 6  # validation images whose reconstructions are kept for the figure


class Reconstruction(Task):
    """An encoder and a decoder; the loss is the mean squared error of the normalized images.

    With `samples: all` it also learns from the validation and the test part: a leak, whose effect is to be measured.
    """

    run: AutoencoderRun
    network: autoencoders.Autoencoder

    def build(self) -> autoencoders.Autoencoder:
        """Build the encoder and its decoder."""
        settings = self.run.settings
        encoder = encoder_of(settings, settings.stages, settings.preparation, self.input)
        return autoencoders.Autoencoder(encoder, self.input, norm=settings.norm)

    def start_stage(self, name: str, before: str | None) -> None:  # noqa: ARG002 - it has one stage
        """Choose the samples."""
        parts = ("train", "validation", "test") if self.run.settings.samples == "all" else ("train",)
        self.samples = np.concatenate([self.rows[part] for part in parts])

    def loss(self, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - it has no targets
        """The mean squared error."""
        return functional.mse_loss(self.network(inputs).float(), inputs)

    def score(self, part: str) -> Scores:
        """The mean squared error."""
        rows, device = self.rows[part], self.precision.device
        batches = loader.cut(rows, batch_size_for(self.images))
        errors = torch.zeros((), dtype=torch.float64, device=device)
        self.network.eval()
        with torch.no_grad(), loader.loading(self.images, batches, device=device) as loaded_batches:
            for batch in loaded_batches:
                inputs = normalize(batch, self.run.settings.normalization)
                with self.precision.autocast():
                    outputs = self.network(inputs)
                errors += len(batch) * functional.mse_loss(outputs.float(), inputs).double()
        return {"loss": float(errors) / len(rows)}

    def write(self, folder: str) -> None:
        """Write the encoder, and some validation images with their reconstructions, (n, 2, *spatial, C) uint8."""
        outputs, normalization = AutoencoderFolder(folder), self.run.settings.normalization
        header = EncoderHeader(**self.origin, autoencoder=self.run.name, settings=self.run.settings)
        model_files.save(outputs.encoder, self.network.encoder.body, header)
        rows = self.rows["validation"]
        examples = np.sort(rows[np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).astype(int)])
        pairs = []
        with torch.no_grad():
            for row in examples:
                levels = loader.gray_levels(np.array(self.images[row : row + 1]))
                images = levels.movedim(-1, 1).to(self.precision.device)
                reconstructed = self.network.eval()(normalize(images, normalization))
                pair = torch.cat([images.float(), denormalize(reconstructed, normalization)])
                pairs.append(pair.round().clamp(0, 255).to(torch.uint8).movedim(1, -1).cpu().numpy())
        with writing(outputs.reconstructions) as temporary:
            np.save(temporary, np.stack(pairs), allow_pickle=False)
