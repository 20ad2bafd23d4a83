"""timm's networks of images as encoders: their last maps, or their last tokens laid out as the patches lie.

Their weights keep timm's names, so that its files fit. What timm has behind the last maps is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import MethodType
from typing import Any, Optional

import torch
from torch import Tensor, nn

from rescan.catalogue import timm_encoders
from rescan.errors import NotInstalledError, RescanError
from rescan.models.encoder import Encoder

OPENED = ("blocks", "features", "layers", "stages")  # what timm's networks call the lists of their blocks
# What timm and torch raise where a size does not fit.
UNFIT = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, ZeroDivisionError)


class NoMap(Exception):  # noqa: N818 - not a fault of timm
    """A network returns neither maps nor tokens that lie as a grid."""


class TimmEncoder(Encoder):
    """A network of timm without what it has behind its last maps, which are the Grad-CAM target."""

    body: Any
    fewest = 1  # timm's networks take no empty batch
    whole = "features"

    def __init__(self, network: nn.Module, channels: int, name: str) -> None:
        """Take a network whose `forward` computes so many last maps, and its name in a study file."""
        super().__init__(network, channels, "")
        self.name = name

    def layers(self) -> list[tuple[str, nn.Module]]:
        """Its layers in order, the lists of blocks opened; tokens and position embeddings are weights beside them."""
        return list(_opened(self.body))

    def fitted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file as they fit this network: timm renames old ones, and resizes what belongs to positions.

        Args:
            state: Names of weights, with a classifier or without, to weights; left as it is.

        Returns:
            The same if timm cannot fit them.

        Raises:
            RescanError: They are for images of another size.
        """
        if self._misshapen(state) == []:
            return state
        convert = getattr(sys.modules[type(self.body).__module__], "checkpoint_filter_fn", None)
        try:
            fitted = state if convert is None else dict(convert(dict(state), self.body))
        except (KeyError, *UNFIT):
            fitted = state
        if misshapen := self._misshapen(fitted):
            wrong = f"these weights are for images of another size (by the shape of {misshapen[0]})"
            raise RescanError(f"{self.name}: {wrong}{_own(self.name)}")
        return fitted

    def _misshapen(self, state: dict[str, Tensor]) -> Optional[list[str]]:
        """The names of weights that have another shape here; None if some have another name."""
        own = self.body.state_dict()
        if not own.keys() <= state.keys():
            return None
        return [key for key, value in own.items() if state[key].shape != value.shape]


def timm_encoder(name: str, size: tuple[int, int]) -> TimmEncoder:
    """A network of timm with random weights, for images of one size; in eval mode.

    Args:
        name: As in a study file, such as `timm/convnext_tiny.fb_in1k`.
        size: (H, W) in pixels.

    Raises:
        NotInstalledError: timm is not installed, or has no such network.
        RescanError: It takes no such images, or has no last maps.
    """
    try:
        import timm
    except ImportError as error:
        raise NotInstalledError(f"{name} needs timm ({error}); install it: pip install 'rescan[timm]'") from None
    architecture = timm_encoders.architecture(name)
    if not timm.is_model(architecture):
        raise NotInstalledError(
            f"{name}: timm {timm.__version__} has no {architecture}; a newer one has: pip install -U timm"
        )
    try:
        network = _made(timm, architecture, size)
        maps = network(torch.zeros(1, 3, *size))
    except NoMap:
        raise RescanError(f"{name} has no feature map, which pooling and Grad-CAM need; take another of timm") from None
    except UNFIT as error:
        raise RescanError(
            f"{name} cannot take images of {size[0]} × {size[1]} pixels ({_line(error)}){_own(name)}"
        ) from None
    _drop_unused(network, maps)
    return TimmEncoder(network, maps.shape[1], name)


def _made(timm: Any, architecture: str, size: tuple[int, int]) -> Any:
    """A network for images of a size, whose `forward` computes the last maps; in eval mode."""
    try:
        network = timm.create_model(architecture, num_classes=0, img_size=size)
    except TypeError:  # of any size
        network = timm.create_model(architecture, num_classes=0)
    patches = getattr(getattr(network, "patch_embed", None), "proj", None)
    if isinstance(patches, nn.Conv2d) and patches.kernel_size == patches.stride:
        height, width = patches.kernel_size
        if size[0] % height or size[1] % width:  # timm would leave the last rows out
            raise ValueError(f"not made of whole patches of {height} × {width}")
    network.forward = MethodType(_maps, network)
    return network.eval()


def _maps(network: Any, images: Tensor) -> Tensor:
    """The last maps (B, C, h, w) of images (B, 3, H, W)."""
    maps = network.forward_features(images)
    if isinstance(maps, Tensor) and maps.ndim == 4:
        return maps.permute(0, 3, 1, 2) if getattr(network, "output_fmt", "") == "NHWC" else maps
    if isinstance(maps, Tensor) and maps.ndim == 3:
        tokens = maps[:, _prefix(network) :]
        if grid := _grid(int(tokens.shape[1]), int(images.shape[2]), int(images.shape[3])):
            return tokens.transpose(1, 2).reshape(-1, int(tokens.shape[2]), *grid)
    raise NoMap


def _prefix(network: Any) -> int:
    """How many tokens stand before those of the patches: class tokens, and others of none."""
    of_classes = getattr(network, "cls_token", None)  # (1, how many, D)
    return int(getattr(network, "num_prefix_tokens", 0 if of_classes is None else of_classes.shape[1]))


def _grid(count: int, height: int, width: int) -> Optional[tuple[int, int]]:
    """The rows and columns that tokens of an image's patches make, if they fill its shape."""
    shapes = [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
    rows, columns = min(shapes, key=lambda shape: abs(shape[0] * width - shape[1] * height), default=(0, 0))
    # Strides are rounded up: less than a row, or a column, may be missing.
    return (rows, columns) if abs(rows * width - columns * height) < max(height, width) and count else None


def _drop_unused(network: Any, maps: Tensor) -> None:
    """Remove the layers, such as norms behind the pooling, none of whose weights the maps depend on."""
    names, weights = zip(*[(name, weight) for name, weight in network.named_parameters() if weight.requires_grad])
    gradients = torch.autograd.grad(maps.sum(), weights, allow_unused=True)
    used = {name.partition(".")[0] for name, gradient in zip(names, gradients) if gradient is not None}
    unused = {name.partition(".")[0] for name in names} - used
    for name, _ in list(network.named_children()):
        if name in unused:
            delattr(network, name)


def _opened(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in network.named_children():
        inner = list(layer.named_children()) if name in OPENED else []
        yield from [(f"{name}.{number}", part) for number, part in inner] or [(name, layer)]


def _own(name: str) -> str:
    """What to do where a size does not fit."""
    record = timm_encoders.record(name)
    return "; resize to its own size" + (f", {record.size} × {record.size}" if record else "")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
