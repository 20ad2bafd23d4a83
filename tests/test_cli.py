"""The command line: exit codes, one line per fault, every rule's help."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescan.cli import app
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.study import Settings, read, write_resolved
from rescan.study.file import load

ROOT = Path(__file__).parent.parent
RULES = sorted(
    set(re.findall(r"python -m rescan (\w+)", "".join(path.read_text() for path in ROOT.glob("workflow/rules/*.smk"))))
)


def rescan(*arguments, cwd):
    command = [sys.executable, "-m", "rescan", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("rule", RULES)
def test_every_option_that_a_rule_gives_is_known(rule):
    text = "".join(path.read_text() for path in ROOT.glob("workflow/rules/*.smk"))
    commands = [command.split("\n\n")[0] for command in text.split("python -m rescan ")]
    options = {
        option for command in commands if command.startswith(rule) for option in re.findall(r" (--[a-z-]+)", command)
    }
    help_page = CliRunner().invoke(app, [rule, "--help"], terminal_width=200, color=False)
    assert help_page.exit_code == 0
    assert options - set(re.findall(r"--[a-z-]+", help_page.output)) == set()


def test_a_users_mistake_is_one_line_and_exit_code_1(tmp_path):
    process = rescan("check", tmp_path / "no.yaml", cwd=tmp_path)
    assert process.returncode == 1
    assert len(process.stderr.splitlines()) == 1
    assert "no.yaml: cannot be read (No such file or directory); check the path" in process.stderr


def test_wrong_usage_is_exit_code_2(tmp_path):
    assert rescan("train", "--speed", "9", cwd=tmp_path).returncode == 2


def test_a_log_file_holds_what_stderr_shows(tmp_path):
    process = rescan("index", "results/demo/x/study.json", "--log", "logs/index.log", cwd=tmp_path)
    assert process.returncode == 1
    assert (tmp_path / "logs/index.log").read_text() == process.stderr


def test_schema_and_doctor_and_clean(tmp_path):
    assert '"additionalProperties": false' in rescan("schema", cwd=tmp_path).stdout
    assert "numpy" in rescan("doctor", cwd=tmp_path).stdout
    state = tmp_path / "results/demo/.state/s/a/fold0_seed0/state.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    of_autoencoder = tmp_path / "results/demo/.state/s/autoencoders/a/fold0_seed0/network-0-0-0.safetensors"
    of_autoencoder.parent.mkdir(parents=True)
    of_autoencoder.touch()
    metrics = tmp_path / "results/demo/s/a/metrics.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("{}")
    assert rescan("clean", cwd=tmp_path).returncode == 0
    assert not state.parent.exists()
    assert not of_autoencoder.parent.exists()
    assert metrics.exists()


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        *[("train", "--threads", value) for value in ("0", "-1", "1000000000", "x")],
        *[("train", "--fold", value) for value in ("-1", "1000000000000")],
        *[("train", "--seed", value) for value in ("-1", "99999999999")],
        *[("train", "--jobs-per-gpu", value) for value in ("0", "1000")],
        *[("train", "--runtime", value) for value in ("nan", "inf", "-1", "1e300")],
        *[("audit", "--processes", value) for value in ("0", "-1", "1000000")],
        *[("train", "--log", value) for value in ("/dev/full", "pipe", ".", "file/x.log", "x" * 300)],
        *[("estimate", "--cores", value) for value in ("0", "1000000000")],
        *[("estimate", "--gpus", value) for value in ("0", "1000000000")],
    ],
)
def test_an_option_without_sense_is_wrong_usage(tmp_path, monkeypatch, command, option, value):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("file").touch()
    needed = {"train": ["study.json", "--arm", "a"], "audit": ["study.json"]}.get(command, [])
    result = CliRunner().invoke(app, [command, *needed, option, value])
    assert result.exit_code == 2
    assert option in result.output
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


@pytest.mark.parametrize("size", ["0", "-1", "nan", "inf"])
def test_an_extent_without_sense_is_wrong_usage(size):
    result = CliRunner().invoke(app, ["predict", "arm", "image.png", "--extent", "1", size, "1"])
    assert result.exit_code == 2


def test_a_study_json_that_is_none_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("other.json").write_text('{"a": 1}')
    Path("deep.json").write_text("[" * 900 + "]" * 900)
    faults = {
        "pipe": "pipe: is a pipe, device or socket, not a file; make it with `rescan resolve`",
        ".": ".: is a folder, not a file; make it with `rescan resolve`",
        "/dev/zero": "/dev/zero: is a pipe, device or socket, not a file",
        "none.json": "none.json: cannot be read (No such file or directory)",
        "other.json": "other.json: not a resolved study of this version",
        "deep.json": "deep.json: not a resolved study of this version",
        "x" * 300: "cannot be read (File name too long)",
        "a\nb": r"a\nb: cannot be read (No such file or directory)",
    }
    for path, fault in faults.items():
        result = CliRunner().invoke(app, ["split", path])
        assert isinstance(result.exception, RescanError)
        assert fault in str(result.exception)
        assert len(str(result.exception).splitlines()) == 1


def test_a_pipe_is_not_replaced_by_an_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    for words in (["resolve", str(ROOT / "studies/brain_tumor.yaml")], ["init", ".", "--force"]):
        result = CliRunner().invoke(app, [*words, "--out", "pipe"])
        assert str(result.exception) == "pipe: is a folder, or no regular file; give the name of a file to write"
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


def test_weights_that_are_none_are_refused():
    with pytest.raises(RescanError, match=r"^weights 'y': use imagenet or none$"):
        load(ROOT / "studies/brain_tumor.yaml", Settings("demo", weights="y"))


def test_a_fold_that_the_split_lacks_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    resolved = Paths("demo", "brain_tumor").resolved
    write_resolved(load(ROOT / "studies/brain_tumor.yaml", Settings("demo")), resolved)
    with pytest.raises(RescanError, match=r"study\.json: no fold 99: the last one is 0$"):
        read(resolved, "cnn5", fold=99)
    assert read(resolved, "cnn5", fold=0).split.fold_count == 1
