"""`--at`: what new images are called at an operating point, with nothing but an arm's folder."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sample_files import model_header, read_json
from sample_predictions import make_study, write_arm
from typer.testing import CliRunner

from rescan.cli import app
from rescan.errors import RescanError
from rescan.evaluate_on import evaluate_on
from rescan.evaluation.evaluate import evaluate
from rescan.files import write_json
from rescan.models.model_files import save
from rescan.models.networks import build
from rescan.paths import Paths
from rescan.predict import predict
from rescan.predict_patients import answers_of_patients, by_patient
from rescan.results.posttraining import Fits, FittedPoint
from rescan.study import Preparation

PREPARATION = Preparation.model_validate({"steps": [{"name": "resize", "size": [32, 32]}]})
POINTS = [
    {"youden": True, "prevalence": 0.02},
    {"sensitivity": 0.9, "predicts": True},
    {"ppv": 0.8, "prevalence": 0.01},
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of an evaluated arm, whose networks are random, and patients' folders of new images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("at"))
        study = make_study(classes=2, seeds=1, operating_points=POINTS)
        write_arm(study, "one")
        evaluate(study, "one")
        (run,) = study.runs("one")
        torch.manual_seed(1)
        header = model_header(study.arms["one"], list("ab"), (3, 32, 32), preparation=PREPARATION)
        save(run.folder.model, build(study.arms["one"], 2, (3, 32, 32)), header)
        folder = tmp_path_factory.mktemp("copied") / "arm"  # away from the study
        shutil.copytree(Paths(study.scale, study.name).arm("one"), folder)
    new, random = folder.parent / "new", np.random.default_rng(0)
    rows = []
    for number in range(12):
        place = f"patient{number // 3}/{number}.png"
        (new / place).parent.mkdir(parents=True, exist_ok=True)
        light = np.uint8(20 * number)
        Image.fromarray(random.integers(0, 40, (40, 40, 3), np.uint8) + light // 2).save(new / place)
        rows.append((place, "ab"[number % 2], f"p{number // 3}"))
    pd.DataFrame(rows, columns=["path", "label", "patient"]).to_csv(new / "labels.csv", index=False)
    predict(folder, [new], folder.parent / "plain.csv", None, "cpu")
    posttraining = read_json(folder / "posttraining.json")
    middle = float(pd.read_csv(folder.parent / "plain.csv")["b"].median())  # so that both answers are given
    for point in posttraining["points"][:2]:
        point["threshold"] = {"whole": middle, "crossfit": [middle] * 5}
    without = {"threshold": {"whole": None, "crossfit": [None] * 5}, "problem": "validation is too small"}
    posttraining["points"][2] |= without
    write_json(folder / "posttraining.json", posttraining)
    return folder


def test_answers_stand_in_a_column_and_the_point_that_predicts_says_the_class(finished, tmp_path):
    lowest = read_json(finished / "posttraining.json")["points"][1]["threshold"]["whole"]
    predict(finished, [finished.parent / "new"], tmp_path / "out.csv", None, "cpu", at="sensitivity_90")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(table.columns) == ["image", "predicted", "a", "b", "b_at_sensitivity_90", "flags", "problem"]
    called = table["b"] >= lowest
    assert 0 < called.sum() < 12
    assert (table["b_at_sensitivity_90"] == np.where(called, "yes", "no")).all()
    assert (table["predicted"] == np.where(called, "b", "a")).all()
    patients = pd.read_csv(tmp_path / "out_patients.csv", keep_default_na=False)
    mean = table["b"].groupby(np.arange(12) // 3).mean()
    assert (patients["by_mean_probability"] == np.where(mean >= lowest, "b", "a")).all()
    assert (patients["b_at_sensitivity_90"] == np.where(mean >= lowest, "yes", "no")).all()


GRADES = pd.DataFrame(
    {
        "patient": ["one", "one", "one", "two"],
        "predicted": ["a", "a", "c", "a"],
        "a": [0.6, 0.6, 0.1, 0.8],
        "b": [0.3, 0.3, 0.1, 0.1],
        "c": [0.1, 0.1, 0.8, 0.1],
        "c_at_youden": ["no", "no", "yes", "no"],
    }
)


def a_point(kind, number, threshold):
    at = {"threshold": Fits(whole=threshold, crossfit=[threshold] * 5), "resampled": [], "having": 9, "lacking": 9}
    return FittedPoint(name="youden", of="c", kind=kind, number=number, scale="probability", **at)


def test_a_patient_of_grades_is_read_as_in_the_evaluation():
    """The highest grade of the images counts, whatever head it is read from (`levels.by_unit`)."""
    assert by_patient(GRADES, list("abc"), ordered=True)["predicted"].tolist() == ["c", "a"]
    assert by_patient(GRADES, list("abc"), ordered=False)["predicted"].tolist() == ["a", "a"]
    answers = answers_of_patients(GRADES, list("abc"), [a_point("endpoint", 2, 0.5)], ordered=True)
    assert answers == {"c_at_youden": ["yes", "no"]}
    two = GRADES.drop(columns="a").rename(columns={"b": "a"})
    assert answers_of_patients(two, list("ac"), [a_point("class", 1, 0.5)], ordered=True)["c_at_youden"] == [
        "yes",
        "no",
    ]


@pytest.mark.parametrize(("ordered", "threshold"), [(False, None), (True, 0.5)])
def test_a_patient_has_no_answer_where_there_is_none(ordered, threshold):
    """Without a threshold; or of one of several grades, which the evaluation does not score by patient."""
    answers = answers_of_patients(GRADES, list("abc"), [a_point("class", 2, threshold)], ordered=ordered)
    assert answers == {"c_at_youden": ["", ""]}


def test_without_it_the_table_has_no_such_column(finished):
    assert "b_at_youden" not in pd.read_csv(finished.parent / "plain.csv")


def test_what_there_is_not_is_one_line(finished, tmp_path):
    for name, fault in (
        ("sensitivity_9", "no operating point 'sensitivity_9'; did you mean 'sensitivity_90'?"),
        ("", "no operating point ''; known: ppv_80, "),  # as of a shell's variable that is not set
        ("ppv_80", "--at: ppv_80 has no threshold: validation is too small"),
    ):
        with pytest.raises(RescanError, match="--at: ") as caught:
            predict(finished, [finished.parent / "new"], tmp_path / "out.csv", None, "cpu", at=name)
        assert fault in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        assert not (tmp_path / "out.csv").exists()
    content = read_json(finished / "posttraining.json")
    shutil.copytree(finished, tmp_path / "arm")
    write_json(tmp_path / "arm/posttraining.json", {**content, "points": []})
    with pytest.raises(RescanError, match="its study has no operating_points"):
        predict(tmp_path / "arm", [finished.parent / "new"], tmp_path / "out.csv", None, "cpu", at="youden")


def test_labeled_files_are_scored_at_all_points(finished, tmp_path):
    lines = evaluate_on(finished, finished.parent / "new/labels.csv", tmp_path / "out.json", "cpu", at="youden")
    table = pd.read_csv(tmp_path / "out_predictions.csv", keep_default_na=False)
    called, positive = table["b_at_youden"] == "yes", table["label"] == "b"
    found = read_json(tmp_path / "out.json")["points"]
    assert [point["name"] for point in found] == ["youden", "sensitivity_90", "ppv_80"]
    level = found[0]["parts"]["new"]["image"]
    assert level["confusion"] == [
        [(~called & ~positive).sum(), (called & ~positive).sum()],
        [(~called & positive).sum(), (called & positive).sum()],
    ]
    assert set(found[0]["parts"]) == {"new", "new_averaged"}
    assert found[2]["parts"] == {}
    sensitivity = f"{level['metrics']['sensitivity']['value']:.3f}"
    assert any(line.startswith("at youden of b, threshold ") for line in lines)
    assert any(line.strip().startswith("sensitivity") and sensitivity in line for line in lines[-6:])
    assert [line.split("  ")[1] for line in lines[-2:]] == ["PPV at prevalence", "NPV at prevalence"]


def test_on_the_command_line(finished, tmp_path):
    arguments = ["predict", str(finished), str(finished.parent / "new"), "--out", str(tmp_path / "out.csv")]
    assert CliRunner().invoke(app, [*arguments, "--at", "youden", "--device", "cpu"]).exit_code == 0
    assert "b_at_youden" in pd.read_csv(tmp_path / "out.csv")
