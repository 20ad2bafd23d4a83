"""The work of each rule's jobs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from rescan.study import AutoencoderRun, Run, Study
from rescan.workload.data_size import DataSize, data_size
from rescan.workload.part_sizes import Parts, parts_of
from rescan.workload.shapes import COPIES, items_of
from rescan.workload.training_work import MEGABYTE, forward_mb, inference, network_of, training
from rescan.workload.work import Work

PROCESS_MB = 250.0  # of a process that reads images, with its libraries
MAPPED = 5000  # points of a t-SNE, as rescan.reporting.figures.embedding


class Job(NamedTuple):
    """A job: its rule, whom it is of, and its work.

    Attributes:
        rule: The rule.
        of: The arm or autoencoder; "" for those of a whole study.
        work: What it has to do.
    """

    rule: str
    of: str
    work: Work


class Jobs:
    """The jobs of a study, for data of some size."""

    def __init__(self, study: Study, sizes: dict[str, DataSize] | None = None) -> None:
        """Take the study, and the sizes of its data ("") and its extra sources by name; they are found by default."""
        self.study = study
        self.sizes = sizes or {origin: data_size(study, origin) for origin in ("", *study.data.extra)}

    @cached_property
    def parts(self) -> Parts:
        """Samples in each part of a fold."""
        return parts_of(self.study, self.sizes[""], {name: size for name, size in self.sizes.items() if name})

    @property
    def samples(self) -> int:
        """Samples of all sources."""
        return sum(size.samples for size in self.sizes.values())

    @property
    def megapixels(self) -> float:
        """Of all samples."""
        return sum(size.samples * size.megapixels for size in self.sizes.values())

    @property
    def _largest(self) -> float:
        return max(size.megapixels for size in self.sizes.values())

    def download(self) -> Work:
        """Making phantoms, or reading a checksum of all files; fetching is not counted."""
        made = self.study.data.phantom is not None
        fetched = sum(size.megabytes for size in self.sizes.values()) if not self.study.data.source.path else 0.0
        return Work(seconds=self.megapixels * 0.4 if made else self.samples * 1e-3, disk_mb=fetched)

    def index(self) -> Work:
        """Listing the samples."""
        return Work(seconds=self.samples * 2e-4)

    def audit(self) -> Work:
        """Decoding every image, and comparing all of them."""
        process = PROCESS_MB + self._largest * COPIES
        home = data_size(self.study.trainer) if self.study.home else None  # whose images are looked at, too
        samples = self.samples + (home.samples if home else 0)
        megapixels = self.megapixels + (home.samples * home.megapixels if home else 0)
        memory = 500 + samples * 0.02
        seconds = 4 + samples * 1e-3
        return Work(megapixels=megapixels, seconds=seconds, memory_mb=memory, process_mb=process)

    def split(self) -> Work:
        """Cutting the samples into parts."""
        return Work(seconds=self.samples * self.study.split.fold_count * 2e-4)

    def preprocess(self, preparation: str) -> Work:
        """Preparing every sample."""
        items = items_of(self.study.preparations[preparation])
        process = PROCESS_MB + self._largest * COPIES + items.number * items.bytes * COPIES / MEGABYTE
        disk = self.samples * items.number * items.bytes / MEGABYTE
        return Work(megapixels=self.megapixels, memory_mb=500, process_mb=process, disk_mb=disk)

    def explore(self) -> Work:
        """Figures of the data, and a map of some of them."""
        return Work(with_torch=True, seconds=5 + _map(self.samples), memory_mb=1500)

    def train(self, arm: str, fold: int = 0, seed: int = 0) -> Work:
        """Training an arm once."""
        return training(Run(self.study, arm, fold, seed), self.parts)

    def pretrain(self, autoencoder: str, fold: int = 0, seed: int = 0) -> Work:
        """Training an autoencoder once."""
        return training(AutoencoderRun(self.study, autoencoder, fold, seed), self.parts)

    def infer(self, arm: str, fold: int = 0, seed: int = 0) -> Work:
        """Computing the outputs of a run."""
        return inference(Run(self.study, arm, fold, seed), self.parts)

    def ensemble(self, arm: str) -> Work:
        """Averaging predictions."""
        return Work(seconds=self._predictions(arm) * 1e-4)

    def posttrain(self, arm: str) -> Work:
        """Fitting temperatures, a neuron, cut points."""
        return Work(seconds=0.6 + self._predictions(arm) * 1e-4)

    def evaluate(self, arm: str) -> Work:
        """The bootstrap of every metric of an arm, and its figures."""
        held_out = self.parts.validation + self.parts.test
        return Work(seconds=3 + self._predictions(arm) * 1e-3 + _map(held_out), memory_mb=1500)

    def gradcam(self, arm: str) -> Work:
        """Maps of some test images, and forward passes that check them."""
        run = self.study.member_runs(arm)[0].trained
        items, cost = items_of(run.preparation), network_of(run)
        images = self.study.gradcam.images_a_class * 2 * len(self.study.data.classes)
        passes = images * 60.0 + 24 * 30 + 24 * 3 * 4  # the maps' checks: versions of an image; maps of other networks
        weights = cost.parameters * 4 / MEGABYTE
        return Work(
            on_gpu=True,
            with_torch=True,
            dimensions=cost.dimensions,
            launches=cost.layers * passes / 8,
            multiply_adds=cost.multiply_adds * passes,
            numbers=cost.kept * passes / 3,
            seconds=2 + images * 0.15,
            memory_mb=1200 + weights + 20 * images * items.bytes / MEGABYTE,
            gpu_mb=forward_mb(items, cost),
            disk_mb=images * 0.2,
        )

    def compare(self) -> Work:
        """The paired bootstrap of all arms against each other."""
        rows = sum(self._predictions(arm) for arm in self.study.arms)
        return Work(seconds=0.5 + rows * 1e-3, memory_mb=2000)

    def report(self) -> Work:
        """The page; most of the time goes into making its pictures smaller."""
        return Work(seconds=1 + 0.5 * len(self.study.arms))

    def all_jobs(self) -> Iterator[Job]:
        """Yield all jobs of the study."""
        study = self.study
        for rule in ("download", "index", "audit", "split", *(() if study.home else ("explore", "compare", "report"))):
            yield Job(rule, "", getattr(self, rule)())
        used = {recipe.preparation for recipe in study.arms.values() if recipe.ensemble is None}
        arms = () if study.home else study.arms
        autoencoders = {(name, run.fold, run.seed) for arm in arms for name, run in self._pretrained(arm)}
        used |= {study.autoencoders[name].preparation for name, _, _ in autoencoders}
        for preparation in sorted(used):
            yield Job("preprocess", "", self.preprocess(preparation))
        for name, fold, seed in sorted(autoencoders):
            yield Job("pretrain", name, self.pretrain(name, fold, seed))
        for arm, recipe in study.arms.items():
            for run in study.runs(arm):
                if recipe.trains and not study.home:
                    yield Job("train", arm, self.train(arm, run.fold, run.seed))
                of_run = self.ensemble(arm) if recipe.ensemble else self.infer(arm, run.fold, run.seed)
                yield Job("ensemble" if recipe.ensemble else "infer", arm, of_run)
            if study.home:
                continue
            yield Job("posttrain", arm, self.posttrain(arm))
            yield Job("evaluate", arm, self.evaluate(arm))
            if recipe.trains:
                yield Job("gradcam", arm, self.gradcam(arm))

    def _pretrained(self, arm: str) -> Iterator[tuple[str, Run]]:
        """Yield the autoencoder of each run of an arm, if it starts from one."""
        name = self.study.autoencoder(arm)
        if name and self.study.arms[arm].trains:
            yield from ((name, run) for run in self.study.runs(arm))

    def _predictions(self, arm: str) -> float:
        """Rows of all predictions of an arm."""
        items = items_of(self.study.preparations[self.study.arms[arm].preparation])
        return self.parts.predicted * items.number * len(self.study.runs(arm))


def _map(points: float) -> float:
    """Seconds of a t-SNE of images or of vectors, of which it takes a few thousand."""
    return min(points, MAPPED) * 0.01
