"""Every step on full disks of every size: one line, exit code 1, nothing half-written, nothing lost, a rerun completes.

    python -m tests.full_disk [step …]        a real disk in memory (tmpfs), as root or in a user's own namespace
    python -m tests.full_disk --files [step …]   no file may be larger than … (ulimit -f), as anybody

Each step runs on small phantoms in a folder where its results of before lie, a byte longer than the new ones, so that
they can be told apart. Sizes grow by half from 8 KB until the step ends; then those just below are tried.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import filecmp
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2

SMALLEST, GROWTH = 8192, 1.5  # bytes
ROOM = 1 << 30
SECONDS = 300  # that a step may take
CLOCK = re.compile(rb'("(seconds|images_per_second)": [\d.e+-]+|\b\d\d:\d\d:\d\d\b)')
HIDDEN_STATES = re.compile(r"(^|/)(\.state|tensorboard|logs)/|\.lock$|/lock$|(^|/)\.progress$|\.patients\.key$")
FLAT = """
title: Flat
data: {source: {path: /nowhere}, layout: class_folders, classes: [glioma, meningioma, notumor, pituitary]}
split: {group_by: [near_duplicate], seeds: [0, 1]}
preparations:
  small: {steps: [{name: resize, size: [32, 32]}]}
recipe:
  preparation: small
  network: {encoder: cnn5, weights: none}
  stages: {main: {epochs: 1, batch_size: 16, optimizer: {name: adam, lr: 1e-3}}}
arms:
  plain: {}
  flipped: {augmentation: {flip_horizontal: 0.5}}
  both: {ensemble: {members: [plain, flipped]}}
demo: {data: {phantom: {name: brain_mri, samples: 80, size: 48}}}
"""
DEEP = """
title: Deep
data: {source: {path: /nowhere}, layout: octa500, classes: [healthy, diseased], labels: LABELS}
split: {test: 0.3, validation: 0.25, group_by: [patient]}
preparations:
  small: {reads: volume, channels: gray, steps: [{name: resize_volume, size: [32, 32, 32]}, {name: clip_percentiles}]}
autoencoders:
  own: {preparation: small, encoder: cnn5_3d, epochs: 1, batch_size: 4}
recipe:
  preparation: small
  network: {encoder: cnn5_3d, weights: own}
  normalization: unit
  stages: {main: {epochs: 1, batch_size: 4, optimizer: {name: adam, lr: 1e-3}}}
arms: {plain: {}}
demo: {data: {phantom: {name: octa, samples: 40, size: [32, 24, 24]}}}
"""


class Step(NamedTuple):
    """A step to run.

    Attributes:
        name: What it is called here.
        words: Of its command line.
        outputs: What it writes: files and folders.
        removed: What must not be there for it to have something to do.
        prepare: Changes the process before the step begins.
    """

    name: str
    words: str
    outputs: str
    removed: str = ""
    prepare: Callable[[], None] = lambda: None


def _unforeseen() -> None:
    """The disk seems to have room."""
    usage = shutil.disk_usage(".")
    shutil.disk_usage = lambda _: usage._replace(free=1 << 40)  # type: ignore[assignment]


def _fake_weights() -> None:
    """A published file that lies there, and is taken for the pinned one."""
    import numpy as np

    from rescan.catalogue import ENCODERS
    from rescan.data.sources import weights

    arrays = {f"layer{number}.weight": np.full((64, 32, 3, 3), number, np.float32) for number in range(8)}
    weights.sha256 = lambda _: ENCODERS["resnet18"].weights.checksum  # type: ignore[union-attr]
    weights.read_pth = lambda _: arrays


R, D = "results/demo", "data/demo"
RUN = "fold0_seed0"
F, P = f"{R}/flat", f"{R}/deep"
STEPS = (
    Step("resolve", f"resolve flat.yaml --out {F}/study.json", f"{F}/study.json"),
    Step("download", f"download {F}/study.json", f"{D}/flat/source.json {D}/flat/raw", f"{D}/flat/raw/.made_from"),
    Step("index", f"index {F}/study.json", f"{F}/manifest.csv {F}/dropped.json"),
    Step("audit", f"audit {F}/study.json --processes 2", f"{F}/audit.json {F}/groups.csv"),
    Step("split", f"split {F}/study.json", f"{F}/splits.csv"),
    Step("preprocess", f"preprocess {F}/study.json --preparation small --processes 2", f"{D}/flat/small"),
    Step(
        "preprocess-unforeseen",
        f"preprocess {F}/study.json --preparation small --processes 2",
        f"{D}/flat/small",
        prepare=_unforeseen,
    ),
    Step("explore", f"explore {F}/study.json", f"{F}/explore"),
    Step("train", f"train {F}/study.json --arm plain", f"{F}/plain/{RUN}", f"{R}/.state/flat/plain/{RUN}"),
    Step("infer", f"infer {F}/study.json --arm plain", f"{F}/plain/{RUN}"),
    Step("ensemble", f"ensemble {F}/study.json --arm both", f"{F}/both/{RUN}"),
    Step("posttrain", f"posttrain {F}/study.json --arm plain", f"{F}/plain/posttraining.json"),
    Step("evaluate", f"evaluate {F}/study.json --arm plain", f"{F}/plain/metrics.json {F}/plain/figures"),
    Step("gradcam", f"gradcam {F}/study.json --arm plain", f"{F}/plain/gradcam"),
    Step("compare", f"compare {F}/study.json", f"{F}/comparison.csv {F}/comparison_figures"),
    Step("report", f"report {F}/study.json", f"{F}/index.html {F}/card.json {F}/tables {R}/../index.html"),
    Step("predict", f"predict {F}/plain {D}/flat/raw/Testing/glioma --out new.csv --gradcam maps", "new.csv maps"),
    Step("evaluate-on", f"evaluate-on {F}/plain --table t.csv --out new.json", "new.json new_predictions.csv"),
    Step("init", f"init {D}/flat/raw/Testing --out mine.yaml --force", "mine.yaml"),
    Step("weights", "weights resnet18", "data/weights/resnet18.safetensors", prepare=_fake_weights),
    Step("deep-resolve", f"resolve deep.yaml --out {P}/study.json", f"{P}/study.json"),
    Step("deep-download", f"download {P}/study.json", f"{D}/deep/source.json {D}/deep/raw", f"{D}/deep/raw/.made_from"),
    Step("deep-index", f"index {P}/study.json", f"{P}/manifest.csv {P}/dropped.json"),
    Step("deep-audit", f"audit {P}/study.json", f"{P}/audit.json {P}/groups.csv"),
    Step("deep-split", f"split {P}/study.json", f"{P}/splits.csv"),
    Step("deep-preprocess", f"preprocess {P}/study.json --preparation small", f"{D}/deep/small", prepare=_unforeseen),
    Step("export", f"export {P}/study.json --preparation small --out nifti", "nifti"),
    Step(
        "pretrain",
        f"pretrain {P}/study.json --autoencoder own",
        f"{P}/autoencoders/own/{RUN}",
        f"{R}/.state/deep/autoencoders/own/{RUN}",
    ),
    Step("deep-train", f"train {P}/study.json --arm plain", f"{P}/plain/{RUN}", f"{R}/.state/deep/plain/{RUN}"),
    Step("deep-infer", f"infer {P}/study.json --arm plain", f"{P}/plain/{RUN}"),
    Step("deep-posttrain", f"posttrain {P}/study.json --arm plain", f"{P}/plain/posttraining.json"),
    Step("deep-evaluate", f"evaluate {P}/study.json --arm plain", f"{P}/plain/metrics.json {P}/plain/figures"),
    Step("deep-gradcam", f"gradcam {P}/study.json --arm plain", f"{P}/plain/gradcam"),
)
# What only prepares others: run once, not tried.
BETWEEN = (
    *(
        Step("", f"train {F}/study.json --arm {arm} --seed {seed}", "")
        for arm in ("plain", "flipped")
        for seed in (0, 1)
    ),
    *(
        Step("", f"infer {F}/study.json --arm {arm} --seed {seed}", "")
        for arm in ("plain", "flipped")
        for seed in (0, 1)
    ),
    Step("", f"ensemble {F}/study.json --arm both --seed 1", ""),
    *(Step("", f"{step} {F}/study.json --arm {arm}", "") for arm in ("flipped",) for step in ("posttrain", "evaluate")),
)


def run(step: Step, folder: Path, limit: Callable[[], None] = lambda: None, log: str = "logs/x.log") -> tuple[int, str]:
    """Run a step in a child of this process, which has imported what takes long; its exit code and what it said."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            os.chdir(folder)
            words = step.words.split()
            logged = [] if words[0] in ("export", "init") else ["--log", log]
            sys.argv = ["rescan", *words, *logged]
            code = 99
            try:
                from rescan.cli import main

                step.prepare()
                limit()
                main()
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 98
            finally:
                os._exit(code)
        for _ in range(SECONDS * 50):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            time.sleep(0.02)
        else:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read().decode(errors="replace")


def make(folder: Path) -> None:
    """Run everything once, in a folder."""
    from rescan.catalogue import ENCODERS

    labels = (
        "{NORMAL: healthy, DR: diseased, AMD: diseased, CNV: diseased, CSC: diseased, RVO: diseased, OTHERS: diseased}"
    )
    (folder / "flat.yaml").write_text(FLAT)
    (folder / "deep.yaml").write_text(DEEP.replace("LABELS", labels))
    pth = folder / "data/weights" / ENCODERS["resnet18"].weights.file  # type: ignore[union-attr]
    pth.parent.mkdir(parents=True)
    pth.touch()
    for step in STEPS:
        if step.name == "evaluate-on":
            images = sorted(folder.glob(f"{D}/flat/raw/Testing/*/*"))
            lines = [f"{image.relative_to(folder)},{image.parent.name}" for image in images]
            (folder / "t.csv").write_text("\n".join(["path,label", *lines]) + "\n")
        if step.name == "infer":
            for between in BETWEEN[:8]:
                _must(between, folder)
        _must(step, folder)
        if step.name == "evaluate":
            for between in BETWEEN[8:]:
                _must(between, folder)
    _must(next(step for step in STEPS if step.name == "report"), folder)  # of all studies


def _must(step: Step, folder: Path) -> None:
    code, said = run(step, folder)
    if code:
        raise SystemExit(f"{step.words}: exit code {code}\n{said}")


def files(folder: Path) -> dict[str, Path]:
    """The files below a folder by their relative path, without locks, logs and trainings' states."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    return {name: path for name, path in paths.items() if not HIDDEN_STATES.search(name)}


def differences(one: dict[str, Path], other: dict[str, Path]) -> list[str]:
    """What differs between two trees, but for the clock."""
    found = [f"{name} is {'gone' if name in one else 'left'}" for name in sorted(set(one) ^ set(other))]
    for name in sorted(set(one) & set(other)):
        if filecmp.cmp(one[name], other[name], shallow=False):
            continue
        if name.endswith(("history.csv", ".json", ".html", ".png")) and _same(one[name], other[name]):
            continue
        found.append(f"{name} differs")
    return found


def _same(one: Path, other: Path) -> bool:
    """Whether two files are the same but for times, and for the last bit of some pixels of a figure."""
    if one.suffix == ".png":
        pictures = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (one, other)]
        if any(picture is None for picture in pictures) or pictures[0].shape != pictures[1].shape:
            return False
        return int(cv2.absdiff(*pictures).max()) <= 2
    if one.suffix == ".csv":
        rows = [[line.split(",") for line in path.read_text().splitlines()] for path in (one, other)]
        kept = [place for place, name in enumerate(rows[0][0]) if name not in ("seconds", "images_per_second")]
        first, second = ([[row[place] for place in kept if place < len(row)] for row in table] for table in rows)
        return first == second
    return CLOCK.sub(b"", one.read_bytes()) == CLOCK.sub(b"", other.read_bytes())


class Trial(NamedTuple):
    """What came of a step in some room."""

    code: int
    faults: list[str]
    line: str


class Rehearsal:
    """A step tried in many sizes."""

    def __init__(self, step: Step, whole: Path, folder: Path, mode: str, growth: float) -> None:
        """Take the step, a folder in which all steps ran, and one to work in."""
        self.step, self.whole, self.folder, self.mode, self.growth = step, whole, folder, mode, growth
        self.outputs = [os.path.normpath(output) for output in step.outputs.split()]

    def owned(self, tree: dict[str, Path]) -> dict[str, Path]:
        """Those of the files that the step writes."""
        return {
            name: path
            for name, path in tree.items()
            if any(name == output or name.startswith(f"{output}/") for output in self.outputs)
        }

    def start(self) -> None:
        """Put the folder as it was, and make what the step writes older: its files longer by a byte."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.whole, self.folder, dirs_exist_ok=True, symlinks=True)
        if self.step.name.endswith(("train", "infer")):  # these share a folder with what they or others read
            names = (
                ("model", "encoder")
                if self.step.name.endswith("train")
                else ("predictions", "vectors", "training_range")
            )
            changed = {n: p for n, p in self.owned(files(self.folder)).items() if Path(n).stem in names}
        else:
            changed = self.owned(files(self.folder))
        for path in changed.values():
            content = path.read_bytes()
            path.unlink()  # it may have links
            path.write_bytes(content + b"\n")
        for removed in self.step.removed.split():
            shutil.rmtree(self.folder / removed, ignore_errors=True)
            (self.folder / removed).unlink(missing_ok=True)
            if removed.endswith(".made_from"):
                (self.folder / removed).write_text("an older one")

    def trial(self, room: int) -> Trial:
        """Run the step with some room; and if it failed, again with enough."""
        self.start()
        before = {name: path.read_bytes() for name, path in files(self.folder).items()}
        if self.mode == "files":
            code, said = run(self.step, self.folder, lambda: _limit_files(room))
        else:
            with _Resized(self.folder, room):
                code, said = run(self.step, self.folder)
        faults, after = [], files(self.folder)
        lines = [line for line in said.splitlines() if " ERROR " in line or not re.match(r"\d\d:\d\d:\d\d ", line)]
        if code == 0:
            faults += differences(files(self.whole), after)
            if any(" ERROR " in line for line in lines):
                faults.append("says an error")
        else:
            if code != 1:
                faults.append(f"exit code {code}")
            if len(lines) != 1 or ("space left" not in lines[0] and "larger than a file" not in lines[0]):
                faults.append("says: " + " / ".join(lines)[-600:])
            faults += [f"{name} is left" for name in after if name not in before]
            faults += [f"{name} is gone" for name in before if name not in after]
            changed = [name for name in before if name in after and after[name].read_bytes() != before[name]]
            faults += [f"{name} is changed" for name in changed]
            code_again, said_again = run(self.step, self.folder)
            if code_again:
                faults.append(f"with room: exit code {code_again}: {said_again[-300:]}")
            else:
                faults += [f"with room: {text}" for text in differences(files(self.whole), files(self.folder))]
        return Trial(code, faults, lines[0] if lines else "")

    def _disk(self, room: int) -> _Resized:
        return _Resized(self.folder, room)

    def trials(self) -> Iterator[tuple[int, Trial]]:
        """Yield sizes and what came of them."""
        room, failed, worked = float(SMALLEST), 0, 0
        while not worked:
            trial = self.trial(int(room))
            yield int(room), trial
            failed, worked = (failed, int(room)) if trial.code == 0 else (int(room), 0)
            room *= self.growth
            if room > ROOM:
                return
        for _ in range(4):  # around the size that is needed
            middle = (failed + worked) // 2
            if worked - failed <= 4096:
                return
            trial = self.trial(middle)
            yield middle, trial
            failed, worked = (failed, middle) if trial.code == 0 else (middle, worked)


class _Resized:
    """A tmpfs with some room, and much behind the block."""

    def __init__(self, folder: Path, room: int) -> None:
        self.folder, self.room = folder, room

    def __enter__(self) -> None:
        usage = shutil.disk_usage(self.folder)
        _mount(self.folder, usage.used + self.room, "remount,")

    def __exit__(self, *_: object) -> None:
        _mount(self.folder, ROOM, "remount,")


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _mount(folder: Path, size: int, how: str = "") -> None:
    options = ["-o", f"{how}size={size}"]
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], check=True, capture_output=True)


def _in_namespace() -> None:
    """Start this again where it may mount; say so where that cannot be."""
    if os.environ.get("RESCAN_OWN_MOUNTS"):
        return
    for options in (["-m"], ["-rm"]):
        if (
            subprocess.run(
                ["unshare", *options, "mount", "-t", "tmpfs", "x", "/mnt"], check=False, capture_output=True
            ).returncode
            == 0
        ):
            environment = {**os.environ, "RESCAN_OWN_MOUNTS": "1"}
            words = [sys.executable, "-m", "tests.full_disk", *sys.argv[1:]]
            os.execvpe("unshare", ["unshare", *options, *words], environment)
    raise SystemExit("this needs root or user namespaces, to mount small disks; --files needs neither")


def main() -> None:
    """Try the steps, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", nargs="*", help="steps; all if none is given")
    parser.add_argument("--files", action="store_true", help="limit the size of files instead of the disk's")
    parser.add_argument("--growth", type=float, default=GROWTH, help="from one size to the next")
    parser.add_argument("--keep", type=Path, help="a folder in which all steps ran; made if it is not there")
    options = parser.parse_args()
    if not options.files:
        _in_namespace()
    import rescan.reporting.figures.explore
    import rescan.training.train  # noqa: F401

    os.environ.update(RESCAN_DEVICE="cpu", RESCAN_THREADS="1")
    with tempfile.TemporaryDirectory(prefix="full_disk_") as place:
        whole, folder = options.keep or Path(place, "whole"), Path(place, "disk")
        folder.mkdir()
        if not whole.exists():
            whole.mkdir(parents=True)
            make(whole)
        if not options.files:
            _mount(folder, ROOM)
        total = {"tried": 0, "failed": 0, "faults": 0}
        try:
            for step in STEPS:
                if options.step and step.name not in options.step:
                    continue
                rehearsal = Rehearsal(step, whole, folder, "files" if options.files else "disk", options.growth)
                sizes, faulty = [], {}
                for room, trial in rehearsal.trials():
                    sizes.append((room, trial.code))
                    if trial.faults:
                        faulty[room] = trial
                failed = sum(code != 0 for _, code in sizes)
                needed = min((room for room, code in sizes if code == 0), default=0)
                print(
                    f"{step.name:22} {len(sizes)} sizes, {failed:3} too small, needs {needed:9,}: {len(faulty)} faulty",
                    flush=True,
                )
                for room, trial in list(faulty.items())[:4]:
                    print(f"    {room:,}: {json.dumps(trial.faults[:6], indent=None)}", flush=True)
                total = {
                    "tried": total["tried"] + len(sizes),
                    "failed": total["failed"] + failed,
                    "faults": total["faults"] + len(faulty),
                }
        finally:
            if not options.files:
                subprocess.run(["umount", str(folder)], check=False)
        print(total)
        sys.exit(1 if total["faults"] else 0)


if __name__ == "__main__":
    main()
