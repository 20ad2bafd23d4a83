"""`make bench`: how fast the main steps are, as ratios to what they cannot do without, measured in one run."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from rescan.data.audit import audit
from rescan.data.download import download
from rescan.data.images import read
from rescan.data.index import index
from rescan.data.split import split
from rescan.explanation.gradcam import gradcam
from rescan.files import read_table
from rescan.models.network import build, normalize
from rescan.paths import Paths
from rescan.preparation.build import open_store, preprocess
from rescan.study_file import load
from rescan.training.augmentation import augment
from rescan.training.loop import train

ROOT = Path(__file__).parent.parent
SAMPLES, THREADS = 640, 2


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """The median time of a call."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def say(what: str, value: str) -> None:
    print(f"{what:58} {value}", flush=True)  # noqa: T201 - what this program is for


def main() -> None:
    """Measure in a temporary folder."""
    study = load(ROOT / "studies/brain_tumor.yaml", "demo", seeds=[0])
    phantom = {**study.data.phantom, "samples": SAMPLES}
    study = study.model_copy(update={"data": study.data.model_copy(update={"phantom": phantom})})
    paths, arm = Paths(study.scale, study.name), study.first_arm
    recipe = study.arms[arm]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        made = seconds(lambda: download(study))
        index(study)
        files = [Path(paths.raw) / path for path in read_table(paths.manifest)["path"]]
        decoding = seconds(lambda: [read(file) for file in files])
        say("phantoms", f"{SAMPLES / made:.0f} images/s")
        say("audit", f"{SAMPLES / seconds(lambda: audit(study, 1)):.0f} images/s")
        split(study)
        preparing = seconds(lambda: preprocess(study, recipe.preparation, 1))
        say("preprocessing, beside decoding the files", f"{preparing / decoding:.2f} x")

        torch.set_num_threads(THREADS)
        images, _ = open_store(paths.store(recipe.preparation))
        batch = torch.from_numpy(np.array(images[:32])).permute(0, 3, 1, 2).contiguous()
        network = build(recipe, len(study.data.classes), tuple(batch.shape[1:])).train()
        optimizer = torch.optim.Adam(network.parameters(), 1e-4)
        targets = torch.arange(len(batch)) % len(study.data.classes)
        fed = normalize(batch, recipe.normalization)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(network(fed)["classification"], targets).backward()
            optimizer.step()

        seconds(step, 3)
        one_step = seconds(step, 15)
        train(study, arm, 0, 0, device="cpu", threads=THREADS)
        history = read_table(Path(paths.run(arm, 0, 0)) / "history.csv")
        fixed = len(batch) / one_step
        say(f"training {recipe.network.encoder}, a fixed batch", f"{fixed:.0f} images/s")
        share = history["images_per_second"].median() / fixed
        say("training with reading and augmentation, beside it", f"{share:.2f} x")
        augmenting = seconds(lambda: augment(batch, recipe.augmentation, 0, 0), 15)
        say("augmentation, share of a step", f"{augmenting / one_step:.3f}")
        network.eval()

        def both() -> None:
            network(fed)["classification"].sum().backward()

        explaining = seconds(lambda: gradcam(network, fed, targets), 9) / seconds(both, 9)
        say("Grad-CAM of a batch, beside a forward and backward pass", f"{explaining:.2f} x")
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
