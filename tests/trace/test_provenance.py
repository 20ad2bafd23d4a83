"""Each step's provenance: what it read and wrote, with which code; and that no step fails for it."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from safetensors import safe_open
from traced_study import NAME, RESULTS, STEPS, step

from rescan import checkout
from rescan.results.provenance_file import read_provenance
from rescan.results.trained_model import TrainedModel
from rescan.study import read
from rescan.study.keys import recipe_key, result_key
from rescan.trace import provenance
from rescan.trace.provenance import traced

pytestmark = pytest.mark.usefixtures("tree")  # each test works in a copy of the results
FOLDER = Path(RESULTS, "provenance")
DATA = f"data/demo/{NAME}"


def content(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def digest(path: str) -> str:
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


def test_each_call_leaves_one_file_with_what_it_read_and_wrote():
    names = {path.stem for path in FOLDER.iterdir()}
    run = "plain_fold0_seed0"
    expected = {*(words[0] for words in STEPS if len(words) == 1), "preprocess_small", f"train_{run}", f"infer_{run}"}
    assert names == expected | {"posttrain_plain", "evaluate_plain"}
    train = content(f"train_{run}")
    folder = f"{RESULTS}/plain/fold0_seed0"
    assert {entry["path"] for entry in train["inputs"]} >= {
        *(f"{DATA}/small/{name}" for name in ("images.npy", "items.csv", "preparation.json")),
        f"{RESULTS}/splits.csv",
    }
    made = ("model.safetensors", "history.csv", "losses.csv", "network.json", "curves.png")
    assert {entry["path"] for entry in train["outputs"]} == {f"{folder}/{name}" for name in made}
    for name in names:
        for entry in (*content(name)["inputs"], *content(name)["outputs"]):
            state = Path(entry["path"]).stat()
            assert (entry["bytes"], entry["sha256"]) == (state.st_size, digest(entry["path"])), entry["path"]


def test_what_one_step_read_is_what_another_wrote():
    calls = [json.loads(path.read_text("utf-8")) for path in FOLDER.iterdir()]
    made = {entry["path"]: entry for call in calls for entry in call["outputs"]}
    read_from = {entry["path"] for call in calls for entry in call["inputs"]}
    assert read_from <= {*made}
    files = {path.as_posix() for path in Path("results").rglob("*") if path.is_file()}
    others = re.compile(r"/provenance/|/tensorboard/|/\.|/study\.json$|/ro-crate-metadata\.json$|^results/index\.html$")
    assert {path for path in files if not others.search(path)} == {path for path in made if path.startswith("results")}


def test_it_says_with_which_code_settings_and_machine_and_nothing_of_the_person(made):
    train, study = content("train_plain_fold0_seed0"), read(f"{RESULTS}/study.json", "plain")
    assert train["key"] == recipe_key(study, "plain")
    assert content("evaluate_plain")["key"] == result_key(study, "plain")
    assert (train["name"], train["fold"], train["seed"], train["seeds"]) == ("plain", 0, 0, [0])
    assert train["machine"] == {**train["machine"], "device": "cpu", "threads": 1}
    assert {"python", "rescan", "torch", "numpy"} <= {*train["versions"]}
    subprocess.run([sys.executable, "-m", "rescan", "split", f"{RESULTS}/study.json"], check=True, timeout=100)
    assert "torch" not in content("split")["versions"]  # which other tests may have loaded into this process
    assert content("split")["machine"]["device"] is None
    assert train["code"] == [checkout.code()._asdict()]
    assert 0 < train["cpu_seconds"] < 100
    assert 1e8 < train["peak_memory"] < 1e10
    start = datetime.fromisoformat(train["started"])
    assert start.utcoffset() == timedelta(0)
    assert timedelta(0) <= datetime.now(timezone.utc) - start < timedelta(hours=1)
    texts = " ".join(path.read_text("utf-8") for path in FOLDER.iterdir())
    assert str(made) not in texts
    assert os.uname().nodename not in re.findall(r"[\w.-]+", texts)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["train", "results/demo/a/study.json", "--log", "/home/x/a.log"], ["train", "results/demo/a/study.json"]),
        (["train", "{here}/results/a", "--log=/home/x/a.log"], ["train", "results/a"]),
        (["train", "/home/someone/study.json", "--arm", "a"], ["train", "study.json", "--arm", "a"]),
        (["-q", "tests"], ["train"]),
    ],
)
def test_a_command_is_shown_as_it_may_be_published(words, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert provenance._command("train", [word.replace("{here}", str(Path.cwd())) for word in words]) == shown


def test_a_model_says_what_trained_it_and_a_finished_training_is_not_credited_to_other_code(monkeypatch):
    with safe_open(f"{RESULTS}/plain/fold0_seed0/model.safetensors", framework="np") as model:
        header = json.loads(model.metadata()["rescan"])
    assert header["code"] == [checkout.code()._asdict()]
    other = checkout.Code("f" * 40, "none", "0" * 16)
    monkeypatch.setattr(checkout, "code", lambda: other)
    step("train", "--arm", "plain", "--device", "cpu", "--threads", "1")  # only puts its files in place again
    assert content("train_plain_fold0_seed0")["code"] == header["code"]
    step("posttrain", "--arm", "plain")
    assert content("posttrain_plain")["code"] == [other._asdict()]


def test_a_model_of_an_older_version_is_credited_to_no_code(monkeypatch):
    monkeypatch.setattr(
        "rescan.results.trained_model.read_trained_model", lambda _: TrainedModel(version="0", torch="1")
    )
    step("train", "--arm", "plain", "--device", "cpu", "--threads", "1")
    assert content("train_plain_fold0_seed0")["code"] == [{"commit": "", "changes": "unknown", "checksum": ""}]


def test_inputs_of_known_size_and_time_are_not_hashed_again(monkeypatch):
    monkeypatch.setattr(provenance, "LARGE", 1)
    hashed, predictions = [], f"{RESULTS}/plain/fold0_seed0/predictions.csv"
    monkeypatch.setattr(provenance, "sha256", lambda path: hashed.append(str(path)) or "0" * 64)
    before = content("posttrain_plain")
    step("posttrain", "--arm", "plain")
    assert hashed == [f"{RESULTS}/plain/posttraining.json"]
    assert content("posttrain_plain")["inputs"] == before["inputs"]
    os.utime(predictions)  # as if it had been written again
    step("posttrain", "--arm", "plain")
    assert predictions in hashed


def test_an_input_that_changes_while_a_step_runs_has_no_checksum():
    study = read(f"{RESULTS}/study.json")
    with traced("split", study):
        step("split")
        provenance.touched.read(f"{RESULTS}/manifest.csv")
        Path(f"{RESULTS}/manifest.csv").write_text("other")
    [entry] = [entry for entry in content("split")["inputs"] if entry["path"] == f"{RESULTS}/manifest.csv"]
    assert entry["sha256"] is None


def test_a_step_whose_provenance_cannot_be_written_has_done_its_work(caplog, monkeypatch):
    monkeypatch.setattr(provenance.logger, "propagate", True)

    def full(_, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(provenance.Provenance, "write", full)
    study = read(f"{RESULTS}/study.json")
    with caplog.at_level("WARNING", "rescan"), traced("split", study):
        pass
    assert "split.json: cannot be written (No space left on device): what this step made has no" in caplog.text
    assert not (FOLDER / "split.json").exists()  # that of the call before would tell of other files


def test_the_code_is_that_of_the_steps_beginning(monkeypatch):
    checkout.code.cache_clear()
    before = checkout._checksum()
    with traced("split", read(f"{RESULTS}/study.json")):
        monkeypatch.setattr(checkout, "_checksum", lambda: "0" * 16)  # as if a file were edited meanwhile
    assert [code["checksum"] for code in content("split")["code"]] == [before]


def test_a_step_that_fails_leaves_the_provenance_of_the_one_before():
    before = (FOLDER / "split.json").read_bytes()
    with pytest.raises(ValueError, match="no"), traced("split", read(f"{RESULTS}/study.json")):
        raise ValueError("no")
    assert (FOLDER / "split.json").read_bytes() == before


def test_no_bit_of_provenance_flips_unseen():
    path = FOLDER / "split.json"
    whole = path.read_bytes()
    rng = random.Random(0)
    for place in rng.sample(range(len(whole)), 200):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        found, faults = read_provenance(FOLDER.as_posix())
        assert len(faults) == 1, whole[place - 20 : place + 20]
        assert str(path) not in found
        assert faults[0].startswith(f"{path}: ")
