"""`python -m tests.full_scale STUDY FOLDER [RULE…]`: one study at `scale=full` on stand-ins of full number, measured.

Makes the stand-ins in FOLDER (`tests/stand_ins.py`), and a study file that differs from the shipped one in its arms:
one of few steps, mostly with a small network, with one seed. Then runs the real rules, up to RULE… or to the page, and
prints for each step its time, memory and what it wrote. A rehearsal that is stopped goes on when it is run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests import stand_ins

from rescan.files import write_json
from rescan.study.file import read_yaml
from rescan.study.merge import merge

ROOT = Path(__file__).parent.parent
SAMPLES = {"brain_tumor": 7023, "aptos2019": 3662, "octa500": 495, "mura": 40005}
EVERY = 0.2  # seconds between two looks at the processes
PATIENCE = 30  # seconds that a stopped run has to end by itself
OPTIONS = ("--preparation", "--arm", "--autoencoder")
TICK, MB = os.sysconf("SC_CLK_TCK"), 1e6

SMALL = {"encoder": "cnn5", "weights": "none", "neck": "avg"}
ARMS: dict[str, dict[str, Any]] = {
    "brain_tumor": {
        "network": {**SMALL, "hidden": None},
        "stages": {"main": {"epochs": None, "steps": 20}},
    },
    "aptos2019": {
        "network": SMALL,
        "stages": {stage: {"epochs": None, "steps": 5} for stage in ("pretraining", "heads", "all")},
    },
    "octa500": {"stages": {"main": {"epochs": None, "steps": 4}}, "folds": 1},
    "mura": {
        "network": {
            "blocks": [
                {"kernel": 5, "maps": 12, "pool": 4},
                *({"kernel": 3, "maps": maps, "pool": 2} for maps in (24, 32)),
            ],
            "hidden": [64],
        },
        "stages": {"main": {"steps": 100}},
    },
}


def write_study(study: str, folder: Path, preparation: str | None) -> None:
    """Write the study file with the short arm as its only one."""
    content = read_yaml(ROOT / f"studies/{study}.yaml")
    content = merge(content, {"demo": None, "split": {"seeds": [0]}, "run": ["short"], "published": [], "claims": []})
    arm = {**ARMS[study], **({"preparation": preparation} if preparation else {})}
    content["arms"]["short"] = arm  # as it is: merging would take its nulls away
    write_json(folder / "studies" / f"{study}.yaml", content)  # JSON is YAML, too


class Watch(threading.Thread):
    """Looks at the steps that a process started, with their workers: time, processor time, memory, bytes written."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.over = root, threading.Event()
        self.steps: dict[int, dict[str, Any]] = {}
        self.spent: dict[int, dict[int, float]] = defaultdict(dict)  # step → process → processor seconds

    def run(self) -> None:
        while not self.over.wait(EVERY):
            children = defaultdict(list)
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    with contextlib.suppress(OSError):
                        children[int(_stat(entry.name)[1])].append(int(entry.name))
            for process in _below(self.root, children):
                if process in self.steps or (name := _step(process)):
                    self._look(process, children, name if process not in self.steps else "")

    def _look(self, step: int, children: dict[int, list[int]], name: str) -> None:
        now, memory, written = time.time(), 0, 0
        measured = self.steps.setdefault(step, {"step": name, "began": now, "memory": 0.0, "written": 0.0})
        for process in [step, *_below(step, children)]:
            with contextlib.suppress(OSError, ValueError):
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
                memory += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssShmem")))
                stat, io = _stat(process), Path(f"/proc/{process}/io").read_text().split()
                self.spent[step][process] = (int(stat[11]) + int(stat[12])) / TICK
                written += int(io[io.index("write_bytes:") + 1])  # of a parent with those of children that ended
        measured["memory"] = max(measured["memory"], memory / MB)
        measured["written"] = max(measured["written"], written / MB)
        measured["seconds"] = now - measured["began"]
        measured["processor"] = sum(self.spent[step].values())


def _stat(process: int | str) -> list[str]:
    """The fields of /proc/<process>/stat after the name: state, parent, …"""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _below(root: int, children: dict[int, list[int]]) -> list[int]:
    """All processes that a process started, and those that these did."""
    return [found for child in children[root] for found in (child, *_below(child, children))]


def _step(process: int) -> str:
    """The step that a process is, with its arm or preparation; "" if it is none."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
        if words[1:3] == ["-m", "rescan"]:
            return " ".join([words[3], *(words[words.index(option) + 1] for option in OPTIONS if option in words)])
    return ""


def snakemake(study: str, folder: Path, source: Path, cores: int, *options: str) -> list[str]:
    """The command that runs a study on a local source."""
    config = [
        "scale=full",
        f"studies=['{folder}/studies/{study}.yaml']",
        f"sources={{'{study}': '{source}'}}",
        *("weights=none", "device=cpu", f"threads={cores}"),
    ]
    command = [sys.executable, "-m", "snakemake", "--snakefile", f"{ROOT}/Snakefile", "--directory", str(folder)]
    alone = ["--resources", "alone=1", "--default-resources", "alone=1"]  # one job at a time
    return [*command, "--cores", str(cores), "--nolock", *alone, *options, "--config", *config]


def run(command: list[str], log: Path) -> tuple[int, list[dict[str, Any]]]:
    """Run Snakemake; its exit code, and what was measured of each step."""
    with log.open("a") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)
        watch = Watch(process.pid)
        watch.start()
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # Snakemake, its steps and their workers: all are of one session.
            os.killpg(process.pid, signal.SIGINT)
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
        watch.over.set()
        watch.join()
    return code, list(watch.steps.values())


def main() -> int:
    """Rehearse one study; the exit code of Snakemake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(stand_ins.MAKERS))
    parser.add_argument("folder", type=lambda text: Path(text).resolve())
    parser.add_argument("rules", nargs="*", help="the last steps to run; without any, all of them")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--source", type=lambda text: Path(text).resolve(), help="a real copy, instead of a stand-in")
    parser.add_argument("--preparation", help="another one than the recipe's")
    options = parser.parse_intermixed_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    study, folder = options.study, options.folder
    record = folder / f"{study}.json"
    steps: dict[str, dict[str, Any]] = json.loads(record.read_text()) if record.exists() else {}

    def measure(name: str, began: float) -> None:
        steps[name] = {"seconds": time.time() - began}

    source = options.source or folder / "stand_ins" / study
    if not options.source:
        began = time.time()
        stand_ins.make(study, source, options.cores)
        if "stand-ins" not in steps:
            measure("stand-ins", began)
    write_study(study, folder, options.preparation)
    rules = ["--until", *options.rules] if options.rules else []
    began = time.time()
    dry = subprocess.run(
        snakemake(study, folder, source, options.cores, "-n", "--quiet", "all", *rules),
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if dry.returncode:
        sys.stderr.write(dry.stdout + dry.stderr)
        return dry.returncode
    measure("snakemake -n", began)
    code, measured = run(snakemake(study, folder, source, options.cores, *rules), folder / f"{study}.log")
    steps |= {step.pop("step"): step for step in measured}
    write_json(record, steps)
    report(study, steps)
    return code


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what this program is for


def report(study: str, steps: dict[str, dict[str, Any]]) -> None:
    """Print the table."""
    say(f"\n{study}, {SAMPLES[study]:,} samples\n")
    say("| step | seconds | processor seconds | memory, MB | written, MB | samples a second |")
    say("|---|--:|--:|--:|--:|--:|")
    for name, step in steps.items():
        cells = [f"{step[key]:,.0f}" if key in step else "" for key in ("processor", "memory", "written")]
        rate = SAMPLES[study] / max(step["seconds"], EVERY)  # 0 if it was seen once
        say(f"| {name} | {step['seconds']:,.1f} | {' | '.join(cells)} | {rate:,.0f} |")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")
