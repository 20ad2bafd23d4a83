"""`make bench`: how fast the main steps are, as ratios to what they cannot do without, measured in one run."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from scipy.special import log_softmax
from tests import bench_predict, bench_volumes
from torch.nn import functional

from rescan.catalogue import CAM_METHODS, METRICS
from rescan.data.audit.audit import audit
from rescan.data.index import index
from rescan.data.readers.images import read
from rescan.data.sources.download import download
from rescan.data.split import split
from rescan.evaluation.bootstrap import distributions, resamples
from rescan.explanation.cam import class_maps, gradcam
from rescan.metrics.run_rows import prepare
from rescan.models.networks import build
from rescan.models.normalization import normalize
from rescan.paths import Paths
from rescan.preparation.preprocess import preprocess
from rescan.preparation.sample import prepare_image
from rescan.preparation.store import open_store
from rescan.results.history_files import HISTORY
from rescan.results.manifest import MANIFEST
from rescan.study import Preparation, Run, Settings
from rescan.study.file import load
from rescan.training.augment import augment
from rescan.training.lease import Machine
from rescan.training.train import train

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


def in_turns(works: dict[str, Callable[[Path], object]], files: list[Path], repeats: int = 5) -> dict[str, float]:
    """The median time a file of each work; they take turns, since other processes share the cores."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(lambda work=work: [work(file) for file in files]) / len(files))
    return {name: float(np.median(values)) for name, values in times.items()}


FUNDUS = [
    "crop_circle",
    {"name": "resize", "size": [512, 512], "keep_aspect": True},
    "enhance",
    {"name": "circle_mask", "radius": 0.95, "fill": 128},
]


def photograph(height: int, width: int, seed: int) -> np.ndarray:
    """A disc of colored clouds with fine noise on black, (H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    clouds = cv2.resize(random.uniform(40, 180, (40, 60, 3)).astype(np.float32), (width, height))
    rough = cv2.resize(random.normal(0, 12, (height // 3, width // 3)).astype(np.float32), (width, height))
    circle = cv2.circle(np.zeros((height, width), np.uint8), (width // 2, height // 2), int(height * 0.47), 1, -1)
    return ((clouds + rough[..., None]).clip(20, 255) * circle[..., None]).astype(np.uint8)


def article(file: Path) -> np.ndarray:
    """The APTOS article's own sequence of OpenCV calls."""

    def crop(image: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > 7)
        return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]

    image = crop(cv2.resize(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB), (512, 512)))
    height, width = image.shape[:2]
    circle = cv2.circle(np.zeros((height, width), np.uint8), (width // 2, height // 2), min(height, width) // 2, 1, -1)
    image = crop(cv2.bitwise_and(image, image, mask=circle))
    return cv2.resize(cv2.addWeighted(image, 4, cv2.GaussianBlur(image, (0, 0), 30), -4, 128), (512, 512))


def decode(file: Path) -> None:
    """Nothing but decoding, at full size."""
    with Image.open(file) as image:
        image.load()


def fundus(folder: Path) -> None:
    """Preparing fundus photographs, beside the article's sequence and pure decoding: one worker, the same files."""
    cv2.setNumThreads(1)  # as in a worker
    preparation = Preparation.model_validate({"steps": FUNDUS, "decode": "scaled"})
    works = {"decoding": decode, "article": article, "ours": lambda file: prepare_image(file, preparation)}
    for megapixels, height, width in ((5, 1958, 2588), (10, 2592, 3888), (16, 3264, 4928)):
        large = [folder / f"{megapixels}_{seed}.jpg" for seed in range(2)]
        for seed, file in enumerate(large):
            Image.fromarray(photograph(height, width, seed)).save(file, quality=90)
        times = in_turns(works, large)
        for name in ("article", "ours"):
            what = {"article": "the article's preparation", "ours": "ours"}[name]
            say(f"{what} of {megapixels} MP photographs, beside decoding", f"{times[name] / times['decoding']:.2f} x")
    small = [folder / f"{seed}.png" for seed in range(20)]
    for seed, file in enumerate(small):
        Image.fromarray(photograph(224, 224, seed)).save(file)
    times = in_turns(works, small)
    say("preparing images of 224 px, beside the article", f"{times['article'] / times['ours']:.1f} x images/s")


def paper_augmentation() -> None:
    """The whole list of augmentations of the APTOS paper, beside a training step of ResNet50 at 320 × 320 pixels."""
    torch.set_num_threads(THREADS)
    study = load(
        ROOT / "studies/aptos2019.yaml", Settings("full", arms=["multitask", "efficientnet_b4"], weights="none")
    )
    listed = study.arms["efficientnet_b4"].augmentation
    batch = torch.randint(0, 256, (8, 3, 320, 320), dtype=torch.uint8)
    network = build(study.arms["multitask"], len(study.data.classes), (3, 320, 320)).train()
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)
    fed = normalize(batch, "imagenet")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        sum(output.sum() for output in network(fed).values()).backward()
        optimizer.step()

    one_step, augmenting = seconds(step, 3), seconds(lambda: augment(batch, listed, 0, 128), 5)
    say(f"{len(listed)} augmentations at 320 px, share of a ResNet50 step", f"{augmenting / one_step:.3f}")


def resampling() -> None:
    """The intervals of all metrics on 40,000 rows of five classes, whose promise is 10 s of one core."""
    random = np.random.default_rng(0)
    rows, classes = 40_000, 5
    target, outputs = random.integers(classes, size=rows), random.normal(size=(rows, classes))
    logs = log_softmax(outputs, axis=1)
    run = prepare(target, outputs.argmax(1), np.arange(rows), rows, classes, logs)
    began = time.process_time()
    distributions(list(METRICS), [run])
    all_metrics = time.process_time() - began
    began = time.process_time()
    for weights in resamples(rows, rows):
        np.cumsum(weights, axis=1)
    drawing = time.process_time() - began
    say("2,000 resamples of all metrics of 40,000 rows, 5 classes", f"{all_metrics:.1f} s of a core")
    say("the same, beside drawing and summing the weights once", f"{all_metrics / drawing:.1f} x")


def main() -> None:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        fundus(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        bench_volumes.measure(Path(folder), seconds, say)
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        bench_predict.measure(Path(folder), seconds, say)
    paper_augmentation()
    resampling()
    study = load(ROOT / "studies/brain_tumor.yaml", Settings("demo", seeds=[0]))
    phantom = {**study.data.phantom, "samples": SAMPLES}
    study = study.model_copy(update={"data": study.data.model_copy(update={"phantom": phantom})})
    paths, arm = Paths(study.scale, study.name), study.first_arm
    recipe = study.arms[arm]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        made = seconds(lambda: download(study))
        index(study)
        files = [Path(paths.raw) / path for path in MANIFEST.read(paths.manifest)["path"]]
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
        train(Run(study, arm, 0, 0), Machine("cpu", THREADS))
        history = HISTORY.read(paths.run(arm, 0, 0).history)
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
        one = seconds(lambda: gradcam(network, fed, targets), 9)
        four = seconds(lambda: class_maps(network, fed, targets, methods=list(CAM_METHODS)), 9)
        say("all CAM methods of a batch, beside one", f"{four / one:.2f} x")
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
