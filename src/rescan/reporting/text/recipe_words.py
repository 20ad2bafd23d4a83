"""A recipe in plain sentences."""

from __future__ import annotations

from pathlib import PurePath

from rescan import catalogue
from rescan.catalogue import FAULT
from rescan.catalogue.timm_encoders import HubWeights
from rescan.reporting.text import preparation_words
from rescan.reporting.text.preparation_words import augmentation, item
from rescan.reporting.text.words import capitalized, listed, metric, plural, several
from rescan.study import (
    Autoencoder,
    Block,
    ClassWeights,
    Ensemble,
    Head,
    Inference,
    Layers,
    Network,
    Preparation,
    Recipe,
    Stage,
    Study,
)
from rescan.study.operating_points import points_asked

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


PRETRAINED_ON = {
    "train": "on the training part of the run that starts from it",
    "all": "on all samples, validation and test included (a leak, shown on purpose)",
}


def sentences(study: Study, arm: str) -> dict[str, str]:
    """An arm's recipe: topic → sentence, in the order of the pipeline. Of an ensemble, only what is its own."""
    recipe = study.arms[arm]
    topics: dict[str, str] = {}
    if recipe.ensemble:
        topics["Ensemble"] = _ensemble(recipe.ensemble)
    if recipe.models:
        topics["Models"] = f"those of {recipe.models}, not trained again"
    if not recipe.ensemble:
        preparation = study.preparations[recipe.preparation]
        topics |= training(preparation, recipe, len(study.data.classes))
        if name := study.autoencoder(arm):
            topics["Pre-training"] = _pretraining(name, study.autoencoders[name], recipe.preparation)
        topics["At inference"] = _inference(recipe.inference, item(preparation), preparation.dimensions)
    topics["Read from"] = _reading(study, arm)
    folds, seeds = len({run.fold for run in study.runs(arm)}), ", ".join(map(str, study.split.seeds))
    of = f" of {study.split.fold_count}" if folds < study.split.fold_count else ""
    topics["Runs"] = f"one per seed: {seeds}" if recipe.ensemble else f"folds: {folds}{of}; seeds: {seeds}"
    return {topic: f"{capitalized(sentence)}." for topic, sentence in topics.items()}


def differences(study: Study, arm: str) -> tuple[str | None, dict[str, str]]:
    """The arm that an arm's recipe is best described as a difference from, and the topics in which it differs.

    None and all topics where there is no such arm.
    """
    own, base = sentences(study, arm), study.base(arm)
    if study.arms[arm].ensemble or base is None:
        return None, own
    others = sentences(study, base)
    changes = {topic: sentence for topic, sentence in own.items() if others.get(topic) != sentence}
    return base, {**changes, **{topic: "None." for topic in others if topic not in own}}


def training(preparation: Preparation, recipe: Recipe, classes: int) -> dict[str, str]:
    """What of a recipe makes the networks: topic → sentence."""
    where = f"on training {plural(item(preparation))} only"
    topics = {
        "Preparation": preparation_words.sentence(preparation),
        "Input scale": catalogue.NORMALIZATIONS[recipe.normalization].sentence,
        "Augmentation": augmentation(recipe.augmentation, preparation.dimensions, where),
        "Network": _network(recipe.network, classes),
    }
    heads = recipe.network.heads
    if len(heads) > 1:
        topics["Heads"] = "; ".join(
            f"{name}: {' → '.join([*_layers(head), _output(name, head, classes)])}" for name, head in heads.items()
        )
    for name, stage in recipe.stages.items():
        topics[f"Training: stage {name}" if len(recipe.stages) > 1 else "Training"] = _stage(stage)
    if rule := recipe.early_stopping:
        better = f"without a better validation {metric(rule.metric)}"
        topics["Early stopping"] = f"a stage ends after {rule.patience} epochs {better}"
    best = None if recipe.keep == "last" else metric(recipe.keep.best)
    topics["Kept model"] = f"the epoch with the best validation {best}" if best else "the last epoch"
    topics["Training samples"] = TRAINING_SAMPLES[recipe.training_samples]
    topics["Validation"] = VALIDATION[recipe.validation]
    if recipe.watch:
        parts = listed([{"train": "training"}.get(part, part) for part in recipe.watch])
        topics["Watched"] = f"{parts}, scored after each epoch to be shown; nothing is chosen by them"
    return topics


def start(network: Network, file: str = "") -> str:
    """What the encoder of a network starts from.

    Args:
        network: The network.
        file: What is known of the file of its weights, if anything is.
    """
    file = file or (PurePath(network.weights).name if network.start == "file" else "")
    words = {
        "published": f"from {_published(network.encoder)}{file and ', '}{file}",
        "random": "from random weights",
        "file": f"from the weights in {file}",
        "autoencoder": f"from the encoder of autoencoder {network.weights}",
    }
    return words[network.start]


def _published(encoder: str) -> str:
    """Whose published weights an encoder starts from; what timm's were trained on, their name tells."""
    weights = catalogue.ENCODERS[encoder].weights
    if isinstance(weights, HubWeights):
        return f"timm's weights {weights.repository}" + (f"@{weights.revision}" if weights.revision else "")
    return "ImageNet weights" + (f" ({weights.origin})" if weights else "")


def _network(network: Network, classes: int) -> str:
    encoder = [_block(block) for block in network.blocks or ()] or [catalogue.ENCODERS[network.encoder].say({})]
    shared, heads = _layers(network), list(network.heads.items())
    if len(heads) == 1:
        ((name, head),) = heads
        end = [*shared, *_layers(head), _output(name, head, classes)]
    else:
        end = [f"shared: {layer}" for layer in shared] + [f"{len(heads)} heads"]
    parts = [f"{start(network)}: {' → '.join([*encoder, catalogue.say('neck', network.neck), *end])}"]
    parts += [NORMS[network.norm]] if network.norm in NORMS else []
    if network.norm_momentum is not None:
        share = f"{network.norm_momentum:g}"
        parts += [f"each batch moves the running statistics of batch norm by {share} of the way to its own"]
    parts += ["activations are computed twice rather than kept"] if network.checkpointing else []
    return "; ".join(parts)


def _block(block: Block) -> str:
    """A block such as "7×7 convolution, 64 maps, stride 2, max pooling 2"."""
    kind = "residual block" if block.residual else "convolution"
    more = [f"stride {block.stride}"] * (block.stride > 1) + [f"max pooling {block.pool}"] * (block.pool > 1)
    return ", ".join([f"{block.kernel}×{block.kernel} {kind}, {block.maps} maps", *more])


def _layers(part: Layers) -> list[str]:
    dropout = f", dropout {part.dropout:g}" if part.dropout else ""
    return [f"{width:,} ReLU{dropout}" for width in part.hidden]


def _output(name: str, head: Head, classes: int) -> str:
    record = catalogue.HEADS[name]
    output = record.softmax_output if head.link == "softmax" and record.softmax_output else record.output
    limit = f", between 0 and {head.limit:g}" if head.limit is not None else ""
    return output.format(classes=classes, thresholds=classes - 1, limit=limit)


def _stage(stage: Stage) -> str:
    length = several(stage.steps, "step") if stage.steps else several(stage.epochs or 0, "epoch")
    parts = [length, _batches(stage)]
    if stage.samples != ["own"]:
        own = ["the study's own samples"] if "own" in stage.samples else []
        parts.append(f"on {listed([*own, *(name for name in stage.samples if name != 'own')])}")
    if stage.carry == "encoder":
        parts.append("only the encoder is kept of the stage before")
    parts += [_optimization(stage), _losses(stage)]
    if stage.class_weights == "balanced" and any(catalogue.HEADS[head].of_several for head in stage.losses):
        parts.append("a label that is present weighs as much as images lack it for each that has it")
    elif stage.class_weights == "balanced":
        parts.append("classes weighted by their inverse frequency")
    elif isinstance(stage.class_weights, ClassWeights):
        within = catalogue.KNOWN_COLUMNS[stage.class_weights.within].title
        parts.append(f"each class weighted by the share of the others among those of its {within}")
    if stage.sampling == "balanced":
        parts.append("each class drawn equally often")
    return "; ".join([*parts, _trainable(stage)])


def _trainable(stage: Stage) -> str:
    if stage.trainable == "head":
        return "only the layers after the encoder are trained"
    if stage.trainable == "all" or stage.trainable.from_block == 1:
        return "all layers are trained"
    blocks = stage.trainable.from_block - 1
    frozen = "first block stays as it is" if blocks == 1 else f"first {blocks} blocks stay as they are"
    return f"the encoder's {frozen}, the rest is trained"


def _batches(training: Stage | Autoencoder) -> str:
    accumulated = f" × {training.accumulate} accumulated" if training.accumulate > 1 else ""
    return f"batches of {training.batch_size}{accumulated}"


def _optimization(training: Stage | Autoencoder) -> str:
    optimizer, schedule = catalogue.say("optimizer", training.optimizer), catalogue.say("schedule", training.schedule)
    clipped = f", gradients scaled down to a norm of {training.clip_norm:g}" if training.clip_norm is not None else ""
    return f"{optimizer}, learning rate {training.optimizer['lr']:g}, {schedule}{clipped}"


def _pretraining(name: str, autoencoder: Autoencoder, preparation: str) -> str:
    """How an autoencoder is pre-trained; with its preparation only where it is another than the arm's."""
    other = [] if autoencoder.preparation == preparation else [f"inputs prepared as {autoencoder.preparation}"]
    learns = "the encoder and a decoder learn to reconstruct their inputs"
    parts = [
        f"autoencoder {name}: {learns} {PRETRAINED_ON[autoencoder.samples]}",
        *other,
        "mean squared error",
        f"up to {autoencoder.epochs} epochs, ended after {autoencoder.patience} without a lower validation loss",
        "the epoch with the lowest is kept",
        _batches(autoencoder),
        _optimization(autoencoder),
    ]
    if autoencoder.augmentation:
        parts.append(augmentation(autoencoder.augmentation, catalogue.ENCODERS[autoencoder.encoder].dimensions))
    return "; ".join([*parts, "only the encoder is carried over"])


def _losses(stage: Stage) -> str:
    parts = []
    for head, loss in stage.losses.items():
        factor = f"{loss['weight']:g} × " if loss["weight"] != 1 else ""
        of_head = f" of the {head}" if len(stage.losses) > 1 or catalogue.HEADS[head].of_grades else ""
        parts.append(f"{factor}{catalogue.say('loss', loss)}{of_head}")
    return " + ".join(parts)


def _reading(study: Study, arm: str) -> str:
    recipe = study.arms[arm]
    cuts, reader = recipe.posttrain.cuts, catalogue.READERS[recipe.head]
    sentence = reader.sentence
    if isinstance(cuts, list):
        sentence = sentence.split(":")[0] + ": cut at " + ", ".join(f"{value:g}" for value in cuts)
    elif cuts == "optimized":
        sentence = sentence.split(":")[0] + ": cut where quadratic kappa is highest"
    if recipe.posttrain.thresholds != "half":
        which = {"youden": "Youden's index", "f1": "F1"}[recipe.posttrain.thresholds]
        sentence = f"{reader.title}: each label from the probability on where {which} is highest"
    pairs = points_asked(study.operating_points, study.data.outcome)
    at = [f"{question.name} at the operating point {point.name}" for point, question in pairs if point.predicts]
    if at and study.positive is not None:  # it takes the place of a half
        sentence = f"{sentence.split(':')[0]}: {at.pop()}"
    parts = [sentence, *([f"fitted {FIT_ON[recipe.posttrain.fit_on]}"] if recipe.is_fitted else []), *at]
    if recipe.ensemble is None and item(study.preparations[recipe.preparation]) == "patch":
        mean = "grade" if reader.gives_grade else "probabilities"
        parts.append(f"a sample is read from the mean {mean} of its patches")
    return "; ".join(parts)


def _inference(inference: Inference, what: str, dimensions: int) -> str:
    if not inference.copies:
        return f"each {what} as it is"
    copies = f"{inference.copies} augmented cop{'y' if inference.copies == 1 else 'ies'}"
    how = augmentation(inference.augmentation, dimensions)
    if not inference.original:
        return f"{copies} in place of each {what} ({how})"
    return f"each {what} and {copies} of it ({how}); the outputs are averaged (test-time augmentation)"


def _ensemble(ensemble: Ensemble) -> str:
    trimmed = f"trimmed mean ({100 * ensemble.trim:g} % cut off at either end)"
    mean = "mean" if ensemble.combine == "mean" else trimmed
    return f"the {mean} of the outputs of {listed(ensemble.members)}, over their folds, each seed by itself"
