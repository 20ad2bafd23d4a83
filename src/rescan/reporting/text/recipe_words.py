"""A recipe in plain sentences. A name without a sentence of its own here is shown by itself with its options."""

from __future__ import annotations

from rescan import catalogue
from rescan.catalogue import FAULT
from rescan.reporting.text.preparation_words import augmentation, item, preparation
from rescan.reporting.text.words import capitalized, listed, metric, several
from rescan.study import Autoencoder, Block, ClassWeights, Head, Inference, Layers, Preparation, Recipe, Stage, Study

NORMS = {
    "instance": "instance norm in place of every batch norm",
    "group": "group norm in place of every batch norm",
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
        prepared = study.preparations[described.preparation]
        lines |= _training(prepared, described, classes)
        if name := study.autoencoder(arm):
            lines["Pre-training"] = pretraining(name, study.autoencoders[name], described.preparation)
        lines["At inference"] = _inference(described.inference, item(prepared), prepared.dimensions)
    lines["Read from"] = _reading(study, arm)
    folds, seeds = len({fold for fold, _ in study.runs(arm)}), ", ".join(map(str, study.split.seeds))
    of = f" of {study.split.folds}" if folds < study.split.folds else ""
    lines["Runs"] = f"one a seed: {seeds}" if described.ensemble else f"folds: {folds}{of}; seeds: {seeds}"
    return {topic: f"{capitalized(sentence)}." for topic, sentence in lines.items()}


def _training(prepared: Preparation, described: Recipe, classes: int) -> dict[str, str]:
    lines = {
        "Preparation": preparation(prepared),
        "Input scale": catalogue.NORMALIZATIONS[described.normalization].sentence,
        "Augmentation": augmentation(
            described.augmentation, prepared.dimensions, f"on training {several(item(prepared))} only"
        ),
        "Network": _network(described, classes),
    }
    heads = described.network.heads
    if len(heads) > 1:
        lines["Heads"] = "; ".join(
            f"{name}: {' → '.join([*_layers(head), _output(name, head, classes)])}" for name, head in heads.items()
        )
    staged = len(described.stages) > 1
    for name, stage in described.stages.items():
        lines[f"Training: stage {name}" if staged else "Training"] = _stage(stage)
    if described.early_stopping:
        rule = described.early_stopping
        better = f"without a better validation {metric(rule.metric)}"
        lines["Early stopping"] = f"a stage ends after {rule.patience} epochs {better}"
    best = None if described.keep == "last" else metric(described.keep.best)
    lines["Kept model"] = f"the epoch with the best validation {best}" if best else "the last epoch"
    lines["Training samples"] = TRAINING_SAMPLES[described.training_samples]
    lines["Validation"] = VALIDATION[described.validation]
    if described.watch:
        parts = [{"train": "training"}.get(part, part) for part in described.watch]
        lines["Watched"] = f"{listed(parts)}, scored after each epoch to be shown; nothing is chosen by them"
    return lines


def _network(described: Recipe, classes: int) -> str:
    network = described.network
    known = {"imagenet": "from ImageNet weights (V1)", "none": "from random weights"}
    weights = known.get(network.weights, f"from the encoder of autoencoder {network.weights}")
    neck = catalogue.say("neck", network.neck)
    shared = _layers(network)
    heads = list(network.heads.items())
    if len(heads) == 1:
        ((name, head),) = heads
        end = [*shared, *_layers(head), _output(name, head, classes)]
    else:
        end = [f"shared: {layer}" for layer in shared] + [f"{len(heads)} heads"]
    encoder = [catalogue.ENCODERS[network.encoder].say({})]
    layers = [*([_block(block) for block in network.blocks] if network.blocks else encoder), neck, *end]
    said = [f"{weights}: {' → '.join(layers)}"]
    said += [NORMS[network.norm]] if network.norm in NORMS else []
    said += ["activations are computed twice rather than kept"] if network.checkpointing else []
    return "; ".join(said)


def _block(block: Block) -> str:
    """A block such as "7×7 convolution, 64 maps, stride 2, max pooling 2"."""
    kind = "residual block" if block.residual else "convolution"
    more = [f"stride {block.stride}"] * (block.stride > 1) + [f"max pooling {block.pool}"] * (block.pool > 1)
    return ", ".join([f"{block.kernel}×{block.kernel} {kind}, {block.maps} maps", *more])


def _layers(described: Layers) -> list[str]:
    dropout = f", dropout {described.dropout:g}" if described.dropout else ""
    return [f"{width:,} ReLU{dropout}" for width in described.hidden]


def _output(name: str, head: Head, classes: int) -> str:
    record = catalogue.HEADS[name]
    output = record.softmax_output if head.link == "softmax" and record.softmax_output else record.output
    limit = f", between 0 and {head.limit:g}" if head.limit is not None else ""
    return output.format(classes=classes, thresholds=classes - 1, limit=limit)


def _stage(stage: Stage) -> str:
    long = f"{stage.steps:,} step" if stage.steps else f"{stage.epochs} epoch"
    said = [long if 1 in (stage.steps, stage.epochs) else f"{long}s", _batches(stage)]
    if stage.samples != ["own"]:
        own = ["the study's own samples"] if "own" in stage.samples else []
        said.append(f"on {listed([*own, *(name for name in stage.samples if name != 'own')])}")
    if stage.carry == "encoder":
        said.append("only the encoder is kept of the stage before")
    said += [_steps(stage), _losses(stage)]
    if stage.class_weights == "balanced":
        said.append("classes weighted by their inverse frequency")
    elif isinstance(stage.class_weights, ClassWeights):
        within = catalogue.KNOWN_COLUMNS[stage.class_weights.within].title
        said.append(f"each class weighted by the share of the others among those of its {within}")
    if stage.sampling == "balanced":
        said.append("each class drawn equally often")
    if stage.trainable == "all":
        said.append("all layers are trained")
    elif stage.trainable == "head":
        said.append("only the layers after the encoder are trained")
    else:
        first = stage.trainable.from_block
        frozen = "first block stays as it is" if first == 2 else f"first {first - 1} blocks stay as they are"
        said.append("all layers are trained" if first == 1 else f"the encoder's {frozen}, the rest is trained")
    return "; ".join(said)


def _batches(trained: Stage | Autoencoder) -> str:
    accumulated = f" × {trained.accumulate} accumulated" if trained.accumulate > 1 else ""
    return f"batches of {trained.batch_size}{accumulated}"


def _steps(trained: Stage | Autoencoder) -> str:
    optimizer, schedule = catalogue.say("optimizer", trained.optimizer), catalogue.say("schedule", trained.schedule)
    return f"{optimizer}, learning rate {trained.optimizer['lr']:g}, {schedule}"


def pretraining(name: str, described: Autoencoder, preparation_said: str = "") -> str:
    """Say how an autoencoder is pre-trained; its preparation only where it is not the one that was said already."""
    samples = {
        "train": "on the training part of the run that starts from it",
        "all": "on all samples, validation and test included (a leak, shown on purpose)",
    }
    dimensions = catalogue.ENCODERS[described.encoder].dimensions
    other = [] if described.preparation == preparation_said else [f"inputs prepared as {described.preparation}"]
    said = [
        f"autoencoder {name}: the encoder and a decoder learn to reconstruct their inputs {samples[described.samples]}",
        *other,
        "mean squared error",
        f"up to {described.epochs} epochs, ended after {described.patience} without a lower validation loss",
        "the epoch with the lowest is kept",
        _batches(described),
        _steps(described),
    ]
    if described.augmentation:
        said.append(augmentation(described.augmentation, dimensions))
    return "; ".join([*said, "only the encoder is carried over"])


def _losses(stage: Stage) -> str:
    several, said = len(stage.losses) > 1, []
    for head, loss in stage.losses.items():
        factor = f"{loss['weight']:g} × " if loss["weight"] != 1 else ""
        name = catalogue.say("loss", loss)
        said.append(f"{factor}{name}" + (f" of the {head}" if several or catalogue.HEADS[head].of_grades else ""))
    return " + ".join(said)


def _reading(study: Study, arm: str) -> str:
    described = study.arms[arm]
    cuts, said = described.posttrain.cuts, catalogue.READERS[described.head].sentence
    if isinstance(cuts, list):
        said = said.split(":")[0] + ": cut at " + ", ".join(f"{value:g}" for value in cuts)
    elif cuts == "optimized":
        said = said.split(":")[0] + ": cut where quadratic kappa is highest"
    said += f"; fitted {FIT_ON[described.posttrain.fit_on]}" if described.is_fitted else ""
    if described.ensemble is None and item(study.preparations[described.preparation]) == "patch":
        what = "grade" if catalogue.READERS[described.head].gives_grade else "probabilities"
        said += f"; a sample is read from the mean {what} of its patches"
    return said


def _inference(described: Inference, what: str, dimensions: int) -> str:
    if not described.copies:
        return f"each {what} as it is"
    copies = f"{described.copies} augmented cop{'y' if described.copies == 1 else 'ies'}"
    how = augmentation(described.augmentation, dimensions)
    if not described.original:
        return f"{copies} in place of each {what} ({how})"
    return f"each {what} and {copies} of it ({how}); the outputs are averaged (test-time augmentation)"


def _ensemble(described: Recipe) -> str:
    group = described.ensemble
    if group is None:
        return ""
    mean = "mean" if group.combine == "mean" else f"trimmed mean ({100 * group.trim:g} % cut off at either end)"
    return f"the {mean} of the outputs of {listed(group.members)}, over their folds, each seed by itself"
