"""The workflow as a user runs it: a small study on phantoms, in a folder of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("snakemake")
ROOT = Path(__file__).parent.parent.parent
STUDY = """
title: A small study
data:
  source: {path: nowhere}
  layout: class_folders
  classes: [glioma, meningioma, notumor, pituitary]
split: {group_by: [near_duplicate]}
preparations:
  small: {steps: [{name: crop_brain}, {name: resize, size: [32, 32]}]}
recipe:
  preparation: small
  network: {encoder: resnet18, weights: none}
  augmentation: {flip_horizontal: 0.5}
  stages: {main: {epochs: 2, batch_size: 16, optimizer: {name: adam, lr: 1e-3}}}
arms:
  base: {}
gradcam: {images_a_class: 1}
demo: {data: {phantom: {name: brain_mri, samples: 120, size: 64}}}
"""


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the workflow with the study of `folder`, in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--cores", "2", *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RESCAN_", "SNAKEMAKE_"))}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)


def configured(folder: Path, *settings: str) -> tuple[str, ...]:
    return ("--config", f"studies=[{folder / 'small.yaml'}]", "device=cpu", "threads=1", *settings)


def planned(folder: Path, *settings: str) -> list[str]:
    """The rules that a dry run would run, sorted, once per job."""
    process = snakemake(folder, "--dry-run", "--quiet", "rules", *configured(folder, *settings))
    assert process.returncode == 0, process.stderr
    text = process.stdout + process.stderr
    counts = dict(re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE))
    return sorted(rule for rule, count in counts.items() if rule not in ("total", "all") for _ in range(int(count)))


def finish(folder: Path, study: str) -> Path:
    """Write a study into `folder`, run the workflow there to its end, and return the folder."""
    (folder / "small.yaml").write_text(study)
    process = snakemake(folder, *configured(folder))
    assert process.returncode == 0, process.stderr
    return folder


def states(folder: Path) -> dict[str, str]:
    """How far each study is, as the page of all says."""
    page = (folder / "results/index.html").read_text("utf-8")
    return dict(re.findall(r'<span class="aside">(\w+)</span></th>.*<td data-label="State">(.*)</td>', page))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return finish(tmp_path_factory.mktemp("finished"), STUDY)


def test_the_whole_study_ends_in_one_page(finished):
    page = finished / "results/demo/small/index.html"
    assert "A small study" in page.read_text()
    assert states(finished) == {"small": "done"}
    metrics = json.loads((finished / "results/demo/small/base/metrics.json").read_text())
    score = metrics["parts"]["test"]["image"]["metrics"]["accuracy"]
    assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1


def test_a_finished_study_has_nothing_to_do(finished):
    assert planned(finished) == []


def test_times_of_the_future_or_of_whole_seconds_rerun_nothing(tmp_path, finished):
    """A clock was an hour ahead, and the file system knows every second second only."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    for path in [*(folder / "results").rglob("*"), *(folder / "data").rglob("*")]:
        changed = path.stat().st_mtime // 2 * 2 + 3600
        os.utime(path, (changed, changed))
    assert planned(folder, f"studies=[{finished / 'small.yaml'}]") == []


def test_a_new_title_retrains_nothing(finished):
    file = finished / "small.yaml"
    try:
        file.write_text(STUDY.replace("A small study", "Another title"))
        assert planned(finished) == ["report"]
    finally:
        file.write_text(STUDY)


def test_a_new_arm_trains_only_itself(finished):
    file = finished / "small.yaml"
    try:
        file.write_text(STUDY.replace("  base: {}\n", "  base: {}\n  unit: {normalization: unit}\n"))
        rules = planned(finished)
    finally:
        file.write_text(STUDY)
    assert rules == ["compare", "evaluate", "gradcam", "infer", "posttrain", "report", "train"]


def test_a_new_recipe_retrains_its_arm_on_the_same_store(finished):
    file = finished / "small.yaml"
    try:
        file.write_text(STUDY.replace("epochs: 2", "epochs: 3"))
        rules = planned(finished)
    finally:
        file.write_text(STUDY)
    assert "train" in rules
    assert not {"preprocess", "split", "audit", "download"} & set(rules)


def test_device_and_threads_cause_no_rerun(finished):
    assert planned(finished, "jobs_per_gpu=2", "threads=2", "device=auto") == []


def test_further_seeds_train_only_further_runs(finished):
    rules = planned(finished, "seeds=[0,1]")
    assert rules.count("train") == 1
    assert "split" not in rules


def test_one_failed_arm_does_not_cost_the_rest(tmp_path, finished):
    """A file lies where one arm's state should; another's loss becomes infinite, which is a result."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / "results/demo/.state/small/broken").touch()
    diverging = "{optimizer: {name: adamw, lr: 1000, weight_decay: 1000}}"  # weights grow a millionfold at each step
    arms = f"  base: {{}}\n  broken: {{normalization: unit}}\n  unit: {{stages: {{main: {diverging}}}}}\n"
    (folder / "small.yaml").write_text(STUDY.replace("  base: {}\n", arms))
    failed = snakemake(folder, "--keep-going", *configured(folder))
    assert failed.returncode != 0
    assert "partial=true" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert states(folder) == {"small": "failed; the page is older"}
    assert (folder / "results/demo/small/unit/metrics.json").exists()
    partial = snakemake(folder, *configured(folder, "partial=true"))
    assert partial.returncode == 0, partial.stderr
    page = (folder / "results/demo/small/index.html").read_text()
    assert "Arm: unit" in page
    assert "not run" in page
    assert "broken" in page
    assert "diverged in 1 of 1 runs" in page
    assert states(folder) == {"small": "partly run: 2 of 3 arms"}


def test_a_failed_training_leaves_nothing_stale(tmp_path, finished):
    """Snakemake deletes what the failed job made before; what was made of that must not stay on the page."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "results/demo/.state/small/base")
    (folder / "results/demo/.state/small/base").touch()
    (folder / "small.yaml").write_text(STUDY.replace("lr: 1e-3", "lr: 1e-2"))
    assert snakemake(folder, *configured(folder)).returncode != 0
    assert {"train", "infer", "evaluate", "report"} <= set(planned(folder))
    partial = snakemake(folder, *configured(folder, "partial=true"))
    assert partial.returncode == 0, partial.stderr
    assert "Arm: base" in (page := (folder / "results/demo/small/index.html").read_text())
    assert "Not run." in page


def test_a_changed_or_bad_source_is_looked_at_again(tmp_path, finished):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    local = tmp_path / "local"
    shutil.copytree(folder / "data/demo/small/raw", local)
    source = f"sources={{small: {local}}}"
    assert "download" in planned(folder, source)
    process = snakemake(folder, "data/demo/small/source.json", *configured(folder, source))
    assert process.returncode == 0, process.stderr
    assert "download" not in planned(folder, source)
    shutil.rmtree(local / "Training" / "glioma")
    assert "download" in planned(folder, source)
    failed = snakemake(folder, *configured(folder, source))
    assert failed.returncode != 0
    assert "Traceback" not in failed.stdout + failed.stderr
    assert "glioma" in failed.stderr
    assert "download" in planned(folder, source)


def test_wrong_settings_are_reported_before_the_first_job(tmp_path):
    """Which are found, and what is said of them: `test_config.py`."""
    process = snakemake(tmp_path, "--dry-run", "--config", "scale=ful", "devise=cpu")
    assert process.returncode == 1
    said = process.stdout + process.stderr
    assert "config: scale: input should be 'demo', 'small' or 'full', not 'ful'" in said
    assert "config: devise: unknown key; did you mean 'device'?" in said
    assert "Traceback" not in said
    assert list(tmp_path.glob("results")) == []


def test_an_image_that_is_not_there_is_reported_before_the_first_job(tmp_path):
    process = snakemake(tmp_path, "--dry-run", "--use-singularity", "--config", "image=current")
    assert process.returncode == 1
    assert "run `make image FLAVOR=current`" in process.stdout + process.stderr
