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
    "class_folders": Entry("rescan.data.layouts.reading:class_folders"),
    "table": Entry(
        "rescan.data.layouts.table_layout:table", {"file": "samples.csv", "label": "label", "patient": "patient"}
    ),
    "aptos": Entry("rescan.data.layouts.fundus_layouts:aptos"),
    "eyepacs": Entry("rescan.data.layouts.fundus_layouts:eyepacs"),
    "octa500": Entry("rescan.data.layouts.octa500:octa500", {"modality": "octa"}),
    "mura": Entry("rescan.data.layouts.mura:mura"),
}

PHANTOMS = {
    "brain_mri": Entry(
        "rescan.phantoms.brain_mri.brain_mri:make",
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
    "fundus": Entry(
        "rescan.phantoms.fundus.fundus:make",
        {
            "layout": "aptos",
            "samples": 320,
            "unlabeled": 20,
            "size": 256,
            "seed": 0,
            "contrast": 1.0,
            "null": False,
            "confound": 0.5,
            "duplicates": 0.06,
            "conflicts": 0.25,
            "patient_effect": 1.0,
            "label_noise": 0.0,
        },
    ),
    "octa": Entry(
        "rescan.phantoms.octa.octa:make",
        {
            "samples": 160,
            "size": [48, 40, 40],
            "seed": 0,
            "contrast": 1.0,
            "lesions": "both",
            "null": False,
            "confound": 0.5,
            "duplicates": 0.0,
            "patient_effect": 1.0,
            "label_noise": 0.0,
        },
    ),
    "radiograph": Entry(
        "rescan.phantoms.radiograph.radiograph:make",
        {
            "samples": 320,
            "size": 160,
            "seed": 0,
            "contrast": 1.0,
            "null": False,
            "confound": 0.5,
            "duplicates": 0.04,
            "patient_effect": 1.0,
            "label_noise": 0.0,
            "test": 0.25,
        },
    ),
}

# What may be known of samples beside their images: columns of the manifest.
KNOWN_COLUMNS = ("site", "device", "fov", "body_part", "age", "sex")

# What a preparation does to images: each takes (H, W) or (H, W, 3) and a mask …
IMAGE_OPERATORS = {
    "crop_brain": Entry("rescan.preparation.image_operators:crop_brain", {"threshold": 45, "margin": 0}),
    "resize": Entry("rescan.preparation.image_operators:resize", {"size": [256, 256], "keep_aspect": False}),
    "crop_circle": Entry("rescan.preparation.fundus_operators:crop_circle", {"threshold": 7}),
    "crop_gray": Entry("rescan.preparation.fundus_operators:crop_gray", {"threshold": 7}),
    "circle_mask": Entry("rescan.preparation.fundus_operators:circle_mask", {"radius": 1.0, "fill": 0}),
    "enhance": Entry(
        "rescan.preparation.fundus_operators:enhance", {"sigma": 30.0, "gain": 4.0, "offset": 128.0, "fast": True}
    ),
    "swap_channels": Entry("rescan.preparation.fundus_operators:swap_channels"),
    "clahe": Entry("rescan.preparation.image_operators:clahe", {"clip": 2.0, "tiles": 8}),
}
# … and to scans. Sizes are [depth, height, width]; 0 millimeters leave an axis as it is.
SCAN_OPERATORS = {
    "crop_center": Entry("rescan.preparation.scan_operators:crop_center", {"millimeters": [0.0, 3.0, 3.0]}),
    "crop_retina": Entry("rescan.preparation.scan_operators:crop_retina", {"depth": 256, "by": "brightness"}),
    "keep_layers": Entry("rescan.preparation.scan_operators:keep_layers", {"slab": "superficial"}),
    "resample": Entry("rescan.preparation.scan_operators:resample", {"millimeters": [0.0, 1.0, 1.0]}),
    "resize_volume": Entry("rescan.preparation.scan_operators:resize_volume", {"size": [256, 192, 192]}),
    "pad_volume": Entry("rescan.preparation.scan_operators:pad_volume", {"size": [256, 192, 192]}),
    "clip_percentiles": Entry("rescan.preparation.scan_operators:clip_percentiles", {"low": 5.0, "high": 99.9}),
    "window": Entry("rescan.preparation.scan_operators:window", {"low": -1000.0, "high": 400.0}),
    "project": Entry("rescan.preparation.scan_operators:project", {"slab": "all", "how": "mean"}),
    "patches": Entry("rescan.preparation.scan_operators:patches", {"grid": [2, 2]}),
}
VOLUME_ONLY = ("crop_retina", "keep_layers", "resample", "resize_volume", "pad_volume", "project")
OPERATORS = {**IMAGE_OPERATORS, **SCAN_OPERATORS}

ENCODERS_2D = {
    "resnet18": Entry("rescan.models.encoders_2d:resnet18"),
    "resnet34": Entry("rescan.models.encoders_2d:resnet34"),
    "resnet50": Entry("rescan.models.encoders_2d:resnet50"),
    "resnet101": Entry("rescan.models.encoders_2d:resnet101"),
    "resnet152": Entry("rescan.models.encoders_2d:resnet152"),
    "densenet121": Entry("rescan.models.encoders_2d:densenet121"),
    "densenet169": Entry("rescan.models.encoders_2d:densenet169"),
    "vgg16": Entry("rescan.models.encoders_2d:vgg16"),
    "vgg19": Entry("rescan.models.encoders_2d:vgg19"),
    "mobilenet_v3_large": Entry("rescan.models.encoders_2d:mobilenet_v3_large"),
    "inception_v3": Entry("rescan.models.encoders_2d:inception_v3"),
    "efficientnet_b0": Entry("rescan.models.encoders_2d:efficientnet_b0"),
    "efficientnet_b4": Entry("rescan.models.encoders_2d:efficientnet_b4"),
    "efficientnet_b5": Entry("rescan.models.encoders_2d:efficientnet_b5"),
    "se_resnext50": Entry("rescan.models.se_resnext:se_resnext50"),
    "vit_b_16": Entry("rescan.models.vit:vit_b_16"),
    "cnn5": Entry("rescan.models.cnn5:cnn5"),
    "radiograph_cnn": Entry("rescan.models.radiograph_cnn:radiograph_cnn"),
}
FROM_BLOCKS = ("radiograph_cnn",)  # described by network.blocks
# Of volumes. None has pretrained weights.
ENCODERS_3D = {
    "resnet10_3d": Entry("rescan.models.encoders_3d:resnet10_3d"),
    "resnet18_3d": Entry("rescan.models.encoders_3d:resnet18_3d"),
    "resnet50_3d": Entry("rescan.models.encoders_3d:resnet50_3d"),
    "vgg16_3d": Entry("rescan.models.encoders_3d:vgg16_3d"),
    "inception_v3_3d": Entry("rescan.models.inception_3d:inception_v3_3d"),
    "efficientnet_b0_3d": Entry("rescan.models.encoders_3d:efficientnet_b0_3d"),
    "cnn5_3d": Entry("rescan.models.cnn5:cnn5_3d"),
}
ENCODERS = {**ENCODERS_2D, **ENCODERS_3D}
WITHOUT_WEIGHTS = ("cnn5", *FROM_BLOCKS, *ENCODERS_3D)  # there are none of ImageNet for them

NECK_OPTIONS = {"batch_norm": False, "dropout": 0.0}
NECKS = {
    "avg": Entry("rescan.models.pooling:Avg", NECK_OPTIONS),
    "max": Entry("rescan.models.pooling:Max", NECK_OPTIONS),
    "avg+max": Entry("rescan.models.pooling:AvgMax", NECK_OPTIONS),
    "flatten": Entry("rescan.models.pooling:Flatten", NECK_OPTIONS),
}

# Each loss belongs to the heads that HEAD_LOSSES names; `weight` is its share in the sum over the heads.
LOSSES = {
    "cross_entropy": Entry("rescan.training.loss_functions:cross_entropy", {"label_smoothing": 0.0, "weight": 1.0}),
    "focal": Entry(
        "rescan.training.loss_functions:focal", {"gamma": 2.0, "alpha": 0.25, "label_smoothing": 0.0, "weight": 1.0}
    ),
    "one_hot_cross_entropy": Entry("rescan.training.loss_functions:one_hot_cross_entropy", {"weight": 1.0}),
    "binary_cross_entropy": Entry(
        "rescan.training.loss_functions:binary_cross_entropy", {"label_smoothing": 0.0, "weight": 1.0}
    ),
    "binary_focal": Entry(
        "rescan.training.loss_functions:binary_focal",
        {"gamma": 2.0, "alpha": 0.25, "label_smoothing": 0.0, "weight": 1.0},
    ),
    "mae": Entry("rescan.training.loss_functions:mae", {"weight": 1.0}),
    "mse": Entry("rescan.training.loss_functions:mse", {"weight": 1.0}),
}
HEAD_LOSSES = {
    "classification": ("cross_entropy", "focal", "one_hot_cross_entropy"),
    "binary": ("binary_cross_entropy", "binary_focal"),
    "ordinal": ("binary_cross_entropy", "binary_focal"),
    "regression": ("mae", "mse"),
}

OPTIMIZERS = {
    "adam": Entry("torch.optim:Adam", {"lr": 1e-3, "weight_decay": 0.0}),
    "adamw": Entry("torch.optim:AdamW", {"lr": 1e-3, "weight_decay": 0.01}),
    "sgd": Entry("torch.optim:SGD", {"lr": 1e-2, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}),
    "radam": Entry("torch.optim:RAdam", {"lr": 1e-3, "weight_decay": 0.0}),
    "asgd": Entry("torch.optim:ASGD", {"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0}),
    "adagrad": Entry("torch.optim:Adagrad", {"lr": 1e-2, "weight_decay": 0.0}),
    "adadelta": Entry("torch.optim:Adadelta", {"lr": 1.0, "rho": 0.9, "weight_decay": 0.0}),
    "rmsprop": Entry("torch.optim:RMSprop", {"lr": 1e-2, "alpha": 0.99, "momentum": 0.0, "weight_decay": 0.0}),
}

SCHEDULES = {
    "constant": Entry("rescan.training.learning_rates:constant"),
    "cosine": Entry("rescan.training.learning_rates:cosine", {"warmup": 0.0, "ends_after": 0}),
    "step": Entry("rescan.training.learning_rates:step", {"every": 10, "gamma": 0.1}),
    "plateau": Entry("rescan.training.learning_rates:plateau", {"factor": 0.5, "patience": 3}),
    "one_cycle": Entry("rescan.training.learning_rates:one_cycle", {"warmup": 0.3, "start": 0.04, "end": 1e-4}),
}

# What an augmentation's value is: an amount is a number ≥ 0, a range [low, high], a probability a number in [0, 1].
AUGMENTATIONS = {
    # warps, fused and sampled once
    "rotation": Entry("rescan.training.warps:rotation", {"value": "amount"}),
    "shift": Entry("rescan.training.warps:shift", {"value": "amount"}),
    "shear": Entry("rescan.training.warps:shear", {"value": "amount"}),
    "zoom": Entry("rescan.training.warps:zoom", {"value": "range"}),
    "scale": Entry("rescan.training.warps:scale", {"value": "range"}),
    "crop_and_pad": Entry("rescan.training.warps:crop_and_pad", {"value": "amount"}),
    "tilt": Entry("rescan.training.warps:tilt", {"value": "amount"}),
    "optical_distortion": Entry("rescan.training.warps:optical_distortion", {"value": "amount"}),
    "grid_distortion": Entry("rescan.training.warps:grid_distortion", {"value": "amount"}),
    "piecewise_affine": Entry("rescan.training.warps:piecewise_affine", {"value": "amount"}),
    # what follows, in this order
    "flip_horizontal": Entry("rescan.training.augment:flip_horizontal", {"value": "probability"}),
    "flip_vertical": Entry("rescan.training.augment:flip_vertical", {"value": "probability"}),
    "flip_depth": Entry("rescan.training.augment:flip_depth", {"value": "probability"}),
    "brightness": Entry("rescan.training.augment:brightness", {"value": "range"}),
    "contrast": Entry("rescan.training.augment:contrast", {"value": "range"}),
    "gamma": Entry("rescan.training.augment:gamma", {"value": "range"}),
    "rgb_shift": Entry("rescan.training.augment:rgb_shift", {"value": "amount"}),
    "blur": Entry("rescan.training.augment:blur", {"value": "amount"}),
    "sharpen": Entry("rescan.training.augment:sharpen", {"value": "amount"}),
    "emboss": Entry("rescan.training.augment:emboss", {"value": "amount"}),
    "noise": Entry("rescan.training.augment:noise", {"value": "amount"}),
    "cutout": Entry("rescan.training.augment:cutout", {"value": "amount"}),
}

# Those that volumes have too; `tilt` and `flip_depth` are for volumes only.
AUGMENTATIONS_3D = (
    *("rotation", "tilt", "shift", "zoom", "scale", "flip_horizontal", "flip_vertical", "flip_depth"),
    *("brightness", "contrast", "gamma", "noise"),
)
AUGMENTATIONS_2D = tuple(name for name in AUGMENTATIONS if name not in ("tilt", "flip_depth"))

# What options and strengths must stay below, or above; all others need only be no less than 0.
BELOW = {
    "dropout": 1,
    "label_smoothing": 1,
    "warmup": 1,
    "momentum": 1,
    "rho": 1,
    "fill": 256,
    "crop_and_pad": 0.5,
    "grid_distortion": 0.5,
    "shear": 90,
    "tilt": 90,
}
ABOVE = {"sigma": 0, "depth": 0, "clip": 0, "tiles": 0}
SIGNED = ("high",)  # of a window: may be negative, as `low`
CHOICES = {
    "slab": ("all", "superficial", "deep"),
    "how": ("mean", "max"),
    "by": ("brightness", "layers"),
    "lesions": ("both", "depth", "enface"),
    "modality": ("octa", "oct"),
}

# What a network is fed: (x * scale - mean) / std, for x in [0, 1]; mean and std a channel (R, G, B).
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALIZATIONS = {
    "imagenet": (1.0, IMAGENET_MEAN, IMAGENET_STD),
    "unit": (1.0, (0.0,) * 3, (1.0,) * 3),
    "centered": (1.0, (0.5,) * 3, (0.5,) * 3),  # into [-1, 1]
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
    "one_hot_accuracy",
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
