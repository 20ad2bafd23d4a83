"""Where everything lies: one place for the paths that the rules declare and the steps use.

`Paths("demo", "{study}")` gives Snakemake's patterns, `Paths("demo", "brain_tumor")` the real files. All are relative
to the folder that the workflow is run in. A folder is its path (text) with its files as attributes:
`paths.arm("resnet18").metrics`, or `ArmFolder("/copied/resnet18").metrics`.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rescan.figure_folders import ArmFigures, ComparisonFolder, ExploreFolder, FileOf

RUN = "fold{fold}_seed{seed}"
AUTOENCODERS = "autoencoders"
EXPLORE = "explore"
COMPARISON_FIGURES = "comparison_figures"
TABLES = "tables"
PROVENANCE = "provenance"
STATES = ".state"
OVERVIEW = "results/index.html"  # the page of all studies at all scales
RAW, RAW_EXTRA, DOWNLOAD = "raw", "raw_extra", "download"
EXTERNAL = "external"  # the folder of external data sets: each is a study of its own, <study>/external/<name>


class StoreFolder(str):
    """A packed store (`rescan.preparation.store` describes what the files hold)."""

    images = FileOf("images.npy")
    items = FileOf("items.csv")
    preparation = FileOf("preparation.json")
    masks = FileOf("masks.npy")  # where the samples have lesion masks
    layers = FileOf("layers.npy")  # where layers of the retina are known
    affines = FileOf("affines.npy")  # of volumes

    @property
    def beside(self) -> tuple[str, ...]:
        """What may lie beside images.npy and preparation.json."""
        return self.items, self.masks, self.layers, self.affines


class RunFolder(str):
    """An arm trained once: one fold, one seed."""

    model = FileOf("model.safetensors")
    history = FileOf("history.csv")  # one row per epoch
    losses = FileOf("losses.csv")  # one row per step of the optimizer
    network = FileOf("network.json")  # shapes and numbers of parameters
    curves = FileOf("curves.png")
    predictions = FileOf("predictions.csv")  # one row per item
    vectors = FileOf("vectors.npy")  # what the heads are fed
    diagnosis = FileOf("diagnosis.json")  # did the network collapse?
    training_range = FileOf("training_range.safetensors")  # what images the network was trained on


class AutoencoderFolder(str):
    """An autoencoder trained once."""

    encoder = FileOf("encoder.safetensors")
    history = FileOf("history.csv")
    curves = FileOf("curves.png")
    reconstructions = FileOf("reconstructions.npy")
    reconstructions_figure = FileOf("reconstructions.png")


class GradcamFolder(str):
    """The Grad-CAM maps of an arm."""

    summary = FileOf("summary.json")
    scores = FileOf("scores.csv")
    checks = FileOf("checks.csv")
    checks_figure = FileOf("checks.png")
    chosen = FileOf("chosen.csv")
    sheet = FileOf("sheet.png")
    maps = FileOf("maps.npy")  # of images
    browser = FileOf("browser.json")  # of volumes: what the page needs to leaf through them
    images = FileOf("images")
    volumes = FileOf("volumes")


class ArmFolder(str):
    """The results of an arm over all its runs."""

    posttraining = FileOf("posttraining.json")
    metrics = FileOf("metrics.json")
    submission = FileOf("submission.csv")

    @property
    def figures(self) -> ArmFigures:
        """The folder of its figures."""
        return ArmFigures(f"{self}/figures")

    @property
    def gradcam(self) -> GradcamFolder:
        """The folder of its Grad-CAM maps."""
        return GradcamFolder(f"{self}/gradcam")

    def run(self, fold: int | str, seed: int | str) -> RunFolder:
        """The folder of one of its runs; `*` stands for all."""
        return RunFolder(f"{self}/{RUN.format(fold=fold, seed=seed)}")


class StateFolder(str):
    """What a training resumes from."""

    state = FileOf("state.json")
    outputs = FileOf("outputs")  # of a finished training


@dataclass(frozen=True)
class Paths:
    """The paths of one study at one scale."""

    scale: str
    study: str

    @property
    def results(self) -> str:
        """The study's folder of results."""
        return f"results/{self.scale}/{self.study}"

    @property
    def data(self) -> str:
        """The study's folder of data."""
        return f"data/{self.scale}/{self.study}"

    @property
    def resolved(self) -> str:
        """The study file, merged and checked, as JSON: what every later step reads."""
        return f"{self.results}/study.json"

    @property
    def source(self) -> str:
        """Where the data came from, and what they are."""
        return f"{self.data}/source.json"

    @property
    def files(self) -> str:
        """Size and digest of each file of the data, as they came."""
        return f"{self.data}/files.csv"

    @property
    def raw(self) -> str:
        """The data set in its native layout, if it was downloaded, unpacked or made here."""
        return f"{self.data}/{RAW}"

    def raw_of(self, origin: str) -> str:
        """The same of the study's own data (""), or of an extra source, which lies beside."""
        return f"{self.data}/{RAW_EXTRA}/{origin}" if origin else self.raw

    def download(self, origin: str = "") -> str:
        """The folder of an unfinished download of the study's own data (""), or of an extra source."""
        return f"{self.data}/{RAW_EXTRA}/.{origin}.{DOWNLOAD}" if origin else f"{self.data}/{DOWNLOAD}"

    @property
    def patients_key(self) -> str:
        """What ids from headers are hashed with, of external data too: beside the data, for it belongs in no result."""
        return f"{Paths(self.scale, self.study.partition('/')[0]).data}/.patients.key"

    @property
    def manifest(self) -> str:
        """One row per sample."""
        return f"{self.results}/manifest.csv"

    @property
    def dropped(self) -> str:
        """The number of samples per label that the study drops."""
        return f"{self.results}/dropped.json"

    @property
    def audit(self) -> str:
        """The report of the audit."""
        return f"{self.results}/audit.json"

    @property
    def groups(self) -> str:
        """The group of each sample."""
        return f"{self.results}/groups.csv"

    @property
    def splits(self) -> str:
        """The part of each sample, per fold."""
        return f"{self.results}/splits.csv"

    @property
    def explore(self) -> ExploreFolder:
        """The folder of figures of the data."""
        return ExploreFolder(f"{self.results}/{EXPLORE}")

    @property
    def comparison(self) -> str:
        """Arms against each other and against the published numbers."""
        return f"{self.results}/comparison.csv"

    @property
    def comparison_figures(self) -> ComparisonFolder:
        """The folder of its figures."""
        return ComparisonFolder(f"{self.results}/{COMPARISON_FIGURES}")

    @property
    def tables(self) -> str:
        """The folder of what a paper needs: tables as CSV and LaTeX, methods, citations, checklists."""
        return f"{self.results}/{TABLES}"

    @property
    def page(self) -> str:
        """The study's page."""
        return f"{self.results}/index.html"

    @property
    def card(self) -> str:
        """What the page says in short: of these the page of all studies is made."""
        return f"{self.results}/card.json"

    @property
    def provenance(self) -> str:
        """The folder of what each step read and wrote: outside all declared outputs, which Snakemake deletes."""
        return f"{self.results}/{PROVENANCE}"

    @property
    def crate(self) -> str:
        """All provenance of the study as a Process Run RO-Crate."""
        return f"{self.results}/ro-crate-metadata.json"

    @property
    def progress(self) -> str:
        """Locked while a workflow makes the study's results; else it says how the last one ended."""
        return f"{self.results}/.progress"

    def store(self, preparation: str) -> StoreFolder:
        """The packed store of a preparation."""
        return StoreFolder(f"{self.data}/{preparation}")

    def arm(self, arm: str) -> ArmFolder:
        """The folder of an arm."""
        return ArmFolder(f"{self.results}/{arm}")

    def run(self, arm: str, fold: int | str, seed: int | str) -> RunFolder:
        """The folder of a run."""
        return self.arm(arm).run(fold, seed)

    def autoencoder(self, name: str, fold: int | str, seed: int | str) -> AutoencoderFolder:
        """The folder of an autoencoder's run."""
        return AutoencoderFolder(self.run(f"{AUTOENCODERS}/{name}", fold, seed))

    def state(self, arm: str, fold: int | str, seed: int | str) -> StateFolder:
        """The trainer's state folder: outside the declared outputs, which Snakemake deletes when a job fails."""
        return StateFolder(f"results/{self.scale}/{STATES}/{self.study}/{arm}/{RUN.format(fold=fold, seed=seed)}")

    def autoencoder_state(self, name: str, fold: int | str, seed: int | str) -> StateFolder:
        """The same of an autoencoder's training."""
        return self.state(f"{AUTOENCODERS}/{name}", fold, seed)

    @staticmethod
    def weights(encoder: str, file: str | Path | None = None) -> str:
        """An encoder's pretrained weights: the published ones, or those of a file elsewhere, given by its path."""
        if file is not None:
            readable = re.sub(r"[^A-Za-z0-9_-]", "_", Path(file).stem)[:60]
            encoder += f".{readable}-{hashlib.blake2b(os.fsencode(file), digest_size=4).hexdigest()}"
        return f"data/weights/{encoder}.safetensors"

    @staticmethod
    def provenance_of_all() -> str:
        """The same of steps that serve all studies."""
        return f"data/weights/{PROVENANCE}"

    @staticmethod
    def of(resolved: str) -> Paths:
        """The paths of the study whose study.json is at `resolved`."""
        folder = PurePosixPath(resolved).parent
        return Paths(folder.parent.name, folder.name)
