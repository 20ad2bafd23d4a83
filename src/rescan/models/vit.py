"""Vision transformers, read as maps: the token-to-grid rule that pooling and Grad-CAM need."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from rescan.errors import RescanError
from rescan.models.checkpointing import Chain
from rescan.models.encoder import Encoder


class TokenGrid(nn.Module):
    """A torchvision vision transformer without its head, whose patch tokens are laid out as the patches lie.

    The class token takes part in the attention, and is left out of the grid.
    """

    def __init__(self, network: models.VisionTransformer) -> None:
        """Take over the network's layers, under its names."""
        super().__init__()
        self.patch = network.patch_size
        self.class_token = network.class_token
        self.conv_proj = network.conv_proj
        self.encoder = network.encoder
        self.encoder.layers = Chain(OrderedDict(network.encoder.layers.named_children()))

    def layers(self) -> list[tuple[str, nn.Module]]:
        """Its layers in order; the class token and the position embeddings are weights beside them."""
        first, last = ("conv_proj", self.conv_proj), ("encoder.ln", self.encoder.ln)
        return [
            first,
            *((f"encoder.layers.{name}", layer) for name, layer in self.encoder.layers.named_children()),
            last,
        ]

    def forward(self, images: Tensor) -> Tensor:
        """Compute the patch tokens after the last layer norm.

        Args:
            images: (B, 3, H, W) float32; H and W multiples of the patch size.

        Returns:
            (B, D, H / patch, W / patch) float32.

        Raises:
            RescanError: The images are not made of whole patches.
        """
        height, width = images.shape[2:]
        if height % self.patch or width % self.patch:
            raise RescanError(
                f"images of {height} × {width} pixels are not made of whole patches of {self.patch} × {self.patch}; "
                f"resize to multiples of {self.patch}"
            )
        grid = self.conv_proj(images)
        tokens = torch.cat([self.class_token.expand(images.shape[0], -1, -1), grid.flatten(2).transpose(1, 2)], dim=1)
        tokens = self.encoder.dropout(tokens + self.positions(*grid.shape[2:]))
        tokens = self.encoder.ln(self.encoder.layers(tokens))
        return tokens[:, 1:].transpose(1, 2).reshape(grid.shape)

    def positions(self, height: int, width: int) -> Tensor:
        """The position embeddings (1, 1 + height · width, D) of a grid: the trained ones, interpolated bicubically.

        As torchvision's `interpolate_embeddings` does for square grids.
        """
        trained = self.encoder.pos_embedding
        side = math.isqrt(int(trained.shape[1]) - 1)  # a trace would make it a tensor
        if (height, width) == (side, side):
            return trained
        square = trained[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        resized = functional.interpolate(square, (height, width), mode="bicubic", align_corners=True)
        return torch.cat([trained[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)


def vit_b_16() -> Encoder:
    """ViT-B/16 (Dosovitskiy et al. 2021): the target is the grid of patch tokens."""
    return Encoder(TokenGrid(models.vit_b_16(weights=None)), 768, "")
