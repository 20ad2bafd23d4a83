"""`rescan estimate` as a user runs it, and the line behind a dry run."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescan.cli import app
from rescan.errors import RescanError
from rescan.workflow.forecast import card_rates, estimate, plan_of
from rescan.workload.estimate_rows import Machine

pytest.importorskip("snakemake")
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["studies=[brain_tumr]"], "config: studies: no study 'brain_tumr'; did you mean 'brain_tumor'?"),
        (["scales=full"], "config: scales: unknown key; did you mean 'scale'?"),
        (["full"], "config: 'full': give key=value, such as scale=full, as for snakemake --config"),
        (["studies=[a, {"], "config: studies: '[a, {' is no YAML, such as [a, b] or {a: b}"),
    ],
)
def test_a_wrong_setting_is_one_line(words, message, tmp_path):
    with pytest.raises(RescanError) as error:
        plan_of(words, tmp_path)
    assert str(error.value) == message


def test_an_unknown_card_is_one_line_with_those_that_are_known():
    with pytest.raises(RescanError, match="--card: no card 'h1000'; did you mean 'h100'"):
        card_rates("h1000")


def test_an_estimate_has_a_row_per_arm_and_says_what_it_is_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_of(["scale=full", "studies=[brain_tumor, mura]"], tmp_path)
    lines = list(estimate(plan, Machine(card_rates("h100"), cores=8, gpus=1, threads=2)))
    first_words = {line.split()[0] for line in lines if line}
    assert {arm for study in plan.studies.values() for arm in study.arms} <= first_words
    text = "\n".join(lines)
    assert "7,023 samples (as the study file expects)" in text
    assert "40,005 samples (the whole published data set)" in text
    assert "H100 SXM, 80 GB (nominal, not measured" in text
    assert "101 trainings" in text


def test_arms_that_a_card_has_too_little_memory_for_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_of(["scale=full", "studies=[brain_tumor]"], tmp_path)
    rates = {memory: replace(card_rates("t4"), gpu_mb=memory) for memory in (16_000, 8_000)}
    enough, little = ("\n".join(estimate(plan, Machine(own, cores=8, gpus=1, threads=2))) for own in rates.values())
    assert "More memory" not in enough
    assert "More memory than the GPU has: densenet169, resnet152, densenet169_as_run" in little
    assert "mobilenet" not in little.rpartition("More memory")[2]


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_a_dry_run_ends_with_a_line_and_imports_no_torch(tmp_path, quiet):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise SystemExit('torch was imported')")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RESCAN_", "SNAKEMAKE_"))}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "-n", *quiet]
    command += ["--directory", str(tmp_path), "--config", "studies=[brain_tumor]", "device=cpu"]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    last = process.stderr.splitlines()[-1]
    assert last.startswith("About 4 trainings, ")
    assert " on 1 core," in last  # nothing else was said
    assert "nominal rates of a slow machine" in last


def test_the_command_prints_the_table_and_a_fault_in_one_line():
    run = CliRunner().invoke(app, ["estimate", "--config", "scale=full", "studies=[brain_tumor]", "--card", "h100"])
    assert run.exit_code == 0, run.output
    assert "50 trainings" in run.output
    with pytest.raises(RescanError, match="did you mean 'brain_tumor'"):
        CliRunner().invoke(app, ["estimate", "studies=[brain_tumr]"], catch_exceptions=False)
    with pytest.raises(RescanError, match=r"^--card: no job uses a GPU with device=cpu"):
        CliRunner().invoke(app, ["estimate", "device=cpu", "--card", "h100"], catch_exceptions=False)
