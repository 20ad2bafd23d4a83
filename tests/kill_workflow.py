"""Snakemake killed at random moments (`tests/kill.py`): with its jobs left alive, or all of them together."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from kill_steps import ARM, AUTOENCODER, PATIENCE, ROOT, RUN, STEPS, STUDY, P, differences, end_of, members, work_of

LONGEST = 3600.0  # seconds of a rule
KINDS = (  # the signal, and whether the jobs get it, too
    (signal.SIGKILL, False),
    (signal.SIGKILL, True),
    (signal.SIGTERM, False),
    (signal.SIGINT, True),
)
TARGETS = {
    "download": P.source,
    "index": P.manifest,
    "audit": P.audit,
    "split": P.splits,
    "preprocess": P.store("small").images,
    "explore": P.explore,
    "pretrain": AUTOENCODER.encoder,
    "train": RUN.model,
    "infer": RUN.predictions,
    "posttrain": ARM.posttraining,
    "evaluate": ARM.metrics,
    "gradcam": ARM.gradcam,
    "compare": P.comparison,
    "report": P.page,
}


def start(folder: Path, log: Path, image: str | None, *arguments: str) -> subprocess.Popen:
    """Start Snakemake in a session of its own, in a folder with the study."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", f"{ROOT}/Snakefile", "--directory", str(folder)]
    command += ["--workflow-profile", f"{ROOT}/profiles/default", "--cores", "2", *arguments]
    command += ["--use-singularity"] * (image is not None)
    command += ["--config", f"studies=[{folder / 'small.yaml'}]", "device=cpu", "threads=1"]
    command += [f"image={image}"] * (image is not None)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RESCAN_", "SNAKEMAKE_"))}
    environment["OMP_NUM_THREADS"] = "1"
    with log.open("w") as out:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )


def run_undisturbed(whole: Path, image: str | None) -> dict[str, float]:
    """Run the whole workflow; the seconds of each rule with Snakemake's start."""
    folder = work_of(whole)
    folder.mkdir()
    (folder / "small.yaml").write_text(STUDY)
    log, seconds = folder.with_name("flow.log"), {}
    for name, target in TARGETS.items():
        began = time.monotonic()
        if start(folder, log, image, target).wait(LONGEST):
            raise SystemExit(log.read_text())
        seconds[name] = time.monotonic() - began
    shutil.copytree(folder, whole)
    return seconds


def trainers(folder: Path) -> int:
    """How many processes are training in a folder: they have its records open."""
    count = 0
    for process in Path("/proc").glob("[0-9]*/fd"):
        try:
            files = [str(file.readlink()) for file in process.iterdir()]
        except OSError:
            continue
        count += any(file.startswith(str(folder)) and "/tensorboard/events" in file for file in files)
    return count


def kill_workflow(
    draw: random.Random, whole: Path, seconds: dict[str, float], image: str | None
) -> tuple[str, list[str]]:
    """Kill Snakemake once while it makes one or two steps' outputs, and run it again; how, and what is wrong then."""
    work, log = work_of(whole), whole.with_name("flow.log")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(whole, work)
    names = list(TARGETS)
    place = draw.randrange(len(names))
    made = names[max(0, place - draw.randrange(2)) : place + 1]
    for name in made:
        for path in map(work.joinpath, (TARGETS[name], *STEPS[name].removed)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    (number, of_all), moment = draw.choice(KINDS), draw.uniform(1, seconds[names[place]])
    targets = [TARGETS[name] for name in made]
    process = start(work, log, image, *targets)
    time.sleep(moment)
    if of_all and process.poll() is None:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    code, faults = process.wait(LONGEST), []
    jobs = len(members(process.pid))
    how = f"Snakemake: {number.name} to {'all' if of_all else 'it'} at {names[place]} after {moment:.1f} s"
    how += f": exit code {code}, {jobs} processes left alive"
    if code not in (-signal.SIGKILL, 0) and "Traceback" in log.read_text() and "/src/rescan/" in log.read_text():
        faults.append(f"a traceback: {log.read_text()}")
    again = run_again(work, log, image, targets, faults)
    if again.returncode and "unlock" in log.read_text().lower():
        how += ", unlocked"
        start(work, log, image, "--unlock").wait(PATIENCE)
        again = run_again(work, log, image, targets, faults)
    if again.returncode:
        faults.append(f"exit code {again.returncode} of the next run: {log.read_text()}")
    faults += end_of(process.pid, 60) + end_of(again.pid)
    return how, faults + list(differences(whole, work))


def run_again(work: Path, log: Path, image: str | None, targets: list[str], faults: list[str]) -> subprocess.Popen:
    """Run Snakemake to its end; two trainings of a run at once are a fault."""
    process, most = start(work, log, image, *targets), 0
    while process.poll() is None:
        most = max(most, trainers(work))
        time.sleep(0.3)
    faults += [f"{most} trainers at once"] * (most > 1)
    return process
