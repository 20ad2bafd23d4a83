"""Every name that a study file may use, and where it lives. Imports nothing heavy: names resolve on first use.

A new layout, operator, encoder, loss… is one function or class in one file plus its line here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import import_module
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A name's implementation, `module:attribute`, and its options with their defaults, which also give their types."""

    where: str
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


LAYOUTS = {
    "class_folders": Entry("rescan.data.layouts:class_folders"),
    "table": Entry("rescan.data.layouts:table", {"file": "samples.csv"}),
}

PHANTOMS = {
    "brain_mri": Entry(
        "rescan.data.phantoms.brain_mri:make",
        {
            "samples": 320,
            "size": 160,
            "seed": 0,
            "contrast": 1.0,
            "null": False,
            "confound": 0.0,
            "duplicates": 0.06,
            "patient_effect": 1.0,
            "label_noise": 0.0,
        },
    ),
}

OPERATORS = {
    "crop_brain": Entry("rescan.preparation.operators:crop_brain", {"threshold": 45, "margin": 0}),
    "resize": Entry("rescan.preparation.operators:resize", {"size": [256, 256], "keep_aspect": False}),
}

ENCODERS = {
    "resnet18": Entry("rescan.models.encoders:resnet18"),
    "resnet152": Entry("rescan.models.encoders:resnet152"),
    "densenet169": Entry("rescan.models.encoders:densenet169"),
    "vgg19": Entry("rescan.models.encoders:vgg19"),
    "mobilenet_v3_large": Entry("rescan.models.encoders:mobilenet_v3_large"),
}

NECKS = {
    "avg": Entry("rescan.models.necks:Avg"),
    "max": Entry("rescan.models.necks:Max"),
    "avg+max": Entry("rescan.models.necks:AvgMax"),
    "flatten": Entry("rescan.models.necks:Flatten"),
}

LOSSES = {
    "cross_entropy": Entry("rescan.training.losses:cross_entropy", {"label_smoothing": 0.0}),
}

OPTIMIZERS = {
    "adam": Entry("torch.optim:Adam", {"lr": 1e-3, "weight_decay": 0.0}),
    "adamw": Entry("torch.optim:AdamW", {"lr": 1e-3, "weight_decay": 0.01}),
    "sgd": Entry("torch.optim:SGD", {"lr": 1e-2, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}),
}

SCHEDULES = {
    "constant": Entry("rescan.training.schedules:constant"),
    "cosine": Entry("rescan.training.schedules:cosine", {"warmup": 0.0}),
}

# What an augmentation's value is: an amount is a number ≥ 0, a range [low, high], a probability a number in [0, 1].
AUGMENTATIONS = {
    "rotation": Entry("rescan.training.augmentation:rotation", {"value": "amount"}),
    "shear": Entry("rescan.training.augmentation:shear", {"value": "amount"}),
    "shift": Entry("rescan.training.augmentation:shift", {"value": "amount"}),
    "zoom": Entry("rescan.training.augmentation:zoom", {"value": "range"}),
    "flip_horizontal": Entry("rescan.training.augmentation:flip_horizontal", {"value": "probability"}),
    "flip_vertical": Entry("rescan.training.augmentation:flip_vertical", {"value": "probability"}),
    "brightness": Entry("rescan.training.augmentation:brightness", {"value": "range"}),
    "contrast": Entry("rescan.training.augmentation:contrast", {"value": "range"}),
    "noise": Entry("rescan.training.augmentation:noise", {"value": "amount"}),
}

# What a network is fed: (x * scale - mean) / std, for x in [0, 1]; mean and std a channel (R, G, B).
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALIZATIONS = {
    "imagenet": (1.0, IMAGENET_MEAN, IMAGENET_STD),
    "unit": (1.0, (0.0,) * 3, (1.0,) * 3),
    # What weights trained on Caffe-style input (about ±128) see when they are fed [0, 1] …
    "caffe_fed_unit": (1 / 255, (0.0,) * 3, IMAGENET_STD),
    # … and what a network that rescales [0, 255] by itself sees when it is fed [0, 1].
    "rescaled_twice": (1 / 255, IMAGENET_MEAN, IMAGENET_STD),
}

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "quadratic_kappa",
    "kappa",
    "macro_f1",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "auroc",
    "auprc",
    "mcc",
    "brier",
    "ece",
    "loss",
)

TABLES: dict[str, dict[str, Entry]] = {
    "layout": LAYOUTS,
    "phantom": PHANTOMS,
    "operator": OPERATORS,
    "encoder": ENCODERS,
    "neck": NECKS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "augmentation": AUGMENTATIONS,
}


def suggest(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known name, else the list of them, if any."""
    known = sorted(known)
    if not known:
        return ""
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def check(kind: str, name: object) -> str:
    """Return `name` if the table of `kind` has it.

    Raises:
        ValueError: It has not; the message holds the nearest right name.
    """
    table = TABLES[kind]
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"no {kind} {name!r}{suggest(name, table)}")
    return name


def resolve(kind: str, name: str) -> Any:
    """Import and return the implementation of a name."""
    module, _, attribute = TABLES[kind][check(kind, name)].where.partition(":")
    return getattr(import_module(module), attribute)
