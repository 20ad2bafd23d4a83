"""t-SNE: many numbers per image brought to a point in the plane, and the figure of these points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import eigh

from rescan.reporting.figures.style import PART_LOOKS, PathLike, canvas, class_colors, short
from rescan.results.parts import PARTS
from rescan.study import NO_LABEL, SEPARATOR, Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEVERAL = "several"
MOST_POINTS = 5000
FEWEST_POINTS = 5  # with fewer there is no neighborhood
FEW_POINTS = 1000  # for which one thread is quicker than several, which wait for each other longer than they work
COMPONENTS = 50
PERPLEXITY = 40
BLOCK = 4096  # columns that are turned into floating point at once


def principal_components(vectors: np.ndarray, count: int = COMPONENTS) -> np.ndarray:
    """Scores of the principal components, by the eigenvectors of the centered vectors' products with each other.

    Exact, and needs memory for (N, N) float32 beside the vectors only: 3,662 vectors of 65,536 pixels took 11 s and
    0.5 GB on two cores.

    Args:
        vectors: (N, D), of any type of numbers, as they lie.
        count: Components, at most N.

    Returns:
        (N, count) float32, the component with the largest variance first.
    """
    n, width = vectors.shape
    products = np.zeros((n, n), np.float32)
    for start in range(0, width, BLOCK):
        block = vectors[:, start : start + BLOCK].astype(np.float32)
        block -= block.mean(axis=0)
        products += block @ block.T
    count = min(count, n)
    values, axes = eigh(products, subset_by_index=[n - count, n - 1])
    scores: np.ndarray = (axes * np.sqrt(np.maximum(values, 0)))[:, ::-1].astype(np.float32)
    return scores


def tsne(vectors: np.ndarray, seed: int, perplexities: Sequence[float] = ()) -> dict[float, np.ndarray]:
    """Embed vectors in the plane by t-SNE (van der Maaten and Hinton 2008) of their first 50 principal components.

    Args:
        vectors: (N, D), N ≥ 5.
        seed: Of t-SNE's own draws.
        perplexities: Others than 40, which comes first, or N/3 in its place where that is less; left out above N/3.

    Returns:
        Perplexity → (N, 2) coordinates without units; all 0 where all vectors are equal.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    components, most = principal_components(vectors), len(vectors) / 3
    fitting = dict.fromkeys([min(PERPLEXITY, round(most, 1)), *(value for value in perplexities if value <= most)])
    if not components.any():
        return {value: np.zeros((len(vectors), 2)) for value in fitting}
    threads = 1 if len(vectors) <= FEW_POINTS else None
    with threadpool_limits(threads, user_api="openmp"):
        return {
            value: TSNE(perplexity=value, init="pca", learning_rate="auto", random_state=seed).fit_transform(components)
            for value in fitting
        }


def groups(outcome: Outcome, labels: Iterable[str]) -> tuple[list[str], list[str]]:
    """What points are colored by: the class of each label, and all classes; of several labels, "several" or "none"."""
    if not outcome.multilabel:
        return list(labels), outcome.classes
    return [SEVERAL if SEPARATOR in label else label for label in labels], [*outcome.classes, SEVERAL, NO_LABEL]


def scatter(
    embeddings: Mapping[float, np.ndarray],
    labels: Sequence[str],
    parts: Sequence[str],
    classes: Sequence[str],
    out: PathLike,
    *,
    ordered: bool = False,
    title: str = "",
) -> None:
    """Draw points of the plane, class by color, part by marker: a large panel, further ones small below it.

    Args:
        embeddings: Perplexity → (N, 2) coordinates without units; the first is the large panel's.
        labels: N class names.
        parts: N parts.
        classes: The classes in the legend's order.
        out: The PNG.
        ordered: Whether the classes are grades.
        title: What was embedded.
    """
    label, part = np.asarray(labels), np.asarray(parts)
    present = [name for name in PARTS if (part == name).any()]
    colors = class_colors(classes, ordered)
    first, *others = embeddings
    many = len(label) > FEW_POINTS  # as pixels in SVG and PDF, too
    height = 5.0 + 0.22 * ((len(classes) + 1) // 2) + (2.4 if others else 0)
    with canvas(out, height) as figure:
        layout: Any = [[first] * len(others), others] if others else [[first]]
        panels = figure.subplot_mosaic(layout, height_ratios=[2, 1] if others else None)
        for perplexity, points in embeddings.items():
            axes: Axes = panels[perplexity]
            size = (16 if perplexity == first else 5) * min(1.0, (600 / len(points)) ** 0.5)
            for color, name in zip(colors, classes):
                for which in present:
                    x, y = points[(label == name) & (part == which)].T
                    marker = PART_LOOKS[which].marker
                    axes.scatter(
                        x, y, s=max(size, 2), marker=marker, color=color, alpha=0.75, linewidths=0, rasterized=many
                    )
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"perplexity {perplexity:g}", fontsize=10, loc="left")
        of_classes = [
            panels[first].scatter([], [], s=30, marker="s", color=color, label=short(name))
            for color, name in zip(colors, classes)
        ]
        of_parts = [
            panels[first].scatter(
                [], [], s=30, marker=PART_LOOKS[which].marker, color="#777777", label=PART_LOOKS[which].name
            )
            for which in present
        ]
        figure.legend(handles=of_classes, loc="outside upper left", ncols=2)
        below = figure.legend(handles=of_parts, loc="outside lower left", ncols=3, title=title, title_fontsize=9.5)
        below.set_alignment("left")
