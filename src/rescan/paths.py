"""Where everything lies: one place for the paths that the rules declare and the steps use.

`Paths("demo", "{study}")` gives Snakemake's patterns, `Paths("demo", "brain_tumor")` the real files. All are relative
to the folder that the workflow is run in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


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
        """What came from where."""
        return f"{self.data}/source.json"

    @property
    def raw(self) -> str:
        """The data set in its native layout, where it was brought here."""
        return f"{self.data}/raw"

    def raw_of(self, origin: str) -> str:
        """The same of the study's own data (""), or of an extra source, which lies beside."""
        return f"{self.data}/raw_extra/{origin}" if origin else self.raw

    @property
    def manifest(self) -> str:
        """One row a sample."""
        return f"{self.results}/manifest.csv"

    @property
    def dropped(self) -> str:
        """How many samples each label has that the study drops."""
        return f"{self.results}/dropped.json"

    @property
    def audit(self) -> str:
        """What the audit found."""
        return f"{self.results}/audit.json"

    @property
    def groups(self) -> str:
        """Each sample's group."""
        return f"{self.results}/groups.csv"

    @property
    def splits(self) -> str:
        """Each sample's part, a fold."""
        return f"{self.results}/splits.csv"

    @property
    def explore(self) -> str:
        """The folder of figures of the data."""
        return f"{self.results}/explore"

    @property
    def comparison(self) -> str:
        """Arms against each other and against the published numbers."""
        return f"{self.results}/comparison.csv"

    @property
    def page(self) -> str:
        """The one page of all studies at this scale."""
        return f"results/{self.scale}/index.html"

    def store(self, preparation: str) -> str:
        """The packed store's folder: images.npy, items.csv and, where the source has masks, masks.npy."""
        return f"{self.data}/{preparation}"

    def arm(self, arm: str) -> str:
        """The folder of an arm."""
        return f"{self.results}/{arm}"

    def run(self, arm: str, fold: int | str, seed: int | str) -> str:
        """The folder of a run."""
        return f"{self.arm(arm)}/fold{fold}_seed{seed}"

    def autoencoder(self, name: str, fold: int | str, seed: int | str) -> str:
        """The folder of an autoencoder's run."""
        return self.run(f"autoencoders/{name}", fold, seed)

    def state(self, arm: str, fold: int | str, seed: int | str) -> str:
        """The trainer's state folder: outside the declared outputs, which Snakemake deletes when a job fails."""
        return f"results/{self.scale}/.state/{self.study}/{arm}/fold{fold}_seed{seed}"

    @staticmethod
    def weights(encoder: str) -> str:
        """An encoder's pretrained weights."""
        return f"data/weights/{encoder}.safetensors"

    @staticmethod
    def of(resolved: str) -> Paths:
        """The paths of the study whose study.json is at `resolved`."""
        folder = PurePosixPath(resolved).parent
        return Paths(folder.parent.name, folder.name)
