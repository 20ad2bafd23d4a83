"""The folders of figures, and how the files of a folder are its attributes (see `rescan.paths`)."""

from __future__ import annotations


class FileOf:
    """A file of a folder: `folder.attribute` is its path."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: str, owner: type) -> str:
        return f"{folder}/{self.name}"


class ExploreFolder(str):
    """Figures of a study's data."""

    class_distribution = FileOf("class_distribution.png")
    samples_raw = FileOf("samples_raw.png")
    samples_prepared = FileOf("samples_prepared.png")
    augmented = FileOf("augmented.png")
    augmentations = FileOf("augmentations.png")
    groups = FileOf("groups.png")
    tsne = FileOf("tsne.png")
    tsne_table = FileOf("tsne.csv")


class ArmFigures(str):
    """Figures of an arm's training and of its results on the test part."""

    curves = FileOf("curves.png")
    losses = FileOf("losses.png")
    features = FileOf("features.png")
    confusion = FileOf("confusion.png")
    roc = FileOf("roc.png")
    reliability = FileOf("reliability.png")
    precision_recall = FileOf("precision_recall.png")
    net_benefit = FileOf("net_benefit.png")
    selective = FileOf("selective.png")
    grades = FileOf("grades.png")
    endpoints = FileOf("endpoints.png")

    def reliability_on(self, external: str) -> str:
        """How well the home temperature fits an external data set."""
        return f"{self}/reliability_{external}.png"


class ComparisonFolder(str):
    """Figures of the comparison of a study's arms."""

    forest = FileOf("forest.png")

    def ablation(self, name: str) -> str:
        """The curves of an ablation's arms."""
        return f"{self}/ablation_{name}.png"
