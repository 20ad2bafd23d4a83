"""Sections that do not fit together are refused."""

import pytest

from rescan.errors import RescanError


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ordered: true", "ordered: false", "endpoints need ordered classes"),
        ("  ordered: true\n  endpoints: {any: mild}\n", "", "regression and ordinal heads are for grades"),
        ("endpoints: {any: mild}", "endpoints: {any: none}", "no class above the first"),
        ("samples: [others]", "samples: [otters]", "no data.extra 'otters'; did you mean 'others'?"),
        ("models: base", "models: bas", "needs arm 'bas', which is not run"),
        ("models: base, inf", "models: base, normalization: unit, inf", "may differ from it in posttrain, inference"),
        ("members: [turned, pretrained]", "members: [both]", "has no models of its own"),
        ("copies: 2, ", "", "copies and augmentation belong together"),
        ("head: regression", "head: ordinal", "the network has no head 'ordinal'"),
        ("head: regression", "head: regression, cuts: [2.0, 1.0]", "cuts must rise"),
        ("members: [turned, pretrained]", "members: [turned, alone]", "its members need the same heads"),
        ("against: pretrained", "posttrain: {head: linear}", "head linear needs two heads or more"),
        ("base: {}", "base: {validation: test, training_samples: leak_free}", "trains on all other samples"),
        ("optimizer: adam", "optimizer: {name: sgd, nesterov: true}", "nesterov needs a momentum"),
        (
            "classification: focal",
            "classification: {name: focal, label_smoothing: 2.0}",
            "label_smoothing must be below 1",
        ),
        ("head: regression", "head: regression, cuts: [1.0]", "1 cuts, but these classes need 2"),
        ("head: regression", "head: classification, cuts: optimized", "cuts are for head regression or linear"),
        ("regression: mse", "regression: focal", "'focal' is no loss of this head; known: mae, mse"),
        (", regression: mse", "", "no stage has a loss for head 'regression'"),
        ("regression: {}}", "}", "a loss for head 'regression', which the network lacks"),
        ("against: pretrained", "against: pretraine", "no arm 'pretraine' is run; did you mean 'pretrained'?"),
        ("base: {}", "base: {validation: test, posttrain: {head: linear}}", "there is no validation part to fit on"),
    ],
)
def test_what_does_not_fit_together_is_refused(load, graded, old, new, message):
    assert old in graded
    with pytest.raises(RescanError) as caught:
        load(graded.replace(old, new), "full")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "encoder: resnet18}, norm",
            "encoder: cnn5_3d}, norm",
            "arms: flat: preparation projection makes images, cnn5_3d",
        ),
        (
            "preparation: projection, network: {encoder: resnet18}",
            "network: {encoder: resnet18}",
            "makes volumes, resnet18",
        ),
        (
            "    channels: gray\n    steps:\n      - {name: resample",
            "    steps:\n      - {name: resample",
            "volumes are gray; add channels: gray",
        ),
        ("{name: project}, ", "", "2: resize: is for images; project the volume first|1: resize: is for images"),
        ("{name: project}", "{name: project}, {name: project}", "project: is for volumes"),
        ("{name: project}", "{name: patches}", "patches: cuts images, once; project the volume first"),
        (
            "{name: resize, size",
            "{name: patches}, {name: crop_center}, {name: resize, size",
            "must stand before patches",
        ),
        (
            "{encoder: cnn5_3d, weights: none}",
            "{encoder: cnn5_3d}",
            "cnn5_3d has no published weights; use weights: none",
        ),
        ("weights: compressed", "weights: compresed", "no weights 'compresed'; did you mean 'compressed'"),
        (
            "weights: compressed",
            "weights: compressed, norm: group",
            "norm is group, but that of autoencoder compressed is batch",
        ),
        (
            "encoder: resnet18}",
            "encoder: resnet18, weights: imagenet, norm: group}",
            "published weights need norm: batch",
        ),
        (
            "encoder: resnet18}",
            "encoder: resnet18, weights: none, norm: group, norm_momentum: 0.01}",
            "norm_momentum is of batch norm, but norm is group; leave norm_momentum out",
        ),
        (
            "encoder: resnet18}",
            "encoder: vgg16, norm_momentum: 0.01}",
            "vgg16 has no batch norm; leave norm_momentum out",
        ),
        ("{tilt: 3, flip_depth: 0.5}", "{shear: 3}", "augmentation: shear is not for volumes"),
        ("encoder: resnet18}, norm", "encoder: resnet18}, augmentation: {tilt: 3}, norm", "tilt is not for images"),
        ("HCM: abnormal", "HCM: abnormall", "labels: HCM: no class 'abnormall'; did you mean 'abnormal'"),
        ("NOR: normal, ", "", "none becomes class 'normal'"),
        ("{name: project}", "{name: project, slab: middle}", "slab must be one of all, superficial, deep"),
        ("millimeters: [0, 2, 2]", "millimeters: [0, -2, 2]", "millimeters must not be negative"),
        ("than: flat", "than: flatt", "no arm 'flatt'; did you mean 'flat'"),
        ("beside: flat", "beside: flat, layer: layer4", "cnn5_3d has no block 'layer4'; it has block1, block2, "),
        ("beside: flat", "beside: flat, layer: {cnn5_3d: block6}", "cnn5_3d has no block 'block6'; it has block1"),
        ("beside: flat", "beside: flat, layer: {vgg16: block9}", "gradcam.layer: vgg16 has no block 'block9'; it has "),
        ("beside: flat", "beside: flat, layer: -5", "resnet18 has no block -5; it has layer1, layer2, layer3, layer4"),
        ("beside: flat", "beside: flat, layer: 0", "gradcam.layer: needs the name of a block of the encoder, or -1"),
        ("beside: flat", "beside: flat, layer: [layer4]", "gradcam.layer: needs the name of a block of the encoder"),
        ("beside: flat", "beside: flat, layer: {cnn_3d: -1}", "gradcam.layer: no encoder 'cnn_3d'; did you mean 'cnn5"),
        ("beside: flat", "beside: flatt", "no arm 'flatt'; did you mean 'flat'"),
        ("from_block: 2", "from_block: 0", "from_block"),
        (
            "{network: {weights: compressed}, stages",
            "{training_samples: leak_free, network: {weights: compressed}, stages",
            "leak_free, but autoencoder compressed learns from all of them",
        ),
        (
            "{tilt: 3, flip_depth: 0.5}",
            "{tilt: 3}, inference: {copies: 2, augmentation: {crop_and_pad: 0.1}}",
            "augmentation: crop_and_pad is not for volumes",
        ),
        ("encoder: resnet18}, norm", "encoder: cnn5, weights: imagenet}, norm", "cnn5 has no published weights"),
        ("low: -100", "low: 300", "window: low, 300, is not below high, 300"),
        ("{name: clip_percentiles}", "{name: clip_percentiles, high: 101}", "high must be at most 100, but is 101.0"),
        ("beside: flat", "beside: scratch", "beside: arm scratch has no image for each sample"),
        (
            "preparation: volume, encoder",
            "preparation: volumes, encoder",
            "no preparation 'volumes'; did you mean 'volume'",
        ),
    ],
)
def test_volumes_that_do_not_fit_are_refused(load, volumes, old, new, message):
    assert old in volumes
    with pytest.raises(RescanError, match=message):
        load(volumes.replace(old, new, 1), "full")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("values: [8, 64]}", "values: []}", r"ablations.batch_size: needs arms, or vary and values"),
        (
            "vary: stages.main.batch_size",
            "vary: stages.main.batchsize",
            r"ablations.batch_size.*batchsize: unknown key",
        ),
        ("encoder: resnet34", "encoder: resnet35", r"ablations.deeper.arms.two.network.encoder: no encoder 'resnet35'"),
        (
            "vary: stages.main.batch_size, values: [8",
            "vary: stages.main.steps, values: [8",
            "arm batch_size_8 must be trained for as many steps as base",
        ),
        ("steps: 50", "epochs: 50", "must be trained for as many steps"),
        ("steps: 50", "steps: 50, epochs: 3", "needs epochs or steps, not both"),
        ("question: another encoder", "questions: another encoder", "ablations.deeper.question: missing"),
    ],
)
def test_ablations_that_compare_unequal_budgets_or_are_faulty_are_refused(load, ablations, old, new, message):
    text = ablations[: ablations.index("  dropout:")]
    assert old in text
    with pytest.raises(RescanError, match=message):
        load(text.replace(old, new, 1), "full")


def test_a_binary_head_is_for_two_classes(load, minimal):
    binary = minimal.replace("weights: none}", "weights: none, heads: {binary: {}}}")
    binary = binary.replace("lr: 1e-4}}}", "lr: 1e-4}, losses: {binary: binary_cross_entropy}}}")
    assert load(binary, "full").arms["base"].head == "binary"
    with pytest.raises(RescanError, match="a binary head tells two classes apart, not 3"):
        load(binary.replace("[no, yes]", "[no, yes, maybe]"), "full")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("heads: {multilabel: {}}", "heads: {classification: {}}", "head classification tells exclusive classes apart"),
        ("multilabel: true", "multilabel: false", "head multilabel is for several labels of a sample"),
        (
            "keep: last",
            "keep: {best: accuracy}",
            "keep: accuracy is not of several labels; use loss or macro_f1 or auroc",
        ),
        ("class_weights: balanced", "sampling: balanced", "sampling: balanced is not for several labels"),
        ("class_weights: balanced", "class_weights: {within: site}", "of several labels, use none or balanced"),
        ("keep: last", "posttrain: {cuts: optimized}", "cuts are for head regression or linear, not multilabel"),
        ("metric: auroc", "metric: accuracy", "claims: arms are not compared by accuracy here"),
        ("metric: auprc", "metric: kappa", "published: of several labels, use level: image, and macro_f1"),
        ("layout: table", "layout: mura", "layout mura has one label; use layout: table"),
    ],
)
def test_several_labels_are_refused_what_they_do_not_have(load, several, old, new, message):
    load(several, "full")
    assert old in several
    if "classification" in new:
        several = several.replace("losses: {multilabel: binary_cross_entropy}, ", "")
    with pytest.raises(RescanError) as caught:
        load(several.replace(old, new), "full")
    assert message in str(caught.value)


def test_one_label_has_no_thresholds_and_some_metrics_choose_no_epoch(load, minimal):
    load(minimal.replace("recipe:\n", "recipe:\n  keep: {best: auroc}\n  early_stopping: {metric: auprc}\n"), "full")
    for new, message in (
        ("posttrain: {thresholds: f1}", "thresholds are for several labels of a sample, not for head classification"),
        ("keep: {best: sensitivity}", "sensitivity is one half of a pair"),
        ("keep: {best: ece}", "ece says nothing of how well classes are told apart; use brier or loss"),
        ("early_stopping: {metric: npv}", "npv is one half of a pair"),
    ):
        with pytest.raises(RescanError) as caught:
            load(minimal.replace("recipe:\n", f"recipe:\n  {new}\n"), "full")
        assert message in str(caught.value)


def test_an_epoch_of_grades_without_probabilities_is_not_chosen_by_a_ranking(load, graded):
    load(graded.replace("recipe:\n", "recipe:\n  keep: {best: auroc}\n", 1), "full")
    ranked = graded.replace("recipe:\n", "recipe:\n  keep: {best: auroc}\n  posttrain: {head: linear}\n", 1)
    ranked = "\n".join(line for line in ranked.splitlines() if "alone:" not in line)
    with pytest.raises(RescanError, match="keep: auroc needs probabilities, which head regression does not give"):
        load(ranked, "full")
