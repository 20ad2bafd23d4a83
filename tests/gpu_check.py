"""`make gpu-check`: what only a GPU can show, on made-up images, in one table; at most eight minutes on one card.

`python -m tests.gpu_check --tiny` runs all of it on a CPU in seconds, so that it stays runnable; values mean nothing.
Exits with 1 if a goal is missed or a check fails; the others are run all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tests import gpu_cases
from tests.gpu_cases import TINY, Place, Row, Sizes, start, steps_on_one_batch, study

from rescan import catalogue
from rescan.errors import RescanError
from rescan.explanation.cam import gradcam
from rescan.results.history_files import HISTORY
from rescan.training import cards, loader
from rescan.training.augment import augment
from rescan.training.lease import VISIBLE, Machine

ROOT = Path(__file__).parent.parent
STRENGTHS = {"rotation": 20, "tilt": 20, "shear": 10, "blur": 1.5, "noise": 0.05}  # of the others by their form
BY_FORM = {"range": [0.8, 1.25], "probability": 0.5, "amount": 0.1}
HOLD = """
import os, sys
from rescan.training.lease import VISIBLE, Machine, slot
from rescan.training.cards import Card
with Machine("cuda").lease() if sys.argv[1] == "cuda" else slot([Card("gpu-check")], 1):
    print(os.environ.get(VISIBLE), flush=True)
    sys.stdin.read()
"""


def card(place: Place) -> Iterator[Row]:
    """Does torch have kernels for the card?"""
    yield Row("torch", f"{torch.__version__}, CUDA {torch.version.cuda}")
    if place.on_gpu:
        capability, kernels = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
        total = torch.cuda.get_device_properties(0).total_memory / 2**30
        value = f"{torch.cuda.get_device_name()}, {capability[0]}.{capability[1]}, {total:.0f} GiB"
        yield Row("card", value, "torch has kernels for it", cards.runs_on(capability, kernels))


def half_precisions(place: Place) -> Iterator[Row]:
    """Does a network learn in each half precision, and end where float32 does?"""
    encoder, size, batch = place.sizes.small
    ends = {}
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if place.on_gpu and torch.cuda.get_device_capability() < (8, 0):
        del kinds["bfloat16"]  # older cards only emulate it, and older versions of torch refuse it there
    for name, half in kinds.items():
        made = start(place, study(place, encoder, size, batch, place.sizes.steps), half)
        made.train()
        ends[name] = [row["train_loss"] for row in made.progress.history]
        learned = np.isfinite(ends[name]).all() and ends[name][-1] < ends[name][0]
        yield Row(
            f"{name}: loss of epochs 1 and 3",
            f"{ends[name][0]:.3f}, {ends[name][-1]:.3f}",
            *place.goal("falls", bool(learned)),
        )
    apart = max(abs(losses[0] - ends["float32"][0]) for losses in ends.values())
    yield Row("half precisions: first epoch's loss, off float32", f"{apart:.3f}", *place.goal("≤ 0.05", apart <= 0.05))
    if place.on_gpu:
        scale = float(made.precision.scaler.get_scale())
        yield Row("float16: the scaler's factor", f"{scale:.0f}", "> 1", scale > 1)


def channels_last(place: Place) -> Iterator[Row]:
    """Are a 2D network's weights in channels-last memory?"""
    encoder, size, batch = place.sizes.small
    made = start(place, study(place, encoder, size, batch, place.sizes.steps))
    weights = [module.weight for module in made.task.network.modules() if isinstance(module, torch.nn.Conv2d)]
    share = np.mean([weight.is_contiguous(memory_format=torch.channels_last) for weight in weights])
    yield Row("convolutions in channels-last memory", f"{share:.0%}", *place.goal("100%", share == 1))


def pinned_reading(place: Place) -> Iterator[Row]:
    """Do batches reach the device as they are, and how fast?"""
    images = np.random.default_rng(0).integers(0, 65536, (4 * place.sizes.steps, *place.sizes.batch, 3), np.uint16)
    for stored in (images.astype(np.uint8), images):
        batches = loader.cut(np.random.default_rng(1).permutation(len(stored)), 4)
        with loader.loading(stored, batches, device=place.device) as loaded:
            equal = all(
                torch.equal(batch.cpu(), loader.gray_levels(stored[rows]).movedim(-1, 1))
                for batch, rows in zip(loaded, batches)
            )

        def read(stored: np.ndarray = stored, batches: list[np.ndarray] = batches) -> None:
            with loader.loading(stored, batches, device=place.device) as loaded:
                for _ in loaded:
                    pass

        rate = stored.nbytes / place.seconds(read) / 1e9
        yield Row(f"pinned reading, {stored.dtype}: batches as stored; GB/s", f"{equal}, {rate:.2f}", "equal", equal)


def speed(place: Place) -> Iterator[Row]:
    """How fast is the trainer, beside the same step on a batch that is there already? Does a step wait for the GPU?"""
    for encoder, size, batch in place.sizes.encoders:
        rate, share, waits = speeds(place, encoder, size, batch)
        what = f"{encoder} at {' × '.join(map(str, size))}"
        yield Row(f"{what}: images/s", f"{rate:.1f}")
        yield Row(f"{what}: share of a fixed batch's", f"{share:.3f}", *place.goal("≥ 0.95", share >= 0.95))
        yield Row(f"{what}: waits for the GPU per step", f"{waits:.2f}", *place.goal("≤ 0.25", waits <= 0.25))


def speeds(place: Place, encoder: str, size: tuple[int, ...], batch: int) -> tuple[float, float, float]:
    """Images per second of a training; as a share of a fixed batch's; how often a step waits for the GPU."""
    made = start(place, study(place, encoder, size, batch, place.sizes.steps))
    with gpu_cases.without_reads():
        made.train()
        rate = max(row["images_per_second"] for row in made.progress.history[1:])
        fixed = min(place.seconds(lambda: steps_on_one_batch(made, place.sizes.steps)) for _ in range(2))
        return rate, rate * fixed / (place.sizes.steps * batch), waits_per_step(made)


def waits_per_step(made: gpu_cases.Trainer) -> float:
    """How often an epoch's steps synchronize with the GPU, its begin and end included: some ten times in all."""
    made.progress.epoch -= 1  # the last epoch once more
    made.progress.step = 0
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if made.precision.on_gpu:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            made._train_epoch()
        finally:
            if made.precision.on_gpu:
                torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in said) / made.steps_per_epoch


def augmentations(place: Place) -> Iterator[Row]:
    """Do all augmentations give on the device what they give on a CPU?"""
    generator = torch.Generator().manual_seed(0)
    shapes = {2: (6, 3, *place.sizes.batch), 3: (3, 1, 16, *place.sizes.batch)}
    for dimensions, shape in shapes.items():
        batch = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        batch = torch.nn.functional.avg_pool2d(batch.flatten(1, -3).float(), 5, 1, 2).view(shape)
        apart = {}
        for name, record in catalogue.AUGMENTATIONS.items():
            if record.is_for(dimensions):
                recipe = {name: STRENGTHS.get(name, BY_FORM[record.form])}
                here, there = (augment(batch.to(where), recipe, 1, 9).cpu() for where in ("cpu", place.device))
                if name == "noise":  # drawn on the device: only its strength is the same
                    here, there = here.std(), there.std()
                apart[name] = float((here - there).abs().max())
        worst = max(apart, key=lambda name: apart[name])
        what = f"{len(apart)} augmentations of {'images' if dimensions == 2 else 'volumes'}, off the CPU's at most"
        yield Row(what, f"{apart[worst]:.4f} gray levels ({worst})", "≤ 1", apart[worst] <= 1)


def memory(place: Place) -> Iterator[Row]:
    """How much memory does a large volume take, with and without checkpointing?"""
    encoder, size = place.sizes.volume
    peaks: dict[bool, float] = {}
    for twice in (True, False):
        network = {"encoder": encoder, "weights": "none", "norm": "group", "checkpointing": twice}
        made = start(place, study(place, encoder, size, 1, 2, network=network))
        if place.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        how = f"{encoder}, a volume of {' × '.join(map(str, size))}, {'with' if twice else 'without'} checkpointing"
        try:
            made.train()
            peaks[twice] = torch.cuda.max_memory_allocated() / 2**30 if place.on_gpu else 0.0
            yield Row(how, f"{peaks[twice]:.2f} GiB")
        except RescanError as error:
            peaks[twice] = float("inf")
            yield Row(how, "out of memory" if "out of memory" in str(error) else str(error))
        del made
    yield Row(
        "checkpointing needs less memory",
        str(peaks[True] < peaks[False]),
        *place.goal("True", peaks[True] < peaks[False]),
    )


def out_of_memory(place: Place) -> Iterator[Row]:
    """Is a lack of memory told in one line?"""
    encoder, size, batch = place.sizes.small
    made = start(place, study(place, encoder, size, batch, place.sizes.steps))
    if place.on_gpu:
        torch.cuda.empty_cache()
        taken = torch.cuda.memory_reserved() / torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(taken + 1e-4)
    else:
        made.task.loss = _lack
    said = ""
    try:
        made.train()
    except RescanError as error:
        said = str(error)
    except RuntimeError as error:
        said = f"{type(error).__name__}\n{error}"
    finally:
        if place.on_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0)
    told = "out of memory" in said and "\n" not in said
    yield Row("out of memory is told in one line", said.partition(": ")[2].partition(";")[0], *place.goal("told", told))


def _lack(*_: object) -> torch.Tensor:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")


def resuming(place: Place) -> Iterator[Row]:
    """Does a training that was stopped end as one that was not?"""
    encoder, size, batch = place.sizes.small
    run = study(place, encoder, size, batch, place.sizes.steps)
    whole = start(place, run)
    whole.train()
    study(place, encoder, size, batch, place.sizes.steps)  # from the beginning
    calls = iter(range(10**9))
    at = place.sizes.steps + place.sizes.steps // 2
    stopped = start(place, run, stop=lambda: "by the check" if next(calls) == at else None)
    with contextlib.suppress(RescanError):
        stopped.train()
    resumed = start(place, run)
    went_on = bool(resumed.progress.updates)
    resumed.train()
    equal = all(
        torch.equal(one, other)
        for one, other in zip(whole.task.network.state_dict().values(), resumed.task.network.state_dict().values())
    )
    first, second = (made.progress.history[-1]["train_loss"] for made in (whole, resumed))
    text = f"loss {first:.5f} and {second:.5f}, weights {'equal bit for bit' if equal else 'not bit for bit'}"
    yield Row(
        "stopped and resumed, beside uninterrupted",
        text,
        "loss within 2 %",
        went_on and abs(first - second) <= 0.02 * first,
    )


def gradcam_maps(place: Place) -> Iterator[Row]:
    """Does Grad-CAM show on the device what it shows on a CPU?"""
    for encoder, size, batch in (place.sizes.small, place.sizes.encoders[-1]):
        made = start(place, study(place, encoder, size, batch, place.sizes.steps))
        network = made.task.network.eval()
        shape = (4, 3 if len(size) == 2 else 1, *size)
        inputs, targets = torch.randn(shape, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1])
        there = gradcam(network, inputs.to(place.device), targets.to(place.device))[1].cpu()
        here = gradcam(network.cpu(), inputs, targets)[1]
        apart = float((here - there).abs().max())
        yield Row(f"Grad-CAM of {encoder}, off the CPU's at most", f"{apart:.4f} of 1", "≤ 0.05", apart <= 0.05)


def sharing(place: Place) -> Iterator[Row]:
    """Are two small trainings at once faster than one after the other?"""
    encoder, size, batch = place.sizes.small
    stage = {"epochs": place.sizes.epochs, "batch_size": batch, "optimizer": {"name": "adam", "lr": 1e-4}}
    run = study(place, encoder, size, batch, place.sizes.small_steps, stages={"main": stage})

    def training(seed: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "rescan", "train", run.paths.resolved, "--arm", run.name, "--seed", str(seed)]
        command += ["--device", place.device.type, "--threads", "1", "--jobs-per-gpu", "2"]
        return subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def rates(*seeds: int) -> float:
        """The images per second of trainings that run at once, summed up."""
        for process in [training(seed) for seed in seeds]:
            _, said = process.communicate()
            if process.returncode:
                raise RuntimeError(said.decode().strip().splitlines()[-1])
        tables = [HISTORY.read(run.paths.run(run.name, 0, seed).history) for seed in seeds]
        return float(sum(table["images_per_second"].median() for table in tables))

    alone, together = rates(0), rates(1, 2)
    ratio = together / alone
    yield Row(
        "two small trainings at once, beside one: images/s", f"{ratio:.2f} ×", *place.goal("≥ 1.5 ×", ratio >= 1.5)
    )


def environment() -> dict[str, str]:
    """That of the processes that we start: our code, and our GPU."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}


def leasing(place: Place) -> Iterator[Row]:
    """Does a process get another GPU, or the same one as soon as its holder is killed?"""
    variables = {**environment(), "TMPDIR": str(Path.cwd())}  # locks of our own
    variables.pop(VISIBLE, None)
    command = [sys.executable, "-c", HOLD, place.device.type]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": variables}
    first = subprocess.Popen(command, **pipes)
    one = first.stdout.readline().strip()
    second = subprocess.Popen(command, **pipes)
    time.sleep(0.5 if not place.on_gpu else 15)
    first.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    other = second.stdout.readline().strip()
    waited = time.monotonic() - killed
    second.communicate("")
    first.communicate()
    ok = bool(one and other) and (one != other or waited < 10)
    text = f"GPU after {waited:.1f} s of the holder's death" if one == other else "a GPU of its own"
    yield Row("a second process gets", text, "one", ok)


CHECKS: tuple[Callable[[Place], Iterator[Row]], ...] = (
    card,
    augmentations,
    pinned_reading,
    channels_last,
    half_precisions,
    gradcam_maps,
    resuming,
    speed,
    memory,
    out_of_memory,
    sharing,
    leasing,
)


def check(place: Place, chosen: list[str]) -> pd.DataFrame:
    """Run the checks in the current folder; print the rows as they come, and return them."""
    rows = []
    for one in CHECKS:
        if chosen and one.__name__ not in chosen:
            continue
        began = time.monotonic()
        try:
            for row in one(place):
                rows.append(row)
                say(row)
        except Exception as error:  # noqa: BLE001 - the other checks stand
            rows.append(Row(one.__name__, f"{type(error).__name__}: {error}".partition("\n")[0], "runs", False))
            say(rows[-1])
        if place.on_gpu:
            torch.cuda.empty_cache()
        print(f"  ({one.__name__}: {time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201
    return pd.DataFrame(rows)


def say(row: Row) -> None:
    """Print a line of the table."""
    mark = {True: "ok", False: "MISSED", None: ""}[row.ok]
    print(f"{row.what:66} {row.value:44} {row.goal:26} {mark}", flush=True)  # noqa: T201


def main(arguments: list[str] | None = None) -> int:
    """Check this machine's GPU, or run tiny on its CPU."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu_check", description=__doc__)
    parser.add_argument("checks", nargs="*", help=", ".join(one.__name__ for one in CHECKS))
    parser.add_argument("--tiny", action="store_true", help="on a CPU, in seconds: shows that the checks run")
    options = parser.parse_args(arguments)
    if unknown := set(options.checks) - {one.__name__ for one in CHECKS}:
        parser.error(f"no check {', '.join(sorted(unknown))}; see --help")
    began = time.monotonic()
    before = Path.cwd()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Machine("cpu" if options.tiny else "cuda", threads=1).lease() as device,
        ):
            os.chdir(folder)
            try:
                table = check(Place(device, TINY if options.tiny else Sizes()), options.checks)
            finally:
                os.chdir(before)
    except RescanError as error:
        print(f"{error}\n--tiny runs on a CPU, to show that the checks run", file=sys.stderr)  # noqa: T201
        return 1
    missed = table[[ok is False for ok in table["ok"]]]
    print(f"{len(table)} lines in {time.monotonic() - began:.0f} s, {len(missed)} missed")  # noqa: T201
    return int(len(missed) > 0)


if __name__ == "__main__":
    sys.exit(main())
