"""The command line: exit codes, one line per fault, every rule's help."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescan.cli import app

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
