"""Weights in a file of one's own: `network.weights: path/to/file.safetensors`."""

from __future__ import annotations

from typing import Any

from rescan.catalogue import timm_encoders
from rescan.catalogue.encoder_shapes import OF_SHAPES, network_of
from rescan.data.readers.weights_files import contents
from rescan.errors import RescanError, shown
from rescan.study import Recipe


def check_weights(path: str, encoder: str, recipe: Recipe | None = None) -> None:
    """Refuse a file that is known to be another encoder's. Whether all weights fit is seen when they are loaded.

    Args:
        path: The file.
        encoder: The encoder that is to have its weights.
        recipe: The arm's, with which a model of Rescan is compared.

    Raises:
        RescanError: It can't be read, or is another network's.
    """
    found = contents(path)
    _check_model(path, found.header, encoder, recipe)
    other, own = network_of(found.shapes.values()), encoder
    if encoder.startswith(timm_encoders.PREFIX):
        # Other libraries' networks of the same shapes tell nothing of timm's, unless they bear its name.
        own = timm_encoders.architecture(encoder)
        other = other if own in OF_SHAPES.values() else None
    if other not in (None, own):
        raise RescanError(
            f"{shown(path)}: has the weights of {other}, not of {encoder}; change the encoder or the file"
        )


def _check_model(path: str, header: dict[str, Any], encoder: str, recipe: Recipe | None) -> None:
    """Compare what the header of a model of Rescan, or of an autoencoder's encoder, says with an arm."""
    described = header.get("recipe", header.get("settings"))
    if not isinstance(described, dict):
        return
    network = described.get("network", described)
    network = network if isinstance(network, dict) else {}
    expected: dict[str, Any] = {"encoder": encoder}
    if recipe is not None:
        own = recipe.network.model_dump(mode="json")
        expected |= {"blocks": own["blocks"], "norm": own["norm"]}
    for what, wanted in expected.items():
        if what in network and _plain(network[what]) != _plain(wanted):
            raise RescanError(f"{shown(path)}: is of a network with {what} {network[what]}, not {wanted}")
    if recipe is not None and described.get("normalization", recipe.normalization) != recipe.normalization:
        was = described["normalization"]
        raise RescanError(
            f"{shown(path)}: was trained with normalization {was}, not {recipe.normalization}; set normalization: {was}"
        )


def _plain(setting: Any) -> Any:
    """A setting as it is; an encoder of timm without the weights that it started from."""
    if isinstance(setting, str) and setting.startswith(timm_encoders.PREFIX):
        return timm_encoders.PREFIX + timm_encoders.architecture(setting)
    return setting
