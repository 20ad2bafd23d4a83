"""How the weights in a file are matched with those of an encoder: all of them by name and shape, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from rescan.errors import RescanError
from rescan.log import logger

# What a file may hold beside the encoder, by the first part of the name: what was behind it, and is not needed.
HEADS = {"fc", "_fc", "classifier", "head", "heads", "last_linear", "class_layers", "AuxLogits", "conv_seg"}
# What is no weight: a count that only cumulative batch norm uses, and files older than torch 0.4.1 don't hold; and what
# networks of windows or tokens compute from their sizes, which files of some versions of timm hold.
COMPUTED = (
    "num_batches_tracked", "relative_position_index", "relative_coords_table", "attn_mask", "attention_bias_idxs"
)  # fmt: skip
FEW = 5  # names in a message


def matched(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, has_more: bool = False
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights in a file under the names of an encoder's.

    In the file they may all stand below one more name, such as `module.` or `encoder.`; then what stands elsewhere is
    not the encoder's. A first layer of one channel instead of three, or of three instead of one, becomes one that maps
    gray images, whose channels are equal, as the file's does.

    Args:
        found: Those in the file.
        expected: The encoder's.
        has_more: Whether the network as published has layers that the encoder leaves out, beside known heads. Another
            network has its own within the encoder's, such as more of them in `layer3`.

    Returns:
        The weights, and the names of what is left out.

    Raises:
        RescanError: One is missing, has another shape, or is one that the encoder does not have.
    """
    expected = {name: weights for name, weights in expected.items() if not name.endswith(COMPUTED)}
    prefix = _prefix(found, expected)
    within = {name[len(prefix) :]: weights for name, weights in found.items() if name.startswith(prefix)}
    first = next(iter(expected))
    if first in within and within[first].shape != expected[first].shape:
        within[first] = _for_channels(first, within[first], expected[first])
    others = [name for name in within if name not in expected and not name.endswith(COMPUTED)]
    absent = [name for name in expected if name not in within]
    own = {_part(name) for name in expected}
    unknown = [name for name in others if _part(name) not in HEADS and (not has_more or _part(name) in own)]
    different = [name for name in expected if name in within and within[name].shape != expected[name].shape]
    if absent or unknown or different:
        fit = len(expected) - len(absent) - len(different)
        if absent:
            what = f"lacks {absent[0]}"
        elif different:
            name = different[0]
            what = f"has another shape of {name}: {[*within[name].shape]}, not {[*expected[name].shape]}"
        else:
            what = f"has {unknown[0]}, which the encoder has not ({len(unknown)} such)"
        raise RescanError(f"{what} ({fit} of {len(expected)} weights fit)")
    whole = [name for name in expected if expected[name].is_floating_point() and not within[name].is_floating_point()]
    if whole:
        raise RescanError(f"has whole numbers in {whole[0]}, as of a quantized network; save it in floating point")
    ignored = [name for name in found if not name.startswith(prefix)] + [prefix + name for name in others]
    return {name: within[name] for name in expected}, [name for name in ignored if not name.endswith(COMPUTED)]


def _part(name: str) -> str:
    return name.partition(".")[0]


def _prefix(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """What stands before the encoder's names in the file: that before most of them, of several the shortest.

    Raises:
        RescanError: The file holds several such networks.
    """
    counts: Counter[str] = Counter()
    for name in found:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in expected:
                counts["".join(f"{part}." for part in parts[:start])] += 1
    if not counts:
        return ""
    most = max(counts.values())
    best = sorted((prefix for prefix, count in counts.items() if count == most), key=len)
    if len(best) > 1 and most == len(expected):
        raise RescanError(f"holds several such networks, as {' and '.join(best[:FEW])}; keep one of them")
    return best[0]


def _for_channels(name: str, weights: Tensor, expected: Tensor) -> Tensor:
    """A first convolution for as many channels as the encoder takes, which maps gray images as before."""
    channels = weights.shape[1:2] + expected.shape[1:2]
    if channels not in ((1, 3), (3, 1)) or weights[:, :1].shape != expected[:, :1].shape or weights.ndim < 3:
        return weights
    how = "divided by 3 and repeated" if channels == (1, 3) else "added up"
    logger.info(
        "%s is for images of %d channels, not %d: %s, so that gray images give the same maps", name, *channels, how
    )
    return weights.expand_as(expected) / 3 if channels == (1, 3) else weights.sum(1, keepdim=True)
