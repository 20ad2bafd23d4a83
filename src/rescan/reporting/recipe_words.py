"""A recipe in plain sentences. A name without a sentence of its own here is shown by itself with its options."""

from __future__ import annotations

from typing import Any

from rescan.reporting.words import listed, metric, spaced
from rescan.study import Head, Inference, Layers, Preparation, Recipe, Stage, Study

FAULT = "a fault repeated on purpose"
OPERATORS = {
    "crop_brain": "crop to the brain (the largest outline of gray above {threshold}, margin {margin} pixels)",
    "resize": "resize to {size[0]}×{size[1]} pixels",
    "crop_circle": "crop to the disc (a circle fitted to the outline of what exceeds the darkest place by {threshold} "
    "gray levels), black outside of it",
    "crop_gray": "crop to the bounding box of gray above {threshold}",
    "circle_mask": "gray {fill} outside of the centered circle, its radius {radius:g} of half the shorter side",
    "enhance": "enhance: {gain:g} × (image − Gaussian blur, sigma {sigma:g} pixels) + {offset:g}",
    "swap_channels": f"swap red and blue ({FAULT})",
}
AUGMENTATIONS = {
    "rotation": "rotation by up to ±{0}°",
    "shift": "shift by up to ±{0} of the side",
    "shear": "shear by up to ±{0}°",
    "zoom": "zoom of each axis by {0[0]}–{0[1]} (a larger value shows more, smaller)",
    "scale": "scaling of both axes alike by {0[0]}–{0[1]} (a larger value shows more, smaller)",
    "crop_and_pad": "each side cropped or padded by up to {0} of the image's",
    "optical_distortion": "optical distortion (barrel or pincushion), coefficient up to ±{0}",
    "grid_distortion": "grid distortion (the inner lines of a 5×5 grid moved by up to ±{0} of a cell)",
    "piecewise_affine": "piecewise affine warp (4×4 points moved, standard deviation {0} of the side)",
    "flip_horizontal": "horizontal flip with probability {0}",
    "flip_vertical": "vertical flip with probability {0}",
    "brightness": "brightness × {0[0]}–{0[1]}",
    "contrast": "contrast × {0[0]}–{0[1]}",
    "gamma": "gamma {0[0]}–{0[1]} (above 1 darkens)",
    "rgb_shift": "RGB shift (each channel by up to ±{0} on the [0, 1] scale)",
    "blur": "Gaussian blur, standard deviation up to {0} pixels",
    "sharpen": "sharpening by a share of up to {0}",
    "emboss": "embossing by a share of up to {0}",
    "noise": "Gaussian noise, standard deviation {0} on the [0, 1] scale",
    "cutout": "cutout of a box of up to {0} of the width and height",
}
NORMALIZATIONS = {
    "imagenet": "pixels / 255, less ImageNet's mean, over its standard deviation",
    "unit": "pixels / 255",
    "caffe_fed_unit": f"the [0, 1] range fed to weights that expect about ±128 ({FAULT})",
    "rescaled_twice": f"the [0, 1] range fed to a network that divides by 255 once more ({FAULT})",
}
NECKS = {
    "avg": "global average pooling",
    "max": "global maximum pooling",
    "avg+max": "global average and maximum pooling, side by side",
    "flatten": "flatten",
}
LOSSES = {
    "cross_entropy": "cross-entropy",
    "focal": "focal loss",
    "one_hot_cross_entropy": "binary cross-entropy of the one-hot outputs",
    "binary_cross_entropy": "binary cross-entropy",
    "binary_focal": "binary focal loss",
    "mae": "mean absolute error",
    "mse": "mean squared error",
}
OPTIMIZERS = {
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD",
    "radam": "RAdam",
    "asgd": "averaged SGD",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "rmsprop": "RMSprop",
}
SCHEDULES = {
    "constant": "constant schedule",
    "cosine": "cosine schedule",
    "step": "step schedule (× {gamma:g} every {every} epochs)",
    "plateau": "plateau schedule (× {factor:g} after {patience} epochs without a lower validation loss)",
    "one_cycle": "one-cycle schedule (from {start:g} of the rate up to it over {warmup:.0%} of the steps, then down to "
    "{end:g} of it)",
}
TRAINING_SAMPLES = {
    "all": "all of the training part",
    "leak_free": "the training part without what shares a group with a test sample",
    "size_matched": "as many training samples of each class, drawn at random, as the leak-free arm keeps",
    "clean_labels": "the training part without identical images whose labels conflict",
}
VALIDATION = {
    "split": "the split's validation part",
    "test": f"the test part itself ({FAULT}); the split's validation part is trained on",
}
READINGS = {
    "classification": "the classification head: the most probable class",
    "regression": "the regression head: the nearest grade",
    "ordinal": "the ordinal head: how many thresholds are passed",
    "linear": "a linear neuron on all heads, least squared error: the nearest grade",
}
FIT_ON = {
    "train": "on the training part's predictions",
    "validation": "on the validation part's predictions",
    "crossfit": "on the validation part's predictions, cross-fitted in five folds",
}


def recipe(study: Study, arm: str) -> dict[str, str]:
    """Say an arm's recipe: topic → sentence, in the order of the pipeline. Of an ensemble, only what is its own."""
    described, classes = study.arms[arm], len(study.data.classes)
    lines: dict[str, str] = {}
    if described.ensemble:
        lines["Ensemble"] = _ensemble(described)
    if described.models:
        lines["Models"] = f"those of {described.models}, not trained again"
    if not described.ensemble:
        lines |= _training(study.preparations[described.preparation], described, classes)
        lines["At inference"] = _inference(described.inference)
    lines["Read from"] = _reading(described)
    folds, seeds = len({fold for fold, _ in study.runs(arm)}), ", ".join(map(str, study.split.seeds))
    of = f" of {study.split.folds}" if folds < study.split.folds else ""
    lines["Runs"] = f"one a seed: {seeds}" if described.ensemble else f"folds: {folds}{of}; seeds: {seeds}"
    return {topic: sentence[0].upper() + sentence[1:] + "." for topic, sentence in lines.items()}


def _training(prepared: Preparation, described: Recipe, classes: int) -> dict[str, str]:
    lines = {
        "Preparation": preparation(prepared),
        "Input scale": NORMALIZATIONS[described.normalization],
        "Augmentation": _augmentation(described.augmentation, "on training images only"),
        "Network": _network(described, classes),
    }
    heads = described.network.heads
    if len(heads) > 1:
        lines["Heads"] = "; ".join(
            f"{name}: {' → '.join([*_layers(head), _output(name, head, classes)])}" for name, head in heads.items()
        )
    several = len(described.stages) > 1
    for name, stage in described.stages.items():
        lines[f"Training: stage {name}" if several else "Training"] = _stage(stage)
    if described.early_stopping:
        rule = described.early_stopping
        better = f"without a better validation {metric(rule.metric)}"
        lines["Early stopping"] = f"a stage ends after {rule.patience} epochs {better}"
    best = None if described.keep == "last" else metric(described.keep.best)
    lines["Kept model"] = f"the epoch with the best validation {best}" if best else "the last epoch"
    lines["Training samples"] = TRAINING_SAMPLES[described.training_samples]
    lines["Validation"] = VALIDATION[described.validation]
    return lines


def preparation(described: Preparation) -> str:
    """Say what turns a sample into an item."""
    said = [", then ".join(_step(step) for step in described.steps)]
    said.append({"rgb": "three channels", "gray": "one gray channel"}[described.channels] + ", 8 bits")
    if described.background:
        said.append(f"the background is gray {described.background}")
    if described.decode == "scaled":
        said.append("JPEG files may be decoded at a half, quarter or eighth of their size")
    return "; ".join(said)


def _step(step: dict[str, Any]) -> str:
    if step["name"] not in OPERATORS:
        return generic(step)
    kept = ", aspect kept" if step.get("keep_aspect") else ""
    blur = ", OpenCV's own blur" if step.get("fast") is False else ""
    return OPERATORS[step["name"]].format(**step) + kept + blur


def generic(named: dict[str, Any], title: str | None = None, skip: tuple[str, ...] = ()) -> str:
    """A name with its options, those that are zero or off left out."""
    options = []
    for key, value in named.items():
        if key not in ("name", *skip) and value:
            said = "" if value is True else f" {value:g}" if isinstance(value, float) else f" {value}"
            options.append(spaced(key) + said)
    return spaced(title or named["name"]) + (f" ({', '.join(options)})" if options else "")


def _augmentation(described: dict[str, Any], where: str = "") -> str:
    if not described:
        return "none"
    said = [
        AUGMENTATIONS[name].format(value) if name in AUGMENTATIONS else f"{spaced(name)} {value}"
        for name, value in described.items()
    ]
    return ", ".join(said) + (f"; {where}" if where else "")


def _network(described: Recipe, classes: int) -> str:
    network = described.network
    weights = "from ImageNet weights (V1)" if network.weights == "imagenet" else "from random weights"
    options = ["batch norm after each" if "+" in network.neck["name"] else "batch norm"] * bool(
        network.neck.get("batch_norm")
    )
    options += [f"dropout {network.neck['dropout']:g}"] if network.neck.get("dropout") else []
    neck = ", ".join([NECKS.get(network.neck["name"], network.neck["name"]), *options])
    shared = _layers(network)
    heads = list(network.heads.items())
    if len(heads) == 1:
        ((name, head),) = heads
        end = [*shared, *_layers(head), _output(name, head, classes)]
    else:
        end = [f"shared: {layer}" for layer in shared] + [f"{len(heads)} heads"]
    return f"{weights}: {' → '.join([network.encoder, neck, *end])}"


def _layers(described: Layers) -> list[str]:
    dropout = f", dropout {described.dropout:g}" if described.dropout else ""
    return [f"{width:,} ReLU{dropout}" for width in described.hidden]


def _output(name: str, head: Head, classes: int) -> str:
    if name == "regression":
        return "one grade" + (f", between 0 and {head.limit:g}" if head.limit is not None else "")
    if name == "ordinal":
        thresholds = f"{classes - 1} thresholds, “grade > k” (sigmoids)"
        return thresholds if head.link == "sigmoid" else f"{classes} outputs of one softmax ({FAULT})"
    return f"{classes} classes (softmax)"


def _stage(stage: Stage) -> str:
    batch = f"batches of {stage.batch_size}" + (f" × {stage.accumulate} accumulated" if stage.accumulate > 1 else "")
    optimizer = generic(stage.optimizer, OPTIMIZERS.get(stage.optimizer["name"]), ("lr",))
    said = [f"{stage.epochs} epoch{'s' if stage.epochs != 1 else ''}", batch]
    if stage.samples != ["own"]:
        own = ["the study's own samples"] if "own" in stage.samples else []
        said.append(f"on {listed([*own, *(name for name in stage.samples if name != 'own')])}")
    if stage.carry == "encoder":
        said.append("only the encoder is kept of the stage before")
    said += [f"{optimizer}, learning rate {stage.optimizer['lr']:g}, {_schedule(stage.schedule)}", _losses(stage)]
    if stage.class_weights == "balanced":
        said.append("classes weighted by their inverse frequency")
    if stage.sampling == "balanced":
        said.append("each class drawn equally often")
    trained = {"all": "all layers are trained", "head": "only the layers after the encoder are trained"}
    return "; ".join([*said, trained[stage.trainable]])


def _schedule(described: dict[str, Any]) -> str:
    said = SCHEDULES[described["name"]].format(**described) if described["name"] in SCHEDULES else generic(described)
    if described["name"] == "cosine" and described["warmup"]:
        said += f" with warm-up over {100 * described['warmup']:g} % of the steps"
    if described.get("ends_after"):
        said += (
            f", which ends after {described['ends_after']} epochs, counted through all stages, and is 0 from then on"
        )
        said += f" ({FAULT})"
    return said


def _losses(stage: Stage) -> str:
    several, said = len(stage.losses) > 1, []
    for head, loss in stage.losses.items():
        factor = f"{loss['weight']:g} × " if loss["weight"] != 1 else ""
        name = generic(loss, LOSSES.get(loss["name"]), ("weight",))
        said.append(f"{factor}{name}" + (f" of the {head}" if several or head != "classification" else ""))
    return " + ".join(said)


def _reading(described: Recipe) -> str:
    cuts, said = described.posttrain.cuts, READINGS[described.head]
    if isinstance(cuts, list):
        said = said.split(":")[0] + ": cut at " + ", ".join(f"{value:g}" for value in cuts)
    elif cuts == "optimized":
        said = said.split(":")[0] + ": cut where quadratic kappa is highest"
    return said + (f"; fitted {FIT_ON[described.posttrain.fit_on]}" if described.is_fitted else "")


def _inference(described: Inference) -> str:
    if not described.copies:
        return "each image as it is"
    copies = f"{described.copies} augmented cop{'y' if described.copies == 1 else 'ies'}"
    what = _augmentation(described.augmentation)
    if not described.original:
        return f"{copies} in place of each image ({what})"
    return f"each image and {copies} of it ({what}); the outputs are averaged (test-time augmentation)"


def _ensemble(described: Recipe) -> str:
    group = described.ensemble
    if group is None:
        return ""
    mean = "mean" if group.combine == "mean" else f"trimmed mean ({100 * group.trim:g} % cut off at either end)"
    return f"the {mean} of the outputs of {listed(group.members)}, over their folds, each seed by itself"
