"""The work of jobs, against calculations by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from rescan.study import Run, Settings
from rescan.study.file import load
from rescan.workload.data_size import DataSize, data_size
from rescan.workload.jobs import Jobs
from rescan.workload.shapes import items_of
from rescan.workload.training_work import network_of

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def study(name="brain_tumor", scale="demo", **settings):
    return load(ROOT / f"studies/{name}.yaml", Settings(scale, **settings))


def test_the_work_of_a_training_by_hand():
    """240 images outside of the test part, a fifth of them for validation; 16 epochs of batches of 16."""
    own = study()
    work, cost = Jobs(own).train("cnn5"), network_of(Run(own, "cnn5", 0, 0))
    train, validation, epochs = 192, 48, 16
    assert work.images == train * epochs
    assert work.multiply_adds == pytest.approx((3 * train + validation) * epochs * cost.multiply_adds)
    steps = epochs * 12
    assert work.launches == pytest.approx(cost.layers * (steps * 3.5 + epochs * validation / 64))
    assert work.disk_mb == pytest.approx(2 * cost.parameters * 4 / 1e6)
    convolutions = 9 * (64**2 * 3 * 8 + 32**2 * 8 * 16 + 16**2 * 16 * 32 + 8**2 * 32 * 64 + 4**2 * 64 * 128)
    assert cost.multiply_adds == pytest.approx(convolutions, rel=0.01)


def test_a_stage_of_the_head_is_a_forward_pass_and_steps_count_as_they_are():
    own = study("mura", "full")
    work = Jobs(own).train("baseline")
    assert work.images == pytest.approx(10_000 * 64, rel=0.01)
    arm = own.arms["baseline"].model_copy(deep=True)
    arm.stages["main"] = arm.stages["main"].model_copy(update={"trainable": "head"})
    head = Jobs(own.model_copy(update={"arms": {**own.arms, "baseline": arm}})).train("baseline")
    assert head.images == work.images
    assert head.multiply_adds < 0.6 * work.multiply_adds


def test_a_run_that_is_validated_on_the_test_part_trains_on_more():
    jobs = Jobs(study("aptos2019", "full"))
    assert jobs.train("validation_is_test").images == pytest.approx(jobs.train("multitask").images / (1 - 1 / 5))


def test_more_data_are_more_work_and_more_processes_more_memory():
    own = study(scale="full")
    small = Jobs(own)
    large = Jobs(own, {"": replace(small.sizes[""], train=10 * small.sizes[""].train)})
    assert large.audit().megapixels > 5 * small.audit().megapixels
    assert large.train("vgg19").images == pytest.approx(10 * small.train("vgg19").images)
    assert large.preprocess("brain256").disk_mb == pytest.approx(large.samples * 256 * 256 * 3 / 1e6)


def test_a_study_has_the_jobs_that_snakemake_plans():
    jobs = [job.rule for job in Jobs(study("octa500")).all_jobs()]
    counts = {rule: jobs.count(rule) for rule in dict.fromkeys(jobs)}
    assert counts == {
        **dict.fromkeys(("download", "index", "audit", "split", "explore", "compare", "report"), 1),
        "preprocess": 3,
        "pretrain": 1,
        "train": 4,
        "infer": 4,
        **dict.fromkeys(("posttrain", "evaluate", "gradcam"), 4),
    }


@pytest.mark.parametrize(
    ("name", "preparation", "number", "shape"),
    [
        ("octa500", "patches", 4, (100, 100)),
        ("octa500", "volume", 1, (256, 192, 192)),
        ("octa500", "projection", 1, (192, 192)),
        ("mura", "patches", 4, (227, 227)),
        ("aptos2019", "fundus320", 1, (320, 320)),
    ],
)
def test_the_items_that_a_preparation_makes(name, preparation, number, shape):
    items = items_of(study(name, "full").preparations[preparation])
    assert (items.number, items.shape) == (number, shape)


def test_data_are_counted_where_they_are_and_else_said_to_be_expected_or_guessed(tmp_path):
    assert data_size(study()) == DataSize(240, 80, 0, 0.0256, pytest.approx(3.3, rel=0.1), "phantom")
    full = study(scale="full")
    assert (data_size(full).train, data_size(full).test, data_size(full).known) == (5712, 1311, "expected")
    local = study("mura", "full", source=str(tmp_path / "copy"))
    assert (data_size(local).samples, data_size(local).known) == (40005, "published")
    assert data_size(load(ROOT / "docs/examples/acdc.yaml", Settings("full"))).known == "guessed"
    (tmp_path / "copy").mkdir()
    assert data_size(local).known == "guessed"  # not one sample: the names need not end as those of images
    for number in range(8):
        (tmp_path / f"copy/{number}.png").touch()
    assert (data_size(local).train, data_size(local).test, data_size(local).known) == (6, 2, "files")
    source = tmp_path / "data/full/brain_tumor/source.json"
    source.parent.mkdir(parents=True)
    counts = '{"train": {"glioma": 10, "notumor": 5}, "test": {"glioma": 4}}'
    source.write_text(
        f'{{"kind": "path", "from": "x", "root": "x", "classes": {counts}, "files": 19, "bytes": 5000000,'
        ' "checksum": "x", "differs": [], "unlabeled": 3, "extra": {}}'
    )
    assert data_size(full) == DataSize(15, 4, 3, 0.3, 5.0, "counted")
    source.write_text("{")
    assert data_size(full).known == "expected"
