"""The input functions and keys of the rules, on the shipped studies."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.study.keys import result_key
from rescan.workflow.inputs import Inputs
from rescan.workflow.plan import Plan
from rescan.workflow.reruns import Keys

ROOT = Path(__file__).parent.parent.parent


def plan(tmp_path, **config):
    return Plan({"scale": "demo", "studies": ["aptos2019", "octa500"], **config}, ROOT, tmp_path)


@pytest.fixture
def inputs(tmp_path):
    arms = {"aptos2019": ["multitask", "augmented_test", "pretrained", "ensemble"]}
    return Inputs(plan(tmp_path, seeds=[0, 1], arms=arms))


def job(study="aptos2019", **wildcards):
    return SimpleNamespace(study=study, **wildcards)


def arm_where(inputs, study, condition):
    return next(arm for arm, recipe in inputs.plan.studies[study].arms.items() if condition(recipe))


def test_an_arm_is_trained_on_the_store_of_its_preparation(inputs):
    study = inputs.plan.studies["aptos2019"]
    for arm, recipe in study.arms.items():
        folder = f"data/demo/aptos2019/{recipe.preparation}"
        files = [f"{folder}/images.npy", f"{folder}/items.csv", f"{folder}/preparation.json"]
        assert inputs.store(job(arm=arm)) == files
        if arm == study.first_arm:
            assert inputs.first_store(job()) == files


def test_an_arm_starts_from_nothing_from_downloaded_weights_or_from_an_autoencoder(inputs, tmp_path):
    scratch = arm_where(inputs, "aptos2019", lambda recipe: recipe.network.weights == "none")
    assert inputs.start_weights(job(arm=scratch, fold="0", seed="0")) == []
    pretrained = arm_where(inputs, "octa500", lambda recipe: recipe.network.weights not in ("none", "imagenet"))
    name = inputs.plan.studies["octa500"].arms[pretrained].network.weights
    files = inputs.start_weights(job("octa500", arm=pretrained, fold="0", seed="1"))
    assert files == [f"results/demo/octa500/autoencoders/{name}/fold0_seed1/encoder.safetensors"]
    full = Inputs(plan(tmp_path, scale="full", studies=["brain_tumor"]))
    arm = arm_where(full, "brain_tumor", lambda recipe: recipe.network.weights == "imagenet")
    encoder = full.plan.studies["brain_tumor"].arms[arm].network.encoder
    assert full.start_weights(job("brain_tumor", arm=arm, fold="0", seed="0")) == [
        f"data/weights/{encoder}.safetensors"
    ]


def test_an_arm_that_reads_anothers_models_has_their_files(inputs):
    arm = arm_where(inputs, "aptos2019", lambda recipe: recipe.models)
    of = inputs.plan.studies["aptos2019"].arms[arm].models
    assert (
        inputs.model(job(arm=arm, fold="0", seed="1")) == f"results/demo/aptos2019/{of}/fold0_seed1/model.safetensors"
    )
    assert all(f"/{of}/" in file for file in [*inputs.models(job(arm=arm)), *inputs.histories(job(arm=arm))])
    assert all(f"/{arm}/" in file for file in [*inputs.predictions(job(arm=arm)), *inputs.diagnoses(job(arm=arm))])


def test_an_ensemble_averages_its_members_of_the_same_seed(inputs):
    arm = arm_where(inputs, "aptos2019", lambda recipe: recipe.ensemble)
    assert inputs.member_predictions(job(ensemble=arm, seed="1")) == [
        f"results/demo/aptos2019/{member}/fold0_seed1/predictions.csv"
        for member in inputs.plan.studies["aptos2019"].arms[arm].ensemble.members
    ]
    assert re.fullmatch(inputs.ensembles(), arm)
    assert not re.fullmatch(inputs.ensembles(), "pretrained")
    assert not re.search(Inputs(SimpleNamespace(studies={})).ensembles(), "anything")


def test_maps_of_volumes_are_shown_beside_those_of_an_arm_of_projections(inputs):
    study = inputs.plan.studies["octa500"]
    volumes = arm_where(inputs, "octa500", lambda recipe: study.preparations[recipe.preparation].dimensions == 3)
    model, *store = inputs.beside(job("octa500", arm=volumes))
    assert model == f"results/demo/octa500/{study.gradcam.beside}/fold0_seed0/model.safetensors"
    assert store == inputs.store(job("octa500", arm=study.gradcam.beside))
    assert inputs.beside(job("octa500", arm=study.gradcam.beside)) == []


def test_with_partial_only_arms_that_are_scored_and_files_that_are_there_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole, partial = Inputs(plan(tmp_path)), Inputs(plan(tmp_path, partial=True))
    study = whole.plan.studies["aptos2019"]
    assert whole.arms_to_report("aptos2019") == [*study.arms]
    assert partial.arms_to_report("aptos2019") == []
    first, second, *_ = study.arms
    for arm, key in ((first, result_key(study, first)), (second, "of an earlier recipe")):
        (tmp_path / f"results/demo/aptos2019/{arm}").mkdir(parents=True)
        metrics = tmp_path / f"results/demo/aptos2019/{arm}/metrics.json"
        metrics.write_text(json.dumps({"result_key": key}))
    assert partial.arms_to_report("aptos2019") == [first]
    assert partial.metrics(job()) == [f"results/demo/aptos2019/{first}/metrics.json"]
    assert partial.arm_options(job()) == ["--arm", first]
    files = partial.everything("aptos2019")
    assert [file for file in files if f"/{first}/" in file] == partial.metrics(job())
    assert "results/demo/aptos2019/splits.csv" in files
    assert len(whole.metrics(job())) == len(study.arms)
    assert {*whole.metrics(job())} < {*whole.everything("aptos2019")}


def test_the_shipped_studies_train_as_often_as_their_files_say_at_full_scale(tmp_path):
    whole = Inputs(plan(tmp_path, scale="full", studies=["brain_tumor", "aptos2019", "octa500", "mura"]))
    files = {study: whole.everything(study) for study in whole.plan.studies}
    models = {study: sum(file.endswith("/model.safetensors") for file in of_study) for study, of_study in files.items()}
    # 10 arms of 5 seeds · 22 of 5, 4 more read others' models · 8 of 3 seeds and 5 folds · 17 of 3, ablations too
    assert models == {"brain_tumor": 50, "aptos2019": 110, "octa500": 120, "mura": 51}
    assert sum(file.endswith("/encoder.safetensors") for file in files["octa500"]) == 2 * 3 * 5


def test_a_key_changes_only_with_its_sections(tmp_path):
    keys, other = Keys(plan(tmp_path)), Keys(plan(tmp_path, seeds=[7]))
    assert keys.sections("split.test")(job()) == other.sections("split.test")(job())
    assert keys.sections("split.seeds")(job()) != other.sections("split.seeds")(job())
    assert keys.training(job(arm="pretrained")) == other.training(job(arm="pretrained"))
    assert keys.data(job()) == other.data(job())


def test_the_key_of_a_local_source_changes_with_its_files(tmp_path):
    (tmp_path / "photos").mkdir()
    keys = Keys(plan(tmp_path, studies=["brain_tumor"], sources={"brain_tumor": "photos"}))
    before = keys.data(job("brain_tumor"))
    assert keys.data(job("brain_tumor")) == before
    (tmp_path / "photos/glioma").mkdir()
    (tmp_path / "photos/glioma/new.png").touch()
    assert (with_one := keys.data(job("brain_tumor"))) != before
    (tmp_path / "photos/glioma/new.png").write_bytes(b"other content")
    assert keys.data(job("brain_tumor")) not in (before, with_one)
    (tmp_path / "photos/glioma/new.png").rename(tmp_path / "photos/new.png")
    assert keys.data(job("brain_tumor")) not in (before, with_one)


def test_a_source_that_is_not_there_yet_can_be_planned(tmp_path):
    keys = Keys(plan(tmp_path, scale="full", studies=["mura"]))
    assert not Path(keys.plan.studies["mura"].data.source.path).exists()
    assert keys.data(job("mura")) == keys.data(job("mura"))


def test_the_key_of_a_source_sees_behind_links_and_not_what_rescan_writes_there(tmp_path):
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for folder in (photos, elsewhere):
        folder.mkdir()
    (photos / "glioma").symlink_to(elsewhere)
    (photos / "own.png").touch()
    (photos / "gone.png").symlink_to("nowhere")
    (photos / os.fsdecode(b"\xff.png")).touch()
    keys = Keys(plan(tmp_path, studies=["brain_tumor"], sources={"brain_tumor": "photos"}))
    before = keys.data(job("brain_tumor"))
    for name in (
        "results/demo/x/study.json",
        "data/demo/x/source.json",
        "logs/demo/x.log",
        "x.yaml",
        "predictions.csv",
    ):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    assert keys.data(job("brain_tumor")) == before
    (elsewhere / "new.png").touch()
    assert keys.data(job("brain_tumor")) != before


def test_a_file_of_weights_is_read_once_and_traced_by_its_state(tmp_path):
    text = (ROOT / "tests/study/minimal.yaml").read_text()
    text += "\ndemo: {data: {phantom: {name: brain_mri}, classes: [glioma, meningioma, notumor, pituitary]}}\n"
    (tmp_path / "mine.yaml").write_text(text.replace("weights: none", "weights: w.safetensors"))
    made = Paths.weights("resnet18", tmp_path / "w.safetensors")
    with pytest.raises(RescanError, match=r"^mine: arms: base, other: network: weights: .*w.safetensors: cannot be"):
        plan(tmp_path, studies=[str(tmp_path / "mine.yaml")])
    save_file({"layer.weight": np.ones(2)}, tmp_path / "w.safetensors")
    read = plan(tmp_path, studies=[str(tmp_path / "mine.yaml")], arms={"mine": ["base"]})
    inputs, keys = Inputs(read), Keys(read)
    assert inputs.start_weights(job("mine", arm="base", fold="0", seed="0")) == [made]
    own, published = (SimpleNamespace(encoder=name) for name in (Path(made).stem, "resnet18"))
    file = str(tmp_path / "w.safetensors")
    assert inputs.weights_file(own) == [file]
    assert inputs.weights_words(own) == ["resnet18", "--file", file]
    assert (inputs.weights_file(published), inputs.weights_words(published)) == ([], ["resnet18"])
    before = keys.weights_file(own)
    os.utime(tmp_path / "w.safetensors", (1, 1))  # an older one in its place
    assert keys.weights_file(own) != before
    assert keys.weights_file(published) == []
