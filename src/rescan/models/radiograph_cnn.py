"""A plain or residual network of convolutions, described by a list of blocks: what differs between two is data."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from rescan.models.checkpointing import Chain
from rescan.models.encoder import Encoder
from rescan.study import Block

# The network of the handout in studies/mura.yaml; with it and 227 × 227 pixels it has 28,557,697 parameters.
HANDOUT = (
    Block(kernel=7, maps=64, stride=2, pool=2),
    Block(kernel=5, maps=128, stride=2, pool=2),
    *(Block(maps=maps) for maps in (256, 384, 256)),
    Block(maps=256, pool=2),
)


class Residual(nn.Module):
    """ReLU(conv(ReLU(conv(X))) + X) (He et al. 2016, without batch norm)."""

    def __init__(self, inputs: int, block: Block) -> None:
        """Make both convolutions and, where the number or size of the maps changes, the 1 × 1 one of the shortcut.

        Args:
            inputs: Number of maps that it takes.
            block: What it returns; the first convolution and the shortcut have its stride.
        """
        super().__init__()
        self.conv1 = _convolution(inputs, block.maps, block.kernel, block.stride)
        self.conv2 = _convolution(block.maps, block.maps, block.kernel, 1)
        same = inputs == block.maps and block.stride == 1
        self.shortcut = nn.Identity() if same else _convolution(inputs, block.maps, 1, block.stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, maps, H, W), H and W over the stride."""
        return (self.conv2(self.conv1(maps).relu()) + self.shortcut(maps)).relu()


def radiograph_cnn(blocks: Sequence[Block] = HANDOUT) -> Encoder:
    """Chain blocks of convolution, ReLU and max pooling, on gray images.

    The Grad-CAM target is the last block's ReLU, before its pooling.
    """
    chain: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = 1
    for number, block in enumerate(blocks, 1):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if block.residual:
            layers["maps"] = Residual(inputs, block)
        else:
            layers["conv"] = _convolution(inputs, block.maps, block.kernel, block.stride)
            layers["maps"] = nn.ReLU(inplace=True)
        if block.pool > 1:
            layers["pool"] = nn.MaxPool2d(block.pool)
        chain[f"block{number}"] = nn.Sequential(layers)
        inputs = block.maps
    return Encoder(Chain(chain), inputs, f"block{len(blocks)}.maps", inputs=1)


def _convolution(inputs: int, maps: int, kernel: int, stride: int) -> nn.Conv2d:
    """A convolution that keeps the size of the maps but for its stride; weights as of He et al. (2015), biases 0."""
    convolution = nn.Conv2d(inputs, maps, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type] # it has one
    return convolution
