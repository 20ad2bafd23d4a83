"""What jobs ask for, here and on a cluster, on the shipped studies."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rescan.errors import RescanError
from rescan.workflow.partitions import Limits
from rescan.workflow.plan import Plan
from rescan.workflow.resources import LONGEST, SHORTEST_TRAINING, SIZES, JobResources

ROOT = Path(__file__).parent.parent.parent
RESOURCES = {"default_resources": SimpleNamespace(args=[]), "overwrite_resources": {}}
HERE = SimpleNamespace(resource_settings=SimpleNamespace(cores=6), local_exec=True, remote_exec=False)
CLUSTER = SimpleNamespace(
    resource_settings=SimpleNamespace(cores=None, **RESOURCES), local_exec=False, remote_exec=False
)
NODE = SimpleNamespace(resource_settings=SimpleNamespace(cores=64, **RESOURCES), local_exec=True, remote_exec=True)


@pytest.fixture(autouse=True)
def limits(tmp_path, monkeypatch):
    """The nodes' limits, which a test may set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SIZES, "{}")
    own = {"limits": Limits()}
    monkeypatch.setattr("rescan.workflow.resources.limits", lambda _: own["limits"])
    return own


def resources(workflow, **config):
    settings = {"scale": "full", "studies": ["brain_tumor"], "device": "cuda", **config}
    return JobResources(Plan(settings, ROOT, Path.cwd()), workflow)


def job(**wildcards):
    return SimpleNamespace(study="brain_tumor", **wildcards)


def test_here_a_light_step_takes_all_cores_and_no_job_has_a_time_limit():
    ask = resources(HERE)
    assert ask.processes("audit")(job()) == 6
    assert ask.minutes("train")(job(arm="vgg19", fold="0", seed="0"), threads=2, attempt=1) == 0


def test_no_core_is_refused_as_no_job_would_ever_run():
    for workflow in (HERE, CLUSTER, NODE):
        resources(workflow).check_cores()
    none = SimpleNamespace(resource_settings=SimpleNamespace(cores=0), local_exec=True, remote_exec=False)
    with pytest.raises(RescanError, match=r"^--cores 0: .* give 1 or more"):
        resources(none).check_cores()


def test_on_a_cluster_a_light_step_takes_a_few_cores_and_every_job_has_a_time_limit():
    ask = resources(CLUSTER)
    assert ask.processes("audit")(job()) == 8
    assert resources(CLUSTER, scale="demo").processes("audit")(job()) == 1
    assert 0 < ask.minutes("split")(job(), threads=1, attempt=1) < SHORTEST_TRAINING
    assert SHORTEST_TRAINING < ask.minutes("train")(job(arm="vgg19"), threads=2, attempt=1) <= LONGEST


def test_a_retry_asks_for_more_time_and_memory():
    ask, of = resources(CLUSTER, scale="demo"), job(arm="cnn5")
    assert [ask.minutes("train")(of, threads=1, attempt=n) for n in (1, 2)] == [
        SHORTEST_TRAINING,
        2 * SHORTEST_TRAINING,
    ]
    first, second = (ask.memory("train")(of, threads=1, attempt=n) for n in (1, 2))
    assert second == pytest.approx(2 * first, abs=1)


def test_no_job_asks_for_more_than_the_nodes_have(limits):
    """It would stay in the queue for ever; only what the first attempt needs is asked for all the same."""
    free, of = resources(CLUSTER), job(arm="vgg19", fold="0", seed="0")
    first, third = (free.memory("train")(of, threads=1, attempt=n) for n in (1, 3))
    limits["limits"] = Limits(cores=3, memory_mb=2 * first, minutes=45)
    tight = resources(CLUSTER)
    assert tight.processes("audit")(job()) == 3
    assert tight.minutes("train")(of, threads=1, attempt=1) == 45 < free.minutes("train")(of, threads=1, attempt=1)
    assert [tight.memory("train")(of, threads=1, attempt=n) for n in (1, 3)] == [first, 2 * first]
    assert 2 * first < third
    limits["limits"] = Limits(memory_mb=first // 2)
    assert resources(CLUSTER).memory("train")(of, threads=1, attempt=3) == first
    assert resources(HERE).processes("audit")(job()) == 6


def test_only_jobs_of_networks_ask_for_a_gpu_and_none_if_the_device_is_the_cpu():
    assert resources(CLUSTER).of("train")["gpu"] == 1
    assert resources(CLUSTER, device="cpu").of("train")["gpu"] == 0
    assert "gpu" not in resources(CLUSTER).of("evaluate")


def test_memory_grows_with_the_processes_and_on_a_cpu_with_the_network():
    ask = resources(CLUSTER)
    one, four = (ask.memory("preprocess")(job(preparation="brain256"), threads=n, attempt=1) for n in (1, 4))
    assert four - one == pytest.approx((one - 1000) * 3, rel=0.01)
    on_cpu = resources(CLUSTER, device="cpu").memory("train")
    small, large = (on_cpu(job(arm=arm), threads=1, attempt=1) for arm in ("mobilenet_v3_large", "vgg19"))
    assert small < large


def test_a_job_on_a_node_has_the_limits_that_it_was_submitted_with():
    """When it was submitted, the data had not been counted yet; on the node they are."""
    of = job(arm="vgg19", fold="0", seed="0")
    submitted = resources(CLUSTER).minutes("train")(of, threads=2, attempt=1)
    source = Path("data/full/brain_tumor/source.json")
    source.parent.mkdir(parents=True)
    counts = '{"train": {"glioma": 10}, "test": {"glioma": 10}}'
    source.write_text(
        f'{{"kind": "path", "from": "x", "root": "x", "classes": {counts}, "files": 20, "bytes": 20, "checksum": "x",'
        ' "differs": [], "unlabeled": 0, "extra": {}}'
    )
    assert resources(NODE).minutes("train")(of, threads=2, attempt=1) == submitted
    assert resources(CLUSTER).minutes("train")(of, threads=2, attempt=1) < submitted


@pytest.mark.parametrize("study", ["aptos2019", "octa500", "mura", "brain_tumor"])
@pytest.mark.parametrize("scale", ["demo", "full"])
def test_every_job_of_the_shipped_studies_has_resources(study, scale):
    ask = resources(CLUSTER, studies=[study], scale=scale)
    for arm, recipe in ask.plan.studies[study].arms.items():
        rules = ["infer", "gradcam", "train"] if recipe.trains else ["ensemble"] if recipe.ensemble else ["infer"]
        for rule in (*rules, "posttrain", "evaluate"):
            name = "ensemble" if rule == "ensemble" else "arm"
            amounts = ask.of(rule)
            of = SimpleNamespace(study=study, **{name: arm})
            assert 10 <= amounts["runtime"](of, threads=1, attempt=1) <= LONGEST
            assert 500 <= amounts["mem_mb"](of, threads=1, attempt=1) < 100_000
            assert amounts["disk_mb"](of) >= 100
    assert ask.minutes("report")(SimpleNamespace(study=study), threads=1, attempt=1) == 10
