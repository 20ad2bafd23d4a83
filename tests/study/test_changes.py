"""Keys that a run sets in a study file: `set={recipe.network.encoder: resnet18}`."""

import logging

import pytest

from rescan.errors import RescanError
from rescan.study.changes import parsed_changes
from rescan.study.yaml_text import typed

PUBLISHED = "published: [{arm: base, metric: accuracy, value: 0.9, who: them}]\n"


def test_a_key_is_set_for_every_arm_that_inherits_it(load, minimal):
    changes = {"recipe.network.encoder": "resnet34", "arms.other.stages.main.epochs": 2}
    study = load(minimal, "full", changes=changes)
    assert [recipe.network.encoder for recipe in study.arms.values()] == ["resnet34", "vgg19"]
    assert [recipe.stages["main"].epochs for recipe in study.arms.values()] == [5, 2]
    assert study.changes == changes
    assert "changes" not in load(minimal, "full").model_dump()


def test_null_removes_a_mapping_is_merged_and_a_list_is_replaced(load, minimal):
    text = minimal.replace("recipe:\n", "recipe:\n  augmentation: {rotation: 5, shift: 0.1}\n")
    arm = load(text, "full", changes={"recipe.augmentation.rotation": None}).arms["base"]
    assert arm.augmentation == {"shift": 0.1}
    study = load(text, "full", changes={"arms.other.augmentation": None, "recipe.augmentation": {"rotation": 9}})
    assert [recipe.augmentation for recipe in study.arms.values()] == [{"rotation": 9, "shift": 0.1}, {}]
    steps = [{"name": "resize", "size": [32, 32]}]
    study = load(text, "full", changes={"preparations.small.steps": steps})
    assert study.preparations["small"].steps[0]["size"] == [32, 32]


def test_a_new_arm_a_block_and_a_task_can_be_set(load, minimal, volumes):
    text = minimal + "demo: {recipe: {stages: {main: {epochs: 1}}}}\n"
    study = load(text, "demo", changes={"arms.new": {"normalization": "unit"}, "recipe.stages.main.batch_size": 4})
    assert study.arms["new"].normalization == "unit"
    assert (study.arms["new"].stages["main"].epochs, study.arms["new"].stages["main"].batch_size) == (1, 4)
    study = load(volumes, "full", task="five", changes={"split.test": 0.25})
    assert (study.split.test, len(study.data.classes)) == (0.25, 3)


def test_arms_of_ablations_are_set_by_either_name(load, ablations):
    study = load(ablations, "full", changes={"arms.deeper_two.network.dropout": 0.25})
    assert [study.arms[arm].network.dropout for arm in ("base", "deeper_two")] == [0.0, 0.25]
    study = load(ablations, "full", changes={"ablations.deeper.arms.two.network.hidden": [3]})
    assert study.arms["deeper_two"].network.hidden == [3]
    study = load(ablations, "full", changes={"arms.dropout_0.5.network.hidden": [4]})
    assert study.arms["dropout_0.5"].network.hidden == [4]


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("encoder", "resnet34", "set.encoder: no key 'encoder'; did you mean 'recipe.network.encoder'?"),
        ("recipe.network.encodr", "vgg16", "no key 'encodr' in recipe.network; did you mean 'recipe.network.encoder'?"),
        ("recipe.network.encoder", "resnet81", "set.recipe.network.encoder: no encoder 'resnet81'; did you mean"),
        ("recipe.network.encoder", 7, "set.recipe.network.encoder: needs text, not 7"),
        ("recipe.stages.main.epochs", "many", "set.recipe.stages.main.epochs: "),
        ("recipe.stages.mian.epochs", 2, "no 'mian' in recipe.stages; did you mean 'main'?"),
        ("recipe.stages.main", {"epohcs": 2}, "no key 'epohcs' in recipe.stages.main; did you mean"),
        ("arms.nope.stages.main.epochs", 2, "no 'nope' in arms; known: base, other"),
        ("arms.othre", None, "no 'othre' in arms; did you mean 'other'?"),
        ("preparations.small.steps.0.size", [9, 9], "preparations.small.steps is a list, which is set whole"),
        ("recipe.network.encoder.name", "x", "recipe.network.encoder is 'resnet18', with no keys; set it whole"),
        ("recipe.stages.main.schedule.warmup", 0.1, "schedule is 'cosine', with no keys; set it whole, as in {name:"),
        ("recipe.augmentation.rotation", None, "null removes a key, but recipe.augmentation.rotation is not there"),
        ("recipe.network", {}, "an empty mapping changes nothing; null removes what is there"),
        ("demo.recipe.network.encoder", "x", "what demo says is merged already; leave out 'demo'"),
        ("tasks.five", {"title": "x"}, "a task is merged already"),
        ("data.source.path", "/x", "data are given by sources={STUDY: PATH}"),
        ("data", {"source": {"path": "/x"}}, "data are given by sources={STUDY: PATH}"),
        ("data.phantom", "fundus", "phantoms are drawn at scale=demo, without a source"),
        ("", 1, "set.: no key ''"),
        ("recipe..network", 1, "set.recipe..network: no key '' in recipe"),
    ],
)
def test_what_cannot_be_set_is_one_line(load, minimal, path, key, value, fault):
    text = minimal.replace("{name: adam, lr: 1e-4}", "{name: adam, lr: 1e-4}, schedule: cosine")
    with pytest.raises(RescanError) as caught:
        load(text, "full", changes={key: value})
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}: set.")
    assert fault in line


@pytest.mark.parametrize(
    ("changes", "settings", "name"),
    [
        ({"split.seeds": [1]}, {"seeds": [2]}, "seeds"),
        ({"split": {"folds": 3}}, {"folds": 2}, "folds"),
        ({"run": ["base"]}, {"arms": ["other"]}, "arms"),
        ({"arms.other.network.weights": "none"}, {"weights": "imagenet"}, "weights"),
    ],
)
def test_a_setting_of_its_own_says_it_alone(load, minimal, changes, settings, name):
    assert load(minimal, "full", changes=changes).changes == changes
    with pytest.raises(RescanError, match=f"{name}= is given, too; leave one of them out"):
        load(minimal, "full", changes=changes, **settings)


def test_fingerprints_change_only_with_what_is_set(load, minimal):
    from rescan.study.keys import preparation_key, recipe_key

    plain = load(minimal, "full")
    for key, value, changed in (
        ("title", "Another", []),
        ("arms.other.stages.main.epochs", 2, ["other"]),
        ("recipe.stages.main.epochs", 2, ["base", "other"]),
        ("recipe.stages.main.epochs", 5, []),  # as it is
    ):
        study = load(minimal, "full", changes={key: value})
        assert [arm for arm in study.arms if recipe_key(study, arm) != recipe_key(plain, arm)] == changed
        assert preparation_key(study, "small") == preparation_key(plain, "small")


@pytest.mark.parametrize(
    ("key", "value", "is_compared"),
    [
        ("recipe.stages.main.epochs", 2, False),
        ("preparations.small.steps", [{"name": "resize", "size": [32, 32]}], False),
        ("split.validation", 0.3, False),
        ("arms.other.stages.main.epochs", 2, True),  # of another arm
        ("split.seeds", [4, 5], True),
        ("title", "Another", True),
    ],
)
def test_a_published_number_is_of_the_recipe_of_the_file(load, minimal, key, value, is_compared):
    (entry,) = load(minimal + PUBLISHED, "full", changes={key: value}).published
    assert (entry.not_comparable is None) == is_compared


def test_a_published_number_of_an_ablation_is_compared_where_nothing_was_set_behind_it(load, ablations):
    text = ablations + PUBLISHED.replace("base", "deeper_two")
    for changes, is_compared in (({}, True), ({"title": "x"}, True), ({"arms.other.network.dropout": 0.1}, False)):
        (entry,) = load(text, "full", changes=changes, folds=2).published
        assert (entry.not_comparable is None) == is_compared


def test_what_changes_no_arm_that_is_run_is_said(load, minimal, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    load(minimal, "full", changes={"arms.other.stages.main.epochs": 2}, arms=["base"])
    assert "what is set of recipe and arms changes no arm that is run" in caplog.text
    caplog.clear()
    load(minimal, "full", changes={"arms.other.stages.main.epochs": 2})
    assert not caplog.text


def test_values_of_the_command_line_are_yaml_1_2():
    texts = {"lr": "1e-4", "n": "3", "off": "null", "yes": "true", "no": "no", "as": "'1'", "list": ["1", "a: b"]}
    whole = {"lr": 1e-4, "n": 3, "off": None, "yes": True, "no": "no", "as": "1", "list": [1, "a: b"]}
    assert typed(texts) == whole
    words = ["recipe.stages.main.optimizer.lr=1e-4", "recipe.network={encoder: resnet18}", "title=a = b"]
    assert parsed_changes(words) == {
        "recipe.stages.main.optimizer.lr": 1e-4,
        "recipe.network": {"encoder": "resnet18"},
        "title": "a = b",
    }
    for word, fault in {"title": "give key.path=value", "title={": "--set title: '{': "}.items():
        with pytest.raises(RescanError, match=fault):
            parsed_changes([word])
