from types import SimpleNamespace

import pytest

from rescan.errors import RescanError
from rescan.workflow.partitions import check_partitions


@pytest.fixture
def sinfo(tmp_path, monkeypatch):
    """A stand-in for SLURM's command, with these lines."""

    def install(script):
        (tmp_path / "sinfo").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "sinfo").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return install


def settings(default, **of_rules):
    of_rules = {rule: {"slurm_partition": value, "runtime": 5} for rule, value in of_rules.items()}
    return SimpleNamespace(default_resources=SimpleNamespace(args=default), overwrite_resources=of_rules)


def test_partitions_that_are_there_pass(sinfo):
    sinfo("echo main; echo gpu")
    check_partitions(
        settings(["mem_mb=1000", "slurm_partition=main"], train="gpu,main", infer="'gpu' if attempt else ''")
    )


@pytest.mark.parametrize("asked", [settings(["slurm_partition=gpus"]), settings([], train="gpus")])
def test_one_that_is_not_there_is_one_line(sinfo, asked):
    sinfo("echo main; echo gpu")
    with pytest.raises(RescanError, match=r"^slurm_partition: no partition 'gpus'; did you mean 'gpu'[?]$"):
        check_partitions(asked)


@pytest.mark.parametrize("script", [None, "echo 'Unable to contact slurm controller' >&2; exit 1"])
def test_no_slurm_is_one_line(sinfo, monkeypatch, script):
    monkeypatch.setenv("PATH", "")
    if script:
        sinfo(script)
    with pytest.raises(RescanError, match=r"^SLURM does not answer \(.+\); run this on a login node"):
        check_partitions(settings(["slurm_partition=main"]))


def test_without_a_wish_nothing_is_asked(monkeypatch):
    monkeypatch.setenv("PATH", "")
    check_partitions(settings(["mem_mb=1000"]))
