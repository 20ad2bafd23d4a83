from types import SimpleNamespace

import pytest
from snakemake.cli import parse_set_resources

from rescan.errors import RescanError
from rescan.workflow.partitions import Limits, check_partitions, limits

CLUSTER = """printf '%s\\n' 'main*|16|64000|2-01:30:00' 'main*|32|32000|2-01:30:00' 'gpu|8|64000|4:00:00' \\
'gpu|4|256000|4:00:00' 'endless|8|1000|infinite' 'planned|0|0|n/a' 'mixed|16+|64000+|1:00:00' 'mixed|8|32000|1:00:00'"""


@pytest.fixture
def sinfo(tmp_path, monkeypatch):
    """A stand-in for SLURM's command, with these lines."""

    def install(script):
        (tmp_path / "sinfo").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "sinfo").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return install


def settings(default, **of_rules):
    words = [f"{rule}:{word}" for rule, value in of_rules.items() for word in (f"slurm_partition={value}", "runtime=5")]
    return SimpleNamespace(
        default_resources=SimpleNamespace(args=default), overwrite_resources=parse_set_resources(words)
    )


def test_partitions_that_are_there_pass(sinfo):
    sinfo(CLUSTER)
    asked = settings(["mem_mb=1000", "slurm_partition=main"], train="gpu,main", infer="'gpu' if attempt else ''")
    check_partitions(asked, threads=4)


@pytest.mark.parametrize("asked", [settings(["slurm_partition=gpus"]), settings([], train="gpus")])
def test_one_that_is_not_there_is_one_line(sinfo, asked):
    sinfo(CLUSTER)
    with pytest.raises(RescanError, match=r"^slurm_partition: no partition 'gpus'; did you mean 'gpu'[?]$"):
        check_partitions(asked, threads=1)


@pytest.mark.parametrize("script", [None, "echo 'Unable to contact slurm controller' >&2; exit 1"])
def test_no_slurm_is_one_line(sinfo, monkeypatch, script):
    monkeypatch.setenv("PATH", "")
    if script:
        sinfo(script)
    with pytest.raises(RescanError, match=r"^SLURM does not answer \(.+\); run this on a login node"):
        check_partitions(settings(["slurm_partition=main"]), threads=1)


def test_a_partition_without_nodes_is_one_line(sinfo):
    sinfo(CLUSTER)
    with pytest.raises(RescanError, match=r"^slurm_partition: the partition 'planned' has no nodes; choose another"):
        check_partitions(settings(["slurm_partition=main"], train="planned"), threads=1)


def test_more_threads_than_a_node_has_cores_is_one_line(sinfo):
    sinfo(CLUSTER)
    with pytest.raises(RescanError, match=r"^threads: 6, but a node of the cluster has 4 cores; .+ threads=4$"):
        check_partitions(settings(["slurm_partition=gpu,main"]), threads=6)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (settings(["mem_mb=1000"]), Limits(16, 64000, 2 * 24 * 60 + 90)),  # of the default partition
        (settings([], train="gpu"), Limits(4, 256000, 240)),
        (settings(["slurm_partition=main"], train="gpu"), Limits(4, 256000, 240)),
        (settings(["slurm_partition=endless"]), Limits(cores=8, memory_mb=1000)),
        (settings(["slurm_partition=nowhere"]), Limits()),
        (settings(["slurm_partition=planned"]), Limits()),
        (settings(["slurm_partition=mixed"]), Limits(8, 32000, 60)),
    ],
)
def test_limits_are_those_of_the_partitions_that_jobs_go_to(sinfo, asked, expected):
    sinfo(CLUSTER)
    assert limits(asked) == expected


def test_without_slurm_nothing_is_limited(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert limits(settings([])) == Limits()
