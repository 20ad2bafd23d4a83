"""Single steps killed at random moments, and two of a step at once (`tests/kill.py`)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compare_results import COMPARERS, compare_bytes

from rescan.paths import Paths

ROOT = Path(__file__).parent.parent
STUDY = """
title: A small study
data:
  source: {path: nowhere}
  layout: class_folders
  classes: [glioma, notumor]
preparations:
  small: {channels: gray, steps: [{name: crop_brain}, {name: resize, size: [32, 32]}]}
autoencoders:
  own: {preparation: small, encoder: cnn5, epochs: 2, batch_size: 16}
recipe:
  preparation: small
  network: {encoder: cnn5, weights: own, neck: avg}
  normalization: unit
  augmentation: {flip_horizontal: 0.5}
  stages: {main: {epochs: 3, batch_size: 16, optimizer: {name: adam, lr: 1e-3}}}
  keep: {best: loss}
arms: {base: {}}
demo: {data: {phantom: {name: brain_mri, samples: 96, size: 48}}}
"""
P = Paths("demo", "small")
RUN, ARM = P.run("base", 0, 0), P.arm("base")
AUTOENCODER = P.autoencoder("own", 0, 0)
# What an end of it looks like: every step saves its state, and weights are those of a file that is not published.
PROGRAM = """
from rescan.stopping import stoppable
stoppable()
import dataclasses, os
from rescan.catalogue.encoder_record import Weights
from rescan.catalogue.encoders import ENCODERS
if "SHA" in os.environ:
    ENCODERS["resnet18"] = dataclasses.replace(ENCODERS["resnet18"], weights=Weights(f"r-{os.environ['SHA'][:8]}.pth"))
if "SAVES" in os.environ:
    from rescan.training import trainer
    trainer.SAVE_IN_EPOCH_SECONDS = trainer.SAVE_AFTER_EPOCH_SECONDS = 0
from rescan.cli import main
main()
"""
LEFT = re.compile(r"(^|/)(\.[^/]*\.lock|\.progress|\.patients\.key)$")  # may lie there, and differs
NOT_COMPARED = re.compile(
    r"(^|/)(\.snakemake|logs|provenance|tensorboard)/|/ro-crate-metadata\.json$|\.snakemake_timestamp$|^results/index\.html$"
)
TIMES = re.compile(r"\bseconds\b|images_per_second|^checksums\.history\.csv|^seal$")
COMMIT = re.compile(r"^(---|\+\+\+|@@) |commit [0-9a-f]{12}")  # of the checkout, which may have a new one meanwhile
SIGNALS = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
PATIENCE = 600  # seconds, on a busy machine


class Step(NamedTuple):
    """A step: its options, and what is removed of its outputs before it is killed, so that it has something to do."""

    options: tuple[str, ...]
    removed: tuple[str, ...]
    program: tuple[str, ...] = ("-m", "rescan")
    of_study: bool = True


def _steps() -> dict[str, Step]:
    saves, one = ("-c", PROGRAM), ("--device", "cpu", "--threads", "1")
    train = ("--arm", "base", *one)
    return {
        "download": Step((), (P.raw, P.source)),
        "index": Step((), (P.manifest,)),
        "audit": Step(("--processes", "2"), (P.audit,)),
        "split": Step((), (P.splits,)),
        "preprocess": Step(("--preparation", "small", "--processes", "2"), (P.store("small"),)),
        "explore": Step((), (P.explore,)),
        "pretrain": Step(("--autoencoder", "own", *one), (P.autoencoder_state("own", 0, 0), AUTOENCODER), saves),
        "train": Step(train, (P.state("base", 0, 0), RUN.model), saves),
        "infer": Step(train, (RUN.predictions,)),
        "posttrain": Step(("--arm", "base"), (ARM.posttraining,)),
        "evaluate": Step(("--arm", "base"), (ARM.metrics, ARM.figures)),
        "gradcam": Step(train, (ARM.gradcam,)),
        "compare": Step((), (P.comparison, P.comparison_figures)),
        "report": Step((), (P.page, P.tables)),
        "weights": Step(("resnet18",), ("data/weights/resnet18.safetensors",), saves, of_study=False),
    }


STEPS = _steps()


def start(name: str, folder: Path, log: Path) -> subprocess.Popen:
    """Start a step in a session of its own."""
    step = STEPS[name]
    study = [P.resolved] if step.of_study else []
    variables = {"SAVES": "1"} if "train" in name else {"SHA": sha_of_weights(folder)} if name == "weights" else {}
    temporary = folder.with_name("temporary")
    temporary.mkdir(exist_ok=True)
    own = {"PYTHONPATH": f"{ROOT}/src", "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    environment = {**os.environ, **own, **variables}
    command = [sys.executable, *step.program, name, *study, *step.options]
    with log.open("w") as out:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )


def sha_of_weights(folder: Path) -> str:
    return next((folder / "data/weights").glob("r-*.pth")).stem[2:]


def publish_weights(folder: Path) -> None:
    """Put a file of weights where `weights` looks for one that was downloaded by hand."""
    import torch

    torch.manual_seed(0)
    place = folder / "data/weights/new.pth"
    place.parent.mkdir(parents=True)
    torch.save({f"layer{number}.weight": torch.randn(64, 64, 3, 3) for number in range(20)}, place)
    place.rename(place.with_name(f"r-{hashlib.sha256(place.read_bytes()).hexdigest()[:8]}.pth"))


def members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = stat.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(own) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


def end_of(session: int, seconds: float = 15) -> list[str]:
    """Wait until a session has ended; what is left of it is named, and killed."""
    until = time.monotonic() + seconds
    while (left := members(session)) and time.monotonic() < until:
        time.sleep(0.05)
    called = []
    for number in left:
        with contextlib.suppress(OSError):
            called.append(Path(f"/proc/{number}/comm").read_text().strip())
            os.kill(number, signal.SIGKILL)
    # An Apptainer that gets SIGKILL leaves what holds its image open; no job is in it.
    called = [name for name in called if name != "squashfuse_ll"]
    return [f"processes were left: {', '.join(called)}"] if called else []


def measure(whole: Path, names: list[str]) -> dict[str, float]:
    """Write the study, and run steps of it undisturbed, where they will be killed; the seconds of each."""
    work = work_of(whole)
    work.mkdir()
    (work / "small.yaml").write_text(STUDY)
    command = [sys.executable, "-m", "rescan", "resolve", "small.yaml", "--out", P.resolved]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/src"}
    subprocess.run(command, cwd=work, env=environment, check=True, timeout=PATIENCE, capture_output=True)
    if "weights" in names:
        publish_weights(work)
    seconds = run_steps(work, names)
    shutil.copytree(work, whole)
    return seconds


def work_of(whole: Path) -> Path:
    """Where a tree is made, and its copies are worked on: some results hold the place of the study file."""
    return whole.with_name(whole.name.removesuffix("-whole"))


def run_steps(whole: Path, names: list[str]) -> dict[str, float]:
    """Run steps one after the other; the seconds of each."""
    seconds = {}
    for name in names:
        began, log = time.monotonic(), whole.with_name("undisturbed.log")
        code = start(name, whole, log).wait(PATIENCE)
        if code:
            raise SystemExit(f"{name}: {log.read_text()}")
        seconds[name] = time.monotonic() - began
    return seconds


def kill_step(draw: random.Random, name: str, whole: Path, seconds: float) -> tuple[str, list[str]]:
    """Kill a step once, and run it again; how it was killed, and what is wrong then."""
    work, log = copy_without(draw, name, whole), whole.with_name("work.log")
    number, moment = draw.choice(SIGNALS), draw.uniform(0, seconds)
    target = draw.choice(["step", "group", "worker"] if "--processes" in STEPS[name].options else ["step", "group"])
    process = start(name, work, log)
    time.sleep(moment)
    workers = [one for one in members(process.pid) if one != process.pid]
    target = "step" if target == "worker" and not workers else target
    how = f"{name}: {number.name} to the {target} after {moment:.2f} s"
    if target == "worker":
        signal_to(draw.choice(workers), number)
    elif target == "group" and process.poll() is None:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    faults = []
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
        faults.append(f"hangs after it: {log.read_text()}")
    faults += end_of(process.pid)
    text = log.read_text()
    early = code in (-number, 1) and "/rescan/" not in text  # Python itself was still starting
    codes = {0, -number, 128 + number} if target != "worker" else {0, 1}
    if "Traceback" in text and not early:
        faults.append(f"a traceback: {text}")
    elif code not in codes and not early:
        faults.append(f"exit code {code}: {text}")
    elif code == 128 + number and len(re.findall("stopped by", text)) != 1:
        faults.append(f"not one line: {text}")
    again = start(name, work, log)
    if again.wait(PATIENCE):
        faults.append(f"exit code {again.returncode} of the next run: {log.read_text()}")
    faults += end_of(again.pid)
    return f"{how}: exit code {code}", faults + list(differences(whole, work))


def run_twice(draw: random.Random, name: str, whole: Path, seconds: float) -> tuple[str, list[str]]:
    """Start a step twice at once, or the second somewhat later; how, and what is wrong then."""
    work, logs = copy_without(draw, name, whole), [whole.with_name(f"work{number}.log") for number in (1, 2)]
    moment = draw.choice([0, draw.uniform(0, seconds)])
    first = start(name, work, logs[0])
    time.sleep(moment)
    second = start(name, work, logs[1])
    codes = [process.wait(PATIENCE * 3) for process in (first, second)]
    texts = [log.read_text() for log in logs]
    waited = sum("waiting for it" in text for text in texts)
    faults = [f"exit codes {codes}: {texts}"] if any(codes) or "Traceback" in "".join(texts) else []
    faults += [fault for process in (first, second) for fault in end_of(process.pid)]
    return f"{name}: two, {moment:.2f} s apart: {waited} waited", faults + list(differences(whole, work))


def copy_without(draw: random.Random, name: str, whole: Path) -> Path:
    """A copy of the tree, most often without what a step makes."""
    work = work_of(whole)
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(whole, work)
    removes = name in ("download", "pretrain", "train") or draw.random() < 0.7
    for path in map(work.joinpath, STEPS[name].removed if removes else ()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return work


def signal_to(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def files_of(tree: Path) -> set[str]:
    found = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    return {path for path in found if not NOT_COMPARED.search(path) and not LEFT.search(path)}


def differences(whole: Path, work: Path) -> Iterator[str]:
    """In what files two trees differ, but for times."""
    for path in whole.with_name("temporary").glob("*"):
        if not path.name.startswith("torchinductor"):  # a cache of torch
            yield f"{path}: left over"
    before, after = files_of(whole), files_of(work)
    for path in sorted(before ^ after):
        yield f"{path}: {'missing' if path in before else 'left over'}"
    for path in sorted(before & after):
        old, new = whole / path, work / path
        if old.read_bytes() == new.read_bytes():
            continue
        compare = next((function for kind, function in COMPARERS if re.search(kind, f"/{path}")), compare_bytes)
        lines = [line.text for line in compare(old, new) if not TIMES.search(line.text.partition(":")[0])]
        lines = [line for line in lines if not COMMIT.search(line)]
        if lines or not path.endswith((".json", ".csv", ".html")):
            yield f"{path}: {lines[:9] or 'bytes differ'}"
