"""Faults of a study file: all at once, each where the user wrote it."""

import pytest

from rescan.errors import RescanError
from rescan.study.file import check


def test_all_faults_are_reported_at_once_with_key_path_and_nearest_name(load, minimal, path):
    text = (
        minimal.replace("layout: class_folders", "layout: class_foldrs")
        .replace("epochs: 5", "epochs: 0, batchsize: 3")
        .replace("encoder: vgg19", "encoder: vg19")
        .replace("preparation: small", "preparation: smal")
        + "published: [{arm: bas, metric: accuracy, value: 1, who: me}]\n"
    )
    with pytest.raises(RescanError) as caught:
        load(text, "full")
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    faults = [line[len(f"{path}: ") :] for line in lines]
    assert "data.layout: no layout 'class_foldrs'; did you mean 'class_folders'?" in faults
    assert "recipe.stages.main.epochs: input should be greater than 0, not 0" in faults
    assert "recipe.stages.main.batchsize: unknown key; did you mean 'batch_size'?" in faults
    assert "arms.other.network.encoder: no encoder 'vg19'; did you mean 'vgg19'?" in faults
    assert "recipe.preparation: no preparation 'smal'; did you mean 'small'?" in faults
    assert "published: no arm 'bas'; did you mean 'base'?" in faults
    assert len(faults) == len(set(faults)) == 6


def test_a_fault_in_the_demo_block_is_named_there(write, minimal):
    with pytest.raises(RescanError, match=r"demo\.recipe\.stages\.main\.epochs: input should be greater than 0"):
        check([write(minimal + "demo: {recipe: {stages: {main: {epochs: -1}}}}\n")])


@pytest.mark.parametrize("arms", ["", "arms: 3\n", "arms: [base]\n"])
def test_ablations_beside_faulty_arms_are_no_traceback(load, ablations, arms):
    start, end = ablations.index("arms:"), ablations.index("ablations:")
    with pytest.raises(RescanError, match=r"mine\.yaml: arms: (missing|input should be a mapping)"):
        load(ablations[:start] + arms + ablations[end:], "full")


def test_a_run_that_names_no_text_is_no_traceback(load, ablations):
    with pytest.raises(RescanError, match=r"run\.0: input should be a valid string, not {'name': \['x'"):
        load(ablations + "run: [{name: [" + "x, " * 99 + "]}]\n", "full")


@pytest.mark.parametrize(
    ("keep", "faults"),
    [
        ("{best: auc}", ["keep.best: input should be 'accuracy', "]),
        ("{best: [auroc]}", ["keep.best: input should be 'accuracy', "]),
        ("{best: ece}", ["keep.best: ece says nothing of how well classes are told apart"]),
        ("{}", ["keep.best: missing; add this key"]),
        ("auroc", ["keep: input should be 'last', not 'auroc', or input should be a mapping, not 'auroc'"]),
        ("{beste: loss}", ["keep.best: missing; add this key", "keep.beste: unknown key; did you mean 'best'?"]),
    ],
)
def test_a_mapping_in_place_of_a_word_is_told_what_the_mapping_lacks(load, minimal, keep, faults):
    with pytest.raises(RescanError) as caught:
        load(minimal.replace("recipe:\n", f"recipe:\n  keep: {keep}\n"), "full")
    lines = str(caught.value).splitlines()
    assert len(lines) == len(faults)
    for line, fault in zip(lines, faults):
        assert f"recipe.{fault}" in line
        assert "Best" not in line
        assert "'sensitivity'" not in line


def test_a_mapping_where_only_words_fit_is_a_fault(load, minimal):
    words = "'classification', 'binary', 'regression', 'ordinal' or 'multilabel', not {'name': 'x'}, or .*'linear'"
    with pytest.raises(RescanError, match=rf"mine\.yaml: arms\.base\.posttrain\.head: input should be {words}"):
        load(minimal.replace("base: {}", "base: {posttrain: {head: {name: x}}}"), "full")
