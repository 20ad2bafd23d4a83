"""`PYTHONPATH=src python -m tests.timm_table [NAME …]`: write the table of timm's networks from the installed timm.

Names, sizes and published weights are those of timm's registry. Channels and costs are counted as for the catalogue's
other encoders, on networks without memory; rows that have them are kept, so that a later timm adds its own in minutes.
"""

from __future__ import annotations

import csv
import math
import sys
import warnings
from typing import Any

import timm
import torch
from timm.models._registry import _model_default_cfgs
from torch import nn

from rescan.catalogue import NORMALIZATIONS, timm_encoders
from rescan.errors import RescanError
from rescan.models.encoder import Encoder

COLUMNS = ("name", "size", "parameters", "multiply_adds", "kept", "layers", "maps", "cells", "weights")
BATCH = 2  # some networks have batch norms of one cell
CONSTANTS = {(record.mean, record.std): name for name, record in NORMALIZATIONS.items() if record.scale == 1}


def normalization_of(config: Any) -> str:
    """The name of a configuration's mean and standard deviation."""
    return next(
        name
        for (mean, std), name in CONSTANTS.items()
        if all(abs(a - b) < 1e-3 for a, b in zip((*mean, *std), (*config.mean, *config.std)))
    )


def weights_of(name: str) -> str:
    """The weights of an architecture that lie on the hub, timm's default first."""
    found = []
    for tag in _model_default_cfgs[name].tags:
        config = _model_default_cfgs[name].cfgs[tag]
        if not config.hf_hub_id or config.custom_load == "hf":
            continue
        normalization = normalization_of(config)
        entry = tag + f"={normalization}" * (normalization != "imagenet")
        found.append(entry + f":{config.hf_hub_id}" * (config.hf_hub_id not in ("timm/", f"timm/{name}.{tag}")))
    return " ".join(found)


def counted(encoder: Encoder, size: int) -> dict[str, Any]:
    """Parameters and multiply-adds, numbers kept for the backward pass, layers, and the last maps."""
    multiply_adds, layers, kept = 0, 0, {}
    own = {parameter.untyped_storage()._cdata for parameter in encoder.parameters()}

    def add(layer: nn.Module, _: object, output: Any) -> None:
        nonlocal multiply_adds, layers
        layers += 1
        if isinstance(layer, nn.Conv2d):
            multiply_adds += layer.weight.numel() * math.prod(output.shape[2:])
        elif isinstance(layer, nn.Linear):
            multiply_adds += layer.weight.numel() * math.prod(output.shape[1:-1])

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage()._cdata not in own:
            kept[tensor.untyped_storage()._cdata] = (tensor, tensor.numel() * tensor.element_size() / 4 / BATCH)
        return tensor

    for layer in encoder.modules():
        if not list(layer.children()):
            layer.register_forward_hook(add)
    encoder.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        maps = encoder.features(torch.zeros(BATCH, 3, size, size))
    return {
        "parameters": f"{sum(parameter.numel() for parameter in encoder.parameters()) / 1e6:.3g}",
        "multiply_adds": f"{multiply_adds / 1e9:.3g}",
        "kept": f"{sum(numbers for _, numbers in kept.values()) / 1e6:.3g}",
        "layers": layers,
        "maps": maps.shape[1],
        "cells": math.prod(maps.shape[2:]),
    }


def costs(name: str, size: int) -> dict[str, Any]:
    """The counts of an architecture: 0 maps if it has no feature map, none if they can't be counted."""
    try:
        with torch.device("meta"):
            return counted(timm_encoders.record(f"timm/{name}").implementation((size, size)), size)
    except RescanError as error:
        sys.stdout.write(f"{name}: {error}\n")
        return dict.fromkeys(COLUMNS[2:-1], 0) if "no feature map" in str(error) else {}
    except Exception as error:  # noqa: BLE001 - many kinds of networks, of many faults
        sys.stdout.write(f"{name}: {type(error).__name__} {' '.join(str(error).split())[:150]}\n")
        return {}


def main(only: list[str]) -> None:
    """Write the table: its rows without counts, then the counts of the names given; or of all, which takes hours."""
    warnings.simplefilter("ignore")
    before = timm_encoders.rows() if timm_encoders.TABLE.exists() else {}
    table = {}
    for name in timm.list_models():
        size = str(_model_default_cfgs[name].default.input_size[1])
        table[name] = {**dict.fromkeys(COLUMNS, ""), **before.get(name, {})}
        table[name].update(name=name, size=size, weights=weights_of(name))
    write(table)
    timm_encoders.rows.cache_clear()
    timm_encoders.record.cache_clear()
    names = [name for name in only or table if not table[name]["maps"]]
    for number, name in enumerate(names):
        table[name].update(costs(name, int(table[name]["size"])))
        if number % 10 == 0:
            write(table)
    write(table)


def write(table: dict[str, dict[str, Any]]) -> None:
    """Write the rows."""
    with timm_encoders.TABLE.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        rows.writeheader()
        rows.writerows(table.values())


if __name__ == "__main__":
    main(sys.argv[1:])
