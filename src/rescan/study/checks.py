"""Cross-checks between the sections of a study. Each raises a ValueError that says where and what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescan import catalogue
from rescan.study.keys import training_content
from rescan.study.network import WEIGHTS_FILES
from rescan.study.operating_points import check_points

if TYPE_CHECKING:
    from rescan.study.autoencoder import Autoencoder
    from rescan.study.recipe import Recipe
    from rescan.study.study import Study


def check_study(study: Study) -> None:
    """Run all cross-checks; the first fault ends them.

    Raises:
        ValueError: Two sections do not fit together.
    """
    for name in study.autoencoders:
        check_autoencoder(study, name)
    for arm in study.arms:
        check_network(study, arm)
    for arm in study.arms:
        check_arm_and_data(study, arm)
    check_map_beside(study)
    check_layers(study)
    check_endpoints(study)
    check_metrics(study)
    check_points(study)
    for arm in study.arms:
        check_links(study, arm)
    for name in study.ablations:
        check_budget(study, name)


def check_autoencoder(study: Study, name: str) -> None:
    """An autoencoder needs a preparation that makes what its encoder takes."""
    autoencoder = study.autoencoders[name]
    if autoencoder.preparation not in study.preparations:
        near = catalogue.suggest(autoencoder.preparation, study.preparations)
        raise ValueError(f"autoencoders: {name}: no preparation {autoencoder.preparation!r}{near}")
    check_dimensions(study, f"autoencoders: {name}", autoencoder.encoder, autoencoder)


def check_network(study: Study, arm: str) -> None:
    """An arm's encoder must take what its preparation makes, and its weights must exist."""
    recipe, where = study.arms[arm], f"arms: {arm}"
    network = recipe.network
    if recipe.preparation in study.preparations:
        check_dimensions(study, where, network.encoder, recipe)
    if network.weights == "imagenet":
        if catalogue.ENCODERS[network.encoder].weights is None:
            raise ValueError(f"{where}: network: {network.encoder} has no published weights; use weights: none")
        if network.norm != "batch":
            raise ValueError(f"{where}: network: published weights need norm: batch; or use weights: none")
    elif network.start == "autoencoder":
        check_start(study, where, recipe)


def check_dimensions(study: Study, where: str, encoder: str, recipe: Recipe | Autoencoder) -> None:
    """Encoder and augmentation must be for what the preparation makes: images or volumes."""
    volumes = study.preparations[recipe.preparation].dimensions == 3
    kind = "volumes" if volumes else "images"
    if volumes != (catalogue.ENCODERS[encoder].dimensions == 3):
        raise ValueError(f"{where}: preparation {recipe.preparation} makes {kind}, {encoder} takes the other kind")
    at_inference = getattr(recipe, "inference", None)
    augmentations = {*recipe.augmentation, *(at_inference.augmentation if at_inference else ())}
    if unfit := [name for name in augmentations if not catalogue.AUGMENTATIONS[name].is_for(3 if volumes else 2)]:
        raise ValueError(f"{where}: augmentation: {min(unfit)} is not for {kind}")


def check_start(study: Study, where: str, recipe: Recipe) -> None:
    """The autoencoder that an arm starts from must exist and have the arm's encoder."""
    network = recipe.network
    if network.weights not in study.autoencoders:
        near = catalogue.suggest(network.weights, ["imagenet", "none", *study.autoencoders])
        other = "" if near else f"; a file of weights ends in {', '.join(WEIGHTS_FILES)}"
        raise ValueError(f"{where}: network: no weights {network.weights!r}{near}{other}")
    if recipe.training_samples != "all":
        reason = f"but autoencoder {network.weights} learns from all of them; use weights: none"
        raise ValueError(f"{where}: training_samples: {recipe.training_samples}, {reason}")
    autoencoder = study.autoencoders[network.weights]
    for what, expected, actual in (
        ("encoder", autoencoder.encoder, network.encoder),
        ("its blocks", autoencoder.blocks, network.blocks),
        ("norm", autoencoder.norm, network.norm),
        ("normalization", autoencoder.normalization, recipe.normalization),
    ):
        if expected != actual:
            raise ValueError(f"{where}: {what} is {actual}, but that of autoencoder {network.weights} is {expected}")


def check_arm_and_data(study: Study, arm: str) -> None:
    """An arm's heads, cut points and extra data must fit the section `data`."""
    recipe, data = study.arms[arm], study.data
    for name, head in catalogue.HEADS.items():
        if head.of_two and name in recipe.network.heads and len(data.classes) != 2:
            raise ValueError(f"arms: {arm}: a {name} head tells two classes apart, not {len(data.classes)}")
    if wrong := [name for name in recipe.network.heads if catalogue.HEADS[name].of_several != data.multilabel]:
        of_several = [name for name, head in catalogue.HEADS.items() if head.of_several]
        remedy = f"use head {' or '.join(of_several)}" if data.multilabel else "add multilabel: true to data"
        several = "tells exclusive classes apart" if data.multilabel else "is for several labels of a sample"
        raise ValueError(f"arms: {arm}: head {wrong[0]} {several}; {remedy}")
    of_grades = [name for name, head in catalogue.HEADS.items() if head.of_grades]
    if not data.ordered and not recipe.network.heads.keys().isdisjoint(of_grades):
        raise ValueError(f"arms: {arm}: {' and '.join(of_grades)} heads are for grades; add ordered: true to data")
    check_compared(study, arm)
    cuts, needed = recipe.posttrain.cuts, len(data.classes) - 1
    if isinstance(cuts, list) and len(cuts) != needed:
        raise ValueError(f"arms: {arm}: posttrain: {len(cuts)} cuts, but these classes need {needed}")
    for extra in sorted(recipe.extras - set(data.extra)) if study.home is None else []:
        raise ValueError(f"arms: {arm}: stages: samples: no data.extra {extra!r}{catalogue.suggest(extra, data.extra)}")


def check_compared(study: Study, arm: str) -> None:
    """What epochs are compared by must be known of the classes; several labels cannot be drawn by a sample's class."""
    recipe, several = study.arms[arm], study.data.multilabel
    of_labels = ("loss", *(name for name, metric in catalogue.METRICS.items() if metric.of_labels))
    useful = [name for name in of_labels if name == "loss" or not catalogue.METRICS[name].never_chosen]
    for key, metric in recipe.epoch_metrics.items() if recipe.trains else ():
        record = catalogue.METRICS[metric]
        if several and metric not in of_labels:
            raise ValueError(f"arms: {arm}: {key}: {metric} is not of several labels; use {' or '.join(useful)}")
        needs = record.of_probabilities or (record.ranked and len(study.data.classes) > 2)
        if metric != "loss" and needs and not recipe.ranks_epochs:
            why = f"needs probabilities, which head {recipe.epoch_head} does not give; use quadratic_kappa"
            raise ValueError(f"arms: {arm}: {key}: {metric} {why}")
    for name, stage in recipe.stages.items() if study.data.multilabel else ():
        if stage.sampling != "natural":
            raise ValueError(f"arms: {arm}: stages: {name}: sampling: {stage.sampling} is not for several labels")
        if stage.class_weights not in ("none", "balanced"):
            raise ValueError(f"arms: {arm}: stages: {name}: class_weights: of several labels, use none or balanced")


def check_map_beside(study: Study) -> None:
    """The arm whose map stands beside a volume's must read one whole image per sample."""
    beside = study.gradcam.beside
    if beside not in study.arms:
        return
    preparation = study.preparations.get(study.arms[beside].preparation)
    if preparation and (preparation.dimensions == 3 or preparation.cuts_patches):
        raise ValueError(f"gradcam: beside: arm {beside} has no image for each sample; name one whose images are whole")


def check_layers(study: Study) -> None:
    """The encoder of every arm with networks of its own must have the block that is mapped."""
    faults: dict[str, list[str]] = {}
    for arm, recipe in study.arms.items():
        if recipe.trains:
            try:
                study.gradcam.layer_of(recipe.network)
            except ValueError as error:
                faults.setdefault(str(error), []).append(arm)
    if faults:
        of_arms = "; ".join(f"{fault} (arms: {', '.join(arms)})" for fault, arms in faults.items())
        raise ValueError(f"gradcam: layer: {of_arms}; name a block for each: layer: {{encoder: block}}")


def check_endpoints(study: Study) -> None:
    """Published numbers may be of the study's endpoints only."""
    for entry in study.published:
        if entry.endpoint is not None and entry.endpoint not in study.data.endpoints:
            near = catalogue.suggest(entry.endpoint, study.data.endpoints)
            raise ValueError(f"published: no endpoint {entry.endpoint!r}{near}")


def check_metrics(study: Study) -> None:
    """Claims and published numbers must be of metrics that the classes have."""
    several = study.data.multilabel
    of_labels = [name for name, metric in catalogue.METRICS.items() if metric.of_labels]
    of_classes = [name for name, metric in catalogue.METRICS.items() if study.data.ordered or not metric.of_grades]
    if several and study.ablations:
        raise ValueError("ablations: arms are compared by accuracy, which several labels do not have; use arms")
    for claim in study.claims:
        known = of_labels if several else of_classes
        if claim.metric not in known:
            raise ValueError(f"claims: arms are not compared by {claim.metric} here; use {' or '.join(known)}")
    for entry in study.published:
        if several and (entry.metric not in of_labels or entry.level != "image"):
            raise ValueError(f"published: of several labels, use level: image, and {', '.join(of_labels)}")


def check_links(study: Study, arm: str) -> None:
    """The arms that an arm names must be run, have models of their own, and fit it."""
    recipe, arms = study.arms[arm], study.arms
    if recipe.against is not None and recipe.against not in arms:
        raise ValueError(
            f"arms: {arm}: against: no arm {recipe.against!r} is run{catalogue.suggest(recipe.against, arms)}"
        )
    for member in [recipe.models] if recipe.models else recipe.ensemble.members if recipe.ensemble else []:
        if member not in arms:
            raise ValueError(f"arms: {arm}: needs arm {member!r}, which is not run; add it to run")
        if member == arm or arms[member].ensemble or (recipe.models and not arms[member].trains):
            raise ValueError(f"arms: {arm}: arm {member!r} has no models of its own")
        heads = arms[member].network.heads
        if any(name not in heads or heads[name].link != head.link for name, head in recipe.network.heads.items()):
            raise ValueError(f"arms: {arm}: its members need the same heads; those of {member!r} differ")
    if recipe.models and training_content(study, arm) != training_content(study, recipe.models):
        limits = "may differ from it in posttrain, inference and folds only"
        raise ValueError(f"arms: {arm}: an arm with models: {recipe.models} {limits}")


def check_budget(study: Study, ablation: str) -> None:
    """The arms of an ablation must be trained for as many steps as its base."""

    def steps(arm: str) -> list[int | None]:
        return [stage.steps for stage in study.arms[arm].stages.values()]

    base = study.ablations[ablation].base
    for arm in study.ablations[ablation].arms:
        if None in steps(arm) or steps(arm) != steps(base):
            need = f"arm {arm} must be trained for as many steps as {base}"
            raise ValueError(f"ablations: {ablation}: {need}; give their stages the same steps, not epochs")
