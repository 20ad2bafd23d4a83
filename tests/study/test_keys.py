"""Fingerprints change with what they are of, and with nothing else."""

from rescan.study import AutoencoderRun
from rescan.study.keys import autoencoder_key, recipe_key, result_key, study_key


def test_keys_stay_the_same(load, minimal, graded, volumes):
    """Another key trains and scores every arm anew: change these values only where that is meant."""
    study = load(minimal, "full")
    assert recipe_key(study, "base") == "37859489e49453ae"
    assert result_key(study, "base") == "22ef6fa1d725c524"
    assert study_key(study, "split", "preparations") == "67019f4e80f89cd0"
    assert result_key(load(graded, "full"), "both") == "a23743a4a0721282"
    assert recipe_key(load(volumes, "full"), "pretrained") == "41ba4fbc5938d45a"


def test_fingerprints_follow_what_training_depends_on(load, minimal):
    study = load(minimal, "full")
    title = load(minimal.replace("A study", "Another title"), "full")
    more = load(minimal + "  third: {normalization: unit}\n", "full")
    longer = load(minimal.replace("epochs: 5", "epochs: 6"), "full")
    larger = load(minimal.replace("[64, 64]", "[32, 32]"), "full")
    key = recipe_key(study, "base")
    assert recipe_key(title, "base") == recipe_key(more, "base") == key
    assert recipe_key(longer, "base") != key
    assert recipe_key(larger, "base") != key
    assert recipe_key(study, "other") != key
    slower = load(minimal.replace("base: {}", "base: {network: {norm_momentum: 0.01}}"), "full")
    unset = load(minimal.replace("base: {}", "base: {network: {norm_momentum: null}}"), "full")
    assert recipe_key(slower, "base") != key == recipe_key(unset, "base")
    assert study_key(study, "data.layout", "split.test") == study_key(title, "data.layout", "split.test")


def test_a_difference_keeps_the_order_of_stages_which_is_part_of_the_fingerprint(load, minimal):
    stages = "{first: {epochs: 1, optimizer: adam}, second: {epochs: 2, optimizer: adam}}"
    text = minimal.replace("{main: {epochs: 5, optimizer: {name: adam, lr: 1e-4}}}", stages)
    stages_of_base = "base: {stages: {first: {epochs: 9}, third: {epochs: 1, optimizer: adam}}}"
    study = load(text.replace("base: {}", stages_of_base), "full")
    assert list(study.arms["base"].stages) == ["first", "second", "third"]
    turned = "{second: {epochs: 2, optimizer: adam}, first: {epochs: 1, optimizer: adam}}"
    keys = [recipe_key(load(text.replace(stages, order), "full"), "base") for order in (stages, turned)]
    assert keys[0] != keys[1]


def test_the_head_that_chooses_an_epoch_is_part_of_the_fingerprint(load, graded):
    def key(keep, head):
        changed = f"base: {{keep: {keep}, posttrain: {{head: {head}}}}}"
        return recipe_key(load(graded.replace("base: {}", changed), "full"), "base")

    assert key("last", "classification") == key("last", "regression")
    assert key("{best: loss}", "classification") == key("{best: loss}", "regression")
    assert key("{best: accuracy}", "classification") != key("{best: accuracy}", "regression")


def test_what_reads_a_model_in_another_way_does_not_retrain_it(load, graded):
    study = load(graded, "full")
    other = load(graded.replace("  base: {}", "  base: {posttrain: {head: regression}, folds: 1}"), "full")
    assert recipe_key(other, "base") == recipe_key(study, "base")
    assert result_key(other, "base") != result_key(study, "base")
    assert result_key(other, "both") != result_key(study, "both")


def test_an_autoencoder_is_part_of_what_its_arms_depend_on(load, volumes):
    study = load(volumes, "full")
    other = load(volumes.replace("epochs: 3", "epochs: 4"), "full")
    changed = {arm for arm in study.arms if recipe_key(study, arm) != recipe_key(other, arm)}
    assert changed == {"pretrained"}
    assert autoencoder_key(study, "compressed") != autoencoder_key(other, "compressed")
    leaky = load(volumes.replace("epochs: 3", "epochs: 3, samples: all"), "full")
    assert autoencoder_key(leaky, "compressed") != autoencoder_key(study, "compressed")
    assert AutoencoderRun(leaky, "compressed", 0, 0).sees_test
    window = "- {name: window, low: -100, high: 300}"
    two = volumes.replace(
        "  projection:", f"  other: {{reads: volume, channels: gray, steps: [{window[2:]}]}}\n  projection:"
    )
    two = two.replace("compressed: {preparation: volume", "compressed: {preparation: other")
    one, changed = (
        load(text, "full") for text in (two, two.replace("[{name: window, low: -100", "[{name: window, low: 0"))
    )
    assert recipe_key(one, "pretrained") != recipe_key(changed, "pretrained")
    assert recipe_key(one, "scratch") == recipe_key(changed, "scratch")
    assert not AutoencoderRun(study, "compressed", 0, 0).sees_test
