"""What the Snakefile checks before the first job."""

from pathlib import Path

import pytest

from rescan.errors import RescanError
from rescan.study import read
from rescan.workflow.config import Config, read_config_file
from rescan.workflow.environment import environment
from rescan.workflow.plan import Plan

ROOT = Path(__file__).parent.parent.parent


def plan_of(tmp_path, **config):
    return Plan({"scale": "demo", "studies": ["brain_tumor"], **config}, ROOT, tmp_path)


def test_relative_paths_start_where_the_command_was_run(tmp_path):
    (tmp_path / "slices").mkdir()
    (tmp_path / "mine.yaml").write_text((ROOT / "studies/brain_tumor.yaml").read_text())
    plan = plan_of(tmp_path, studies=["mine.yaml"], sources={"mine": "slices"})
    assert plan.studies["mine"].data.source.path == str(tmp_path / "slices")


def test_overrides_reach_the_study(tmp_path):
    plan = plan_of(tmp_path, scale="full", weights="none", seeds=[3, 4])
    study = plan.studies["brain_tumor"]
    assert study.split.seeds == [3, 4]
    assert {recipe.network.weights for recipe in study.arms.values()} == {"none"}


def test_the_studies_that_the_steps_read_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_of(tmp_path, seeds=[7])
    plan.write_studies()
    assert read(tmp_path / "results/demo/brain_tumor/study.json") == plan.studies["brain_tumor"]


def test_every_fault_of_a_configuration_is_reported(tmp_path):
    with pytest.raises(RescanError) as caught:
        plan_of(tmp_path, studies=["brain_tumor", "nope"], sources={"other": "missing"})
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["studies", "sources", "sources.other"]


def test_a_task_is_a_study_of_its_own_on_the_same_source(tmp_path):
    (tmp_path / "scans").mkdir()
    plan = plan_of(tmp_path, studies=["octa500", "octa500:multiclass"], sources={"octa500": "scans"})
    assert list(plan.studies) == ["octa500", "octa500-multiclass"]
    assert len(plan.studies["octa500-multiclass"].data.classes) == 5
    assert {study.data.source.path for study in plan.studies.values()} == {str(tmp_path / "scans")}
    with pytest.raises(RescanError, match=r"no task 'multi' in .*; did you mean 'multiclass'"):
        plan_of(tmp_path, studies=["octa500:multi"])


def test_two_studies_of_one_name_are_refused(tmp_path):
    (tmp_path / "brain_tumor.yaml").write_text((ROOT / "studies/brain_tumor.yaml").read_text())
    with pytest.raises(RescanError, match="two studies are called 'brain_tumor'"):
        plan_of(tmp_path, studies=["brain_tumor", "brain_tumor.yaml"])


def test_the_environment_adds_to_what_is_set(tmp_path, monkeypatch):
    (tmp_path / "slices").mkdir()
    monkeypatch.setenv("APPTAINER_BIND", "/already")
    monkeypatch.setenv("SINGULARITY_BIND", ",/old:/place:ro,/already")
    monkeypatch.setenv("PYTHONPATH", "/other")
    variables = environment(plan_of(tmp_path, sources={"brain_tumor": "slices"}))
    assert variables["APPTAINER_BIND"].split(",")[:3] == ["/already", "/old:/place:ro", str(ROOT)]
    assert str(tmp_path / "slices") in variables["APPTAINER_BIND"].split(",")
    assert variables["SINGULARITY_BIND"] == variables["APPTAINER_BIND"]  # else Apptainer leaves one out
    assert variables["PYTHONPATH"] == f"{ROOT}/src:/other"


def test_a_container_shows_where_the_links_of_this_folder_lead(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "here/data").mkdir(parents=True)
    (tmp_path / "here/data/full").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(tmp_path / "here")
    assert {str(tmp_path / "here"), str(tmp_path / "disk")} <= set(
        environment(plan_of(tmp_path))["APPTAINER_BIND"].split(",")
    )


def test_images(tmp_path):
    assert plan_of(tmp_path, image="docker://somewhere/rescan:1").image() == "docker://somewhere/rescan:1"
    with pytest.raises(RescanError, match="run `make image FLAVOR=current`"):
        plan_of(tmp_path, image="current").image()
    with pytest.raises(RescanError, match="give the path"):
        plan_of(tmp_path, image=str(tmp_path / "no.sif")).image()


def laughs():
    """What YAML's aliases may be made to: 10 ** 12 values that are one."""
    value = ["x"]
    for _ in range(12):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"scale": 3}, "config: scale: input should be 'demo', 'small' or 'full', not 3"),
        ({"studies": {}}, "config: studies: input should be a valid list, not {}"),
        ({"studies": [["x"]]}, "config: studies.0: input should be a valid string, not ['x']"),
        ({"studies": laughs()}, "config: studies.0: input should be a valid string, not [[[[...], "),
        ({"sources": {"brain_tumor": laughs()}}, "config: sources.brain_tumor: input should be a valid string"),
        ({"studies": "a\nb"}, "config: studies.0: holds a line break"),
        ({"studies": "a\0b.yaml"}, "config: studies.0: holds a line break or another character"),
        ({"studies": f"{'x' * 300}.yaml"}, ".yaml: no such file; give a name of studies/"),
        ({"studies": "~nouser/x.yaml"}, "~nouser/x.yaml: no such file"),
        ({"studies": "nowhere.yaml"}, "nowhere.yaml: no such file; give a name of studies/"),
        ({"studies": "brain_tumr"}, "config: studies: no study 'brain_tumr'; did you mean 'brain_tumor'?"),
        ({"studies": "/dev/zero"}, "config: studies: no study '/dev/zero'"),
        ({"sources": {"brain_tumor": "/dev/zero"}}, "/dev/zero: no such folder or archive; give the path of one"),
        ({"sources": {"brain_tumor": "x" * 300}}, "no such folder or archive"),
        ({"sources": {"brain_tumor": ""}}, "config: sources.brain_tumor: string should have at least 1 character"),
        ({"sources": {1: "x"}}, "config: sources.1.[key]: input should be a valid string, not 1"),
        ({"seeds": [10**30]}, "config: seeds.0: input should be less than or equal to 4294967295"),
        ({"folds": 10**30}, "config: folds: input should be less than or equal to 1000"),
        ({"folds": float("nan")}, "config: folds: input should be a finite number"),
        ({"folds": True}, "config: folds: needs a number, not true"),
        ({"threads": 0}, "config: threads: input should be greater than 0"),
        ({"jobs_per_gpu": 10**9}, "config: jobs_per_gpu: input should be less than or equal to 64"),
        ({"arms": {"brain_tumor": []}}, "config: arms.brain_tumor: list should have at least 1 item"),
        ({"a\nb": 1}, r"config: a\nb: unknown key"),
        ({"studys": ["x"]}, "config: studys: unknown key; did you mean 'studies'?"),
    ],
)
def test_a_hostile_setting_is_one_line(tmp_path, config, fault):
    with pytest.raises(RescanError) as caught:
        plan_of(tmp_path, **config)
    lines = str(caught.value).splitlines()
    assert fault in lines[0]
    assert all(line.startswith("config: ") and line.isprintable() for line in lines)


def test_an_image_of_an_odd_name_is_a_path(tmp_path):
    with pytest.raises(RescanError, match=r"config: image: .*/; rm -rf is not there"):
        plan_of(tmp_path, image="; rm -rf").image()


def test_config_yaml_is_read_within_bounds(tmp_path):
    with pytest.raises(RescanError, match=r"config\.yaml: is not there; run Rescan from its checkout"):
        read_config_file(tmp_path)
    for text, fault in {
        "a: &a {b: *a}": "nested deeper than 40",
        "- x": "is a mapping with keys such as scale",
    }.items():
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(RescanError, match=fault):
            read_config_file(tmp_path)
    assert set(read_config_file(ROOT)) == set(Config.model_fields)
