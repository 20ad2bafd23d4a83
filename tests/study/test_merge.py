"""Differences: of arms, the demo, tasks, ablations and settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescan.errors import RescanError
from rescan.study.merge import merge

nested = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


def test_merging_follows_the_rules():
    base = {"optimizer": {"name": "sgd", "lr": 1, "momentum": 0.9}, "list": [1, 2], "keep": 1, "gone": 2}
    assert merge(base, {"optimizer": {"name": "adam", "lr": 2}})["optimizer"] == {"name": "adam", "lr": 2}
    assert merge(base, {"optimizer": {"lr": 2}})["optimizer"] == {"name": "sgd", "lr": 2, "momentum": 0.9}
    assert merge(base, {"list": [3]})["list"] == [3]
    assert "gone" not in merge(base, {"gone": None})
    assert merge(base, {})["keep"] == 1


@given(nested, nested)
def test_merging_is_idempotent_and_an_empty_difference_changes_nothing(base, difference):
    once = merge(base, difference)
    assert merge(once, difference) == once
    if isinstance(base, dict):
        assert merge(base, {}) == base


def test_null_of_an_arm_of_a_block_or_an_ablation_removes_what_the_arm_inherits(load, minimal, ablations):
    text = minimal.replace("recipe:\n", "recipe:\n  augmentation: {rotation: 5, shift: 0.1}\n")
    block = "small: {arms: {new: {augmentation: {shift: null}}, other: {augmentation: null}, base: null}}\n"
    study = load(text + block, "small")
    assert {name: recipe.augmentation for name, recipe in study.arms.items()} == {"other": {}, "new": {"rotation": 5}}
    study = load(
        ablations.replace("arms: {two: {network: {encoder: resnet34}}}", "arms: {two: {network: {hidden: null}}}"),
        "full",
    )
    assert study.arms["deeper_two"].network.hidden == []
    assert study.arms["other"].network.hidden == [9]


def test_an_arm_is_a_difference_from_the_recipe(load, minimal):
    study = load(minimal, "full")
    assert study.name == "mine"
    assert study.arms["other"].network.encoder == "vgg19"
    assert study.arms["other"].stages == study.arms["base"].stages
    assert study.arms["base"].stages["main"].optimizer == {"name": "adam", "lr": 1e-4, "weight_decay": 0.0}


def test_demo_is_a_block_of_differences_and_full_ignores_it(load, minimal):
    text = minimal + "demo: {recipe: {stages: {main: {epochs: 1}}}, data: {phantom: {name: brain_mri, samples: 40}}}\n"
    assert load(text, "demo").arms["base"].stages["main"].epochs == 1
    assert load(text, "full").arms["base"].stages["main"].epochs == 5
    assert load(text, "full").data.phantom is None
    assert load(text, "demo").data.phantom["samples"] == 40


def test_a_local_source_wins_over_the_phantom(load, minimal):
    text = minimal + "demo: {data: {phantom: brain_mri}}\n"
    study = load(text, "demo", source="/here")
    assert study.data.source.path == "/here"
    assert study.data.phantom is None


def test_a_task_is_a_difference_from_the_whole_file(load, volumes):
    study = load(volumes, "demo", task="five")
    assert study.name == "mine-five"
    assert study.data.labels == {"NOR": "NOR", "DCM": "DCM", "HCM": "HCM"}
    assert study.split.seeds == [5]
    assert load(volumes, "full", task="five").split.seeds == [0]
    assert load(volumes, "demo").split.seeds == [3, 4]
    published = "published: [{arm: scratch, metric: accuracy, value: 0.9, who: me}]\n"
    assert len(load(volumes + published, "full").published) == 1
    assert load(volumes + published, "full", task="five").published == []  # of other classes
    with pytest.raises(RescanError, match="no task 'fiv'; did you mean 'five'"):
        load(volumes, "demo", task="fiv")


def test_other_weights_make_published_numbers_not_comparable(load, minimal):
    text = minimal + "published: [{arm: base, metric: accuracy, value: 0.9, who: me}]\n"
    assert load(text, "full").published[0].not_comparable is None
    assert load(text, "full", weights="none").published[0].not_comparable is None
    assert load(text, "full", weights="imagenet").published[0].not_comparable == (
        "run with weights=imagenet, the study says none"
    )


def test_weights_given_for_all_leave_autoencoders_and_3d_networks_alone(load, volumes):
    study = load(volumes, "full", weights="imagenet")
    assert {arm: recipe.network.weights for arm, recipe in study.arms.items()} == {
        "scratch": "none",
        "pretrained": "compressed",
        "flat": "imagenet",
    }
    fixed = volumes + "published: [{arm: flat, metric: accuracy, value: 0.9, who: me}]\n"
    for network in ("{encoder: cnn5}", "{encoder: resnet18, norm: group, weights: none}"):
        study = load(fixed.replace("{encoder: resnet18}", network), "full", weights="imagenet")
        assert study.arms["flat"].network.weights == "none"
        assert study.published[0].not_comparable is None


def test_an_ablation_s_arms_are_differences_from_its_base(load, ablations):
    study = load(ablations, "full")
    assert list(study.arms) == ["base", "other", "deeper_two", "batch_size_8", "batch_size_64", "dropout_0.5"]
    assert study.arms["deeper_two"].network.encoder == "resnet34"
    assert study.arms["deeper_two"].against == "other"
    assert study.arms["batch_size_64"].stages["main"].batch_size == 64
    assert study.arms["batch_size_64"].stages["main"].optimizer == study.arms["base"].stages["main"].optimizer
    network = study.arms["dropout_0.5"].network
    assert (network.dropout, network.neck["dropout"]) == (0.5, 0.5)
    assert study.ablations["batch_size"].arms == {"batch_size_8": "8", "batch_size_64": "64"}
    assert (study.ablations["deeper"].base, study.ablations["batch_size"].base) == ("other", "base")


def test_run_may_name_ablations_and_those_without_their_base_are_not_asked(load, ablations):
    study = load(ablations + "run: [base, batch_size]\n", "full")
    assert list(study.arms) == ["base", "batch_size_8", "batch_size_64"]
    assert list(study.ablations) == ["batch_size"]
    assert list(load(ablations, "full", arms=["base", "batch_size_8"]).ablations["batch_size"].arms) == ["batch_size_8"]
    assert load(ablations, "full", arms=["base", "other"]).ablations == {}
    with pytest.raises(RescanError, match="deeper_two: against: no arm 'other' is run"):
        load(ablations, "full", arms=["deeper_two"])


def test_weights_given_for_all_replace_a_file_too(load, minimal):
    own = minimal.replace("weights: none", "weights: pre/w.pth")
    encoders = {("none", "resnet18"): "none", ("imagenet", "resnet18"): "imagenet", ("none", "cnn5"): "none"}
    for (weights, encoder), expected in encoders.items():
        study = load(own.replace("encoder: resnet18", f"encoder: {encoder}"), "full", weights=weights)
        assert study.arms["base"].network.weights == expected
    kept = load(own.replace("encoder: resnet18", "encoder: cnn5"), "full", weights="imagenet").arms["base"].network
    assert kept.start == "file"  # there are no others


def test_small_needs_a_block_that_says_what_it_is(load, minimal):
    with pytest.raises(RescanError, match=r"mine\.yaml: small: missing; add this block"):
        load(minimal, "small")
    assert load(minimal + "small: {}\n", "small").scale == "small"
