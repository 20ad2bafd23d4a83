"""A recipe in plain sentences. A name without a sentence of its own here is shown by itself with its options."""

from __future__ import annotations

from typing import Any

from rescan.study import Preparation, Recipe, Stage, Study

OPERATORS = {
    "crop_brain": "crop to the brain (the largest outline of gray above {threshold}, margin {margin} pixels)",
    "resize": "resize to {size[0]}×{size[1]} pixels",
}
AUGMENTATIONS = {
    "rotation": "rotation by up to ±{0}°",
    "shear": "shear by up to ±{0}°",
    "shift": "shift by up to ±{0} of the side",
    "zoom": "zoom by {0[0]}–{0[1]} (a larger value shows more, smaller)",
    "flip_horizontal": "horizontal flip with probability {0}",
    "flip_vertical": "vertical flip with probability {0}",
    "brightness": "brightness × {0[0]}–{0[1]}",
    "contrast": "contrast × {0[0]}–{0[1]}",
    "noise": "Gaussian noise, standard deviation {0} on the [0, 1] scale",
}
NORMALIZATIONS = {
    "imagenet": "pixels / 255, less ImageNet's mean, over its standard deviation",
    "unit": "pixels / 255",
    "caffe_fed_unit": "the [0, 1] range fed to weights that expect about ±128 (a fault repeated on purpose)",
    "rescaled_twice": "the [0, 1] range fed to a network that divides by 255 once more (a fault repeated on purpose)",
}
NECKS = {
    "avg": "global average pooling",
    "max": "global maximum pooling",
    "avg+max": "global average and maximum pooling, side by side",
    "flatten": "flatten",
}
LOSSES = {"cross_entropy": "cross-entropy"}
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}
VERDICTS = ("reproduced", "lower", "higher", "inconclusive", "not comparable", "not run")
METRICS = {
    "macro_f1": "macro F1",
    "ppv": "PPV",
    "npv": "NPV",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "mcc": "MCC",
    "ece": "ECE",
}
MAPS = {
    "energy_inside": "this model's maps",
    "randomized": "maps of networks with random weights",
    "gaussian": "a centered Gaussian",
    "area_share": "a flat map (the lesion's share of the area)",
}
TRAINING_SAMPLES = {
    "all": "all of the training part",
    "leak_free": "the training part without what shares a group with a test sample",
    "size_matched": "as many training samples of each class, drawn at random, as the leak-free arm keeps",
    "clean_labels": "the training part without identical images whose labels conflict",
}


def recipe(study: Study, arm: str) -> dict[str, str]:
    """Say an arm's recipe: topic → sentence, in the order of the pipeline."""
    described = study.arms[arm]
    lines = {
        "Preparation": preparation(study.preparations[described.preparation]),
        "Input scale": NORMALIZATIONS[described.normalization],
        "Augmentation": _augmentation(described.augmentation),
        "Network": _network(described, len(study.data.classes)),
    }
    several = len(described.stages) > 1
    for name, stage in described.stages.items():
        lines[f"Training: stage {name}" if several else "Training"] = _stage(stage)
    if described.early_stopping:
        rule = described.early_stopping
        lines["Early stopping"] = f"a stage ends after {rule.patience} epochs without a better validation {rule.metric}"
    if described.keep == "last":
        lines["Kept model"] = "the last epoch"
    else:
        lines["Kept model"] = f"the epoch with the best validation {spaced(described.keep.best)}"
    lines["Training samples"] = TRAINING_SAMPLES[described.training_samples]
    seeds = ", ".join(str(seed) for seed in study.split.seeds)
    lines["Runs"] = f"folds: {study.split.folds}; seeds: {seeds}"
    return {topic: sentence[0].upper() + sentence[1:] + "." for topic, sentence in lines.items()}


def preparation(described: Preparation) -> str:
    """Say what turns a sample into an item."""
    steps = [_step(step) for step in described.steps]
    color = {"rgb": "three channels", "gray": "one gray channel"}[described.channels]
    return f"{', then '.join(steps)}; {color}, 8 bits"


def _step(step: dict[str, Any]) -> str:
    if step["name"] not in OPERATORS:
        return _generic(step)
    kept = ", aspect kept" if step.get("keep_aspect") else ""
    return OPERATORS[step["name"]].format(**step) + kept


def _generic(named: dict[str, Any], title: str | None = None, skip: tuple[str, ...] = ()) -> str:
    """A name with its options, those that are zero or off left out."""
    options = [f"{spaced(key)} {value:g}" if isinstance(value, float) else f"{spaced(key)} {value}"
               for key, value in named.items() if key not in ("name", *skip) and value]  # fmt: skip
    return spaced(title or named["name"]) + (f" ({', '.join(options)})" if options else "")


def spaced(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")


def _augmentation(described: dict[str, Any]) -> str:
    if not described:
        return "none"
    said = [
        AUGMENTATIONS[name].format(value) if name in AUGMENTATIONS else f"{spaced(name)} {value}"
        for name, value in described.items()
    ]
    return f"{', '.join(said)}; on training images only"


def _network(described: Recipe, classes: int) -> str:
    network = described.network
    weights = "from ImageNet weights (V1)" if network.weights == "imagenet" else "from random weights"
    dropout = f", dropout {network.dropout:g}" if network.dropout else ""
    hidden = [f"{width:,} ReLU{dropout}" for width in network.hidden]
    chain = [network.encoder, NECKS.get(network.neck, network.neck), *hidden, f"{classes} classes (softmax)"]
    return f"{weights}: {' → '.join(chain)}"


def _stage(stage: Stage) -> str:
    batch = f"batches of {stage.batch_size}" + (f" × {stage.accumulate} accumulated" if stage.accumulate > 1 else "")
    optimizer = _generic(stage.optimizer, OPTIMIZERS.get(stage.optimizer["name"]), ("lr",))
    said = [
        f"{stage.epochs} epoch{'s' if stage.epochs != 1 else ''}",
        batch,
        f"{optimizer}, learning rate {stage.optimizer['lr']:g}, {_generic(stage.schedule)} schedule",
        *(_generic(loss, LOSSES.get(loss["name"])) for loss in stage.losses.values()),
        {"all": "all layers are trained", "head": "only the layers after the encoder are trained"}[stage.trainable],
    ]
    return "; ".join(said)


def metric(name: str) -> str:
    """A metric's name in running text."""
    return METRICS.get(name, spaced(name))


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals; "–" for none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share as "81.3 %"; "–" for none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def interval(metric: dict[str, Any] | None) -> str:
    """An interval as "(0.745–0.870)"; "" without bounds."""
    if not metric or metric.get("low") is None or metric.get("high") is None:
        return ""
    between = " to " if metric["low"] < 0 else "–"
    return f"({number(metric['low'])}{between}{number(metric['high'])})"


def constant_answer(results: list[dict[str, Any]]) -> tuple[str, float] | None:
    """The most frequent class of the test part and the accuracy of always answering it."""
    for arm in results:
        if arm["confusion"] and arm["n"]:
            totals = [sum(row) for row in arm["confusion"]]
            most = max(range(len(totals)), key=totals.__getitem__)
            return arm["classes"][most], totals[most] / sum(totals)
    return None


def answer(study: Study, phantom: bool, results: list[dict[str, Any]], published: list[dict[str, Any]]) -> list[str]:
    """Say what the study's results are, in a few sentences."""
    said = []
    if study.scale == "demo":
        data = "synthetic phantoms and a small recipe" if phantom else "real data, small recipe"
        said.append(f"Demo: {data}; not compared with published numbers.")
    said += _headline([arm for arm in results if arm["test"].get("accuracy", {}).get("value") is not None])
    verdicts = [row["verdict"] for row in published]
    tally = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in verdicts)
    return (
        [*said, f"Of {len(verdicts)} published number{'s' if len(verdicts) > 1 else ''}: {tally}."] if tally else said
    )


def _headline(scored: list[dict[str, Any]]) -> list[str]:
    """Test accuracy of the arms, next to that of always giving the most frequent answer."""
    if not scored:
        return ["No arm has test results yet."]
    low, high = min(scored, key=_accuracy), max(scored, key=_accuracy)
    constant = constant_answer(scored)
    always = f"; always answering “{constant[0]}” would be right for {percent(constant[1])}" if constant else ""
    if len(scored) == 1:
        runs = f"mean over {len(low['runs'])} runs" if len(low["runs"]) > 1 else "one run"
        arms = (
            f"{low['name']} is right on {percent(_accuracy(low))} of {low['n']:,} test items {_percents(low)}, {runs}"
        )
    else:
        ends = [f"{percent(_accuracy(arm))} ({arm['name']})" for arm in (low, high)]
        arms = f"Test accuracy of {len(scored)} arms goes from {' to '.join(ends)}"
    weak = [arm["name"] for arm in scored if constant and (arm["test"]["accuracy"].get("low") or 0) <= constant[1]]
    doubt = [f"Not shown to be better than that constant answer: {', '.join(weak)}."] if weak else []
    return [f"{arms}{always}.", *doubt]


def _accuracy(arm: dict[str, Any]) -> float:
    value: float = arm["test"]["accuracy"]["value"]
    return value


def _percents(arm: dict[str, Any]) -> str:
    metric = arm["test"]["accuracy"]
    return (
        f"(95 % interval {100 * metric['low']:.1f}–{percent(metric['high'])})" if metric.get("low") is not None else ""
    )


def captions(run: dict[str, int], runs: int) -> dict[str, str]:
    """The captions of an arm's figures, by file name; `run` is the fold and seed whose curves are drawn."""
    which = f" of fold {run['fold']}, seed {run['seed']}" if runs > 1 else ""
    mean = " (mean over the runs)" if runs > 1 else ""
    areas = f" The curves are those{which}; the areas, means over the runs." if runs > 1 else ""
    return {
        "curves": f"Loss and accuracy over the epochs{'; one line a run' if runs > 1 else ''}.",
        "confusion": f"Confusion matrix, test: items{mean} and share of the true class.",
        "roc": f"ROC, test: each class against all others; area and 95 % interval.{areas}",
        "reliability": f"Reliability, test{which}: points below the line are overconfident.",
    }


def note(metrics: dict[str, Any]) -> str:
    """What must stand beside an arm's headline number: how many of its runs collapsed."""
    collapsed = sum(finding["finding"] == "collapsed" for finding in metrics["diagnosis"])
    return f"collapsed in {collapsed} of {len(metrics['runs'])} runs" if collapsed else ""


def temperature(fitted: dict[str, Any] | None, metrics: dict[str, Any], level: str) -> str:
    """What post-training did to the probabilities of the test part."""
    before = metrics["before_temperature"].get("test")
    if not fitted or not before:
        return ""
    after = metrics["parts"]["test"][level]["metrics"]
    changes = [
        f"{said} {number(before[name])} → {number(after[name]['value'])}"
        for name, said in (("loss", "loss"), ("ece", "ECE"))
    ]
    return f"One temperature, fitted on the validation part, changes the test part's {', '.join(changes)}."
