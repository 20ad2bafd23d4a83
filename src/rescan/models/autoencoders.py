"""Autoencoders: any encoder, and a decoder that upsamples its last maps to the input's size."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from rescan.models import norms
from rescan.models.encoder import Encoder

WIDEST, NARROWEST = 256, 16  # channels of a decoder's maps: halved with each doubling of their size
LAYERS = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}


class Resize(nn.Module):
    """Nearest-neighbor interpolation to a size."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, *cells) to (B, C, *size) float32: torch < 2 has no bfloat16 for it on GPUs."""
        return functional.interpolate(maps.float(), size=self.size, mode="nearest")


def doublings(start: tuple[int, ...], end: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The sizes behind `start` up to `end`, at least one: each axis is doubled until it is there."""
    sizes: list[tuple[int, ...]] = []
    while not sizes or start != end:
        start = tuple(min(2 * size, last) for size, last in zip(start, end))
        sizes.append(start)
    return sizes


def build_decoder(channels: int, cells: tuple[int, ...], input_shape: tuple[int, ...], norm: str) -> nn.Sequential:
    """Make a decoder of (B, channels, *cells) into (B, *input_shape).

    A 1 × 1 convolution narrows the maps; each doubling but the last is followed by a 3 × 3 convolution, norm and ReLU,
    and the last, to the input's size, by the convolution whose output is the reconstruction.
    """
    conv, batch_norm = LAYERS[len(cells)]
    width = min(channels, WIDEST)
    layers: list[nn.Module] = [conv(channels, width, 1)]
    *sizes, last = doublings(cells, input_shape[1:])
    for size in sizes:
        narrower = max(width // 2, NARROWEST)
        layers += [
            Resize(size),
            conv(width, narrower, 3, padding=1, bias=False),
            batch_norm(narrower),
            nn.ReLU(inplace=True),
        ]
        width = narrower
    decoder = nn.Sequential(*layers, Resize(last), conv(width, input_shape[0], 3, padding=1))
    norms.replace(decoder, norm)
    return decoder


class Autoencoder(nn.Module):
    """An encoder and the decoder that learns with it to reconstruct its input."""

    def __init__(self, encoder: Encoder, input_shape: tuple[int, ...], norm: str = "batch") -> None:
        """Make the decoder, with weights drawn from torch's global generator.

        Args:
            encoder: An encoder that takes such inputs.
            input_shape: (C, H, W) or (C, D, H, W).
            norm: `batch`, `instance` or `group`: the decoder's.
        """
        super().__init__()
        cells = encoder.cells(input_shape)
        self.encoder = encoder
        self.decoder = build_decoder(encoder.channels, cells, input_shape, norm)
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct (B, C, *spatial), normalized, in the same shape."""
        return self.decoder(self.encoder.features(images))
