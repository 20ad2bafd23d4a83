"""Recipes of networks, and what tests count of them."""

from __future__ import annotations

from sample_files import model_header

from rescan import catalogue
from rescan.study import Recipe

VOLUMES = [name for name, record in catalogue.ENCODERS.items() if record.dimensions == 3]
SHAPES = {**dict.fromkeys(VOLUMES, (1, 32, 64, 64)), "inception_v3_3d": (1, 80, 80, 80)}
RESNET18 = 11_689_512 - 513_000  # parameters of the encoder
LOSSES = {"classification": "cross_entropy", "regression": "mse", "ordinal": "binary_cross_entropy"}


def recipe(encoder="resnet18", **network):
    """A recipe with this network."""
    losses = {head: LOSSES[head] for head in network.get("heads", ["classification"])}
    return Recipe.model_validate(
        {
            "preparation": "small",
            "network": {"encoder": encoder, "weights": "none", **network},
            "stages": {"main": {"epochs": 1, "optimizer": "adam", "losses": losses}},
        }
    )


def header_of(described, shape=(3, 64, 64), classes=("a", "b", "c"), **changes):
    """A model file's header."""
    return model_header(described, classes, shape, **changes)


def count(module):
    """Number of parameters."""
    return sum(weight.numel() for weight in module.parameters())
