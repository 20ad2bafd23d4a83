"""External data in the plan of a workflow: no training, nor what it reads, depends on them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from rescan.errors import RescanError
from rescan.study import read
from rescan.workflow.inputs import Inputs
from rescan.workflow.plan import Plan
from rescan.workflow.reruns import Keys
from rescan.workflow.resources import JobResources
from rescan.workload.jobs import Jobs

ROOT = Path(__file__).parent.parent.parent
HERE = SimpleNamespace(resource_settings=SimpleNamespace(cores=2), local_exec=True, remote_exec=False)
STUDY = """
title: Radiographs
data:
  source: {path: own}
  layout: table
  classes: [normal, pneumonia]
  EXTERNAL
split: {test: 0.2, seeds: [0, 1]}
preparations: {small: {steps: [{name: resize, size: [32, 32]}]}}
recipe:
  preparation: small
  network: {encoder: resnet18, weights: none}
  stages: {main: {epochs: 1, optimizer: adam}}
arms:
  base: {}
  both: {ensemble: {members: [base]}}
"""
HOSPITAL = "external: {h2: {source: {path: other}, layout: {name: table, file: list.csv}}}"
NAME = "mine/external/h2"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(external=HOSPITAL, **config):
        (tmp_path / "mine.yaml").write_text(STUDY.replace("EXTERNAL", external))
        return Plan({"scale": "full", "studies": ["mine.yaml"], "device": "cpu", **config}, ROOT, tmp_path)

    return make


def job(study="mine", **wildcards):
    return SimpleNamespace(
        **{"study": study, "arm": "base", "fold": "0", "seed": "1", "preparation": "small", **wildcards}
    )


def test_what_a_training_reads_stays_as_it_was(plan):
    states = []
    for own in (plan(""), plan()):
        inputs, keys = Inputs(own), Keys(own)
        of_steps = [keys.data, keys.audit, keys.preparation, keys.training, keys.inference, keys.results]
        sections = keys.sections(
            "data.layout", "data.classes", "data.labels", "data.ordered", "data.extra", "split.test"
        )
        states.append(
            [
                [key(job()) for key in (*of_steps, sections)],
                inputs.store(job()),
                inputs.start_weights(job()),
                inputs.predictions(job()),
                inputs.home(job()),
            ]
        )
    assert states[0] == states[1]
    assert Inputs(plan("")).external(job()) == []


def test_external_data_lie_apart_and_are_read_by_the_models_of_home(plan):
    inputs = Inputs(plan())
    assert inputs.store(job(NAME))[0] == "data/full/mine/external/h2/small/images.npy"
    assert inputs.model(job(NAME)) == "results/full/mine/base/fold0_seed1/model.safetensors"
    assert inputs.home(job(NAME)) == ["results/full/mine/manifest.csv"]
    predictions = [f"results/full/mine/external/h2/base/fold0_seed{seed}/predictions.csv" for seed in (0, 1)]
    assert inputs.external(job()) == predictions
    assert inputs.member_predictions(job(NAME, ensemble="both", seed="1")) == predictions[1:]
    targets = inputs.everything("mine")
    assert {*predictions, "results/full/mine/external/h2/splits.csv"} < set(targets)


def test_it_is_written_and_read_as_a_study(plan):
    own = plan()
    own.write_studies()
    apart = read("results/full/mine/external/h2/study.json", arm="both")
    assert apart == own.everything[NAME]
    assert apart.data.layout["file"] == "list.csv"
    assert apart.home.study == "mine"


def test_same_patients_reruns_only_the_audit_of_external_data(plan):
    keys, other = Keys(plan()), Keys(plan(HOSPITAL.replace("}}}", "}, same_patients: false}}")))
    assert keys.audit(job(NAME)) != other.audit(job(NAME))
    assert keys.audit(job()) == other.audit(job())
    assert keys.data(job(NAME)) == other.data(job(NAME))


def test_its_jobs_are_counted_and_none_trains(plan):
    own = plan()
    rules = [work.rule for work in Jobs(own.everything[NAME]).all_jobs()]
    assert sorted(rules) == sorted(
        ["download", "index", "audit", "split", "preprocess", "infer", "infer", "ensemble", "ensemble"]
    )
    ask = JobResources(own, HERE)
    assert ask.memory("audit")(SimpleNamespace(study=NAME), threads=1, attempt=1) > 0
    infer = SimpleNamespace(study=NAME, arm="base", fold="0", seed="1")
    assert ask.memory("infer")(infer, threads=1, attempt=1) > 0


def test_a_local_source_may_be_given(plan, tmp_path):
    (tmp_path / "copy").mkdir()
    own = plan(sources={"mine.h2": "copy"})
    assert own.everything[NAME].data.source.path == str(tmp_path / "copy")
    with pytest.raises(RescanError, match=r"no study 'mine\.h3' in this run; did you mean 'mine\.h2'"):
        plan(sources={"mine.h3": "copy"})


@pytest.mark.usefixtures("plan")
def test_real_external_data_do_not_test_networks_of_phantoms():
    demo = STUDY + "demo: {data: {layout: class_folders, phantom: {name: brain_mri, samples: 40}}}\n"
    assert "EXTERNAL" in demo
    Path("mine.yaml").write_text(demo.replace("EXTERNAL", HOSPITAL))
    own = Plan({"scale": "demo", "studies": ["mine.yaml"]}, ROOT, Path.cwd())
    assert list(own.everything) == ["mine"]


@pytest.mark.parametrize(
    ("external", "fault"),
    [
        ("external: {h2: {layout: table}}", r"data\.external\.h2\.source: missing"),
        ("external: {h2: {source: {path: a}, layout: tabel}}", "no layout 'tabel'; did you mean 'table'"),
        (
            "external: {h2: {source: {path: a}, layout: table, labels: {x: normall}}}",
            "h2: labels: x: no class 'normall'",
        ),
        (
            "extra: {h2: {source: {path: a}, layout: table}}\n  external: {h2: {source: {path: a}, layout: table}}",
            "external: h2: is an extra source",
        ),
    ],
)
def test_faults_of_external_data(plan, external, fault):
    with pytest.raises(RescanError, match=fault):
        plan(external)
