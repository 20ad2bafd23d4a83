"""A graded study through the workflow: extra data, an arm that reads another's models, an ensemble, a submission."""

import pandas as pd
import pytest

pytest.importorskip("snakemake")

STUDY = """
title: Grades
data:
  source: {path: nowhere}
  layout: aptos
  classes: [none, some, more]
  ordered: true
  endpoints: {any: some}
  extra: {others: {source: {path: elsewhere}, layout: eyepacs}}
split: {test: 0.25, validation: 0.25}
preparations:
  small: {steps: [{name: crop_circle}, {name: resize, size: [32, 32], keep_aspect: true}]}
recipe:
  preparation: small
  network: {encoder: resnet18, weights: none, heads: {classification: {}, regression: {}}}
  stages:
    main: {epochs: 1, batch_size: 16, optimizer: adam, losses: {classification: focal, regression: mse}}
  posttrain: {head: linear}
arms:
  base: {}
  more: {stages: {first: {epochs: 1, samples: [others], optimizer: adam}, main: {carry: encoder}}}
  turned: {models: base, inference: {copies: 1, augmentation: {rotation: 90}}}
  both: {ensemble: {members: [turned, more]}}
gradcam: {images_a_class: 1}
demo:
  data:
    phantom: {name: fundus, samples: 90, unlabeled: 5, size: 96}
    extra: {others: {phantom: {name: fundus, layout: eyepacs, samples: 60, size: 96, seed: 1}}}
"""


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    return small.finish(tmp_path_factory.mktemp("graded"), STUDY)


def planned_with(small, folder, old, new):
    """The rules that a dry run would run after a change of the study file, which is then undone."""
    assert old in STUDY
    try:
        (folder / "small.yaml").write_text(STUDY.replace(old, new))
        return small.planned(folder)
    finally:
        (folder / "small.yaml").write_text(STUDY)


def test_all_arms_end_on_the_page_and_unlabeled_images_are_graded(small, finished):
    results = finished / "results/demo/small"
    page = (finished / "results/demo/small/index.html").read_text()
    assert all(f"Arm: {arm}" in page for arm in ("base", "more", "turned", "both"))
    for arm in ("base", "more", "turned", "both"):
        submission = pd.read_csv(results / arm / "submission.csv")
        assert len(submission) == 5
        assert submission["diagnosis"].between(0, 2).all()
    assert not (results / "turned/fold0_seed0/model.safetensors").exists()
    assert small.planned(finished) == []


def test_another_reading_trains_nothing(small, finished):
    rules = planned_with(small, finished, "posttrain: {head: linear}", "posttrain: {head: linear, cuts: optimized}")
    assert set(rules) == {"posttrain", "evaluate", "gradcam", "compare", "report"}


def test_another_inference_is_inferred_again_and_what_reads_it(small, finished):
    rules = planned_with(small, finished, "rotation: 90", "rotation: 45")
    assert sorted(rules) == sorted(
        ["infer", "ensemble", "posttrain", "posttrain", "evaluate", "evaluate", "compare", "report"]
    )


def test_another_combination_trains_and_infers_nothing(small, finished):
    rules = planned_with(small, finished, "members: [turned, more]", "members: [turned, more], combine: trimmed_mean")
    assert sorted(rules) == ["compare", "ensemble", "evaluate", "posttrain", "report"]


def test_an_arm_that_is_compared_with_another_is_only_compared_again(small, finished):
    rules = planned_with(small, finished, "  more: {stages", "  more: {against: turned, stages")
    assert sorted(rules) == ["compare", "report"]


def test_external_data_train_nothing_and_are_read_by_every_arm(small, finished):
    phantom = "{name: fundus, layout: eyepacs, samples: 30, size: 96, seed: 2}"
    external = f"external: {{h2: {{source: {{path: away}}, layout: eyepacs, phantom: {phantom}}}}}"
    rules = planned_with(small, finished, "split: {test", f"  {external}\nsplit: {{test")
    new = ["download", "index", "audit", "split", "preprocess", "infer", "infer", "infer", "ensemble"]
    assert sorted(rules) == sorted([*new, *["evaluate"] * 4, "compare", "report"])
