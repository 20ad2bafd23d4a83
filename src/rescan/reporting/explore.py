"""What the data look like before any training: classes, samples raw and prepared, augmented versions, groups, t-SNE."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from rescan.data import images
from rescan.files import read_json, read_table, write_table
from rescan.log import logger
from rescan.paths import Paths
from rescan.preparation.build import open_store
from rescan.reporting import figures, grids
from rescan.study import Study

COLUMNS = 6  # images in a row of a grid
GROUP_ROWS = 5
MOST_POINTS = 5000
PERPLEXITY = 40
TSNE_SIDE = 64  # pixels


def explore(study: Study) -> None:
    """Write class_distribution, samples_raw, samples_prepared, augmented, groups and tsne (.png), and tsne.csv.

    Shows the preparation of the study's first arm and fold 0 of the split, samples drawn with the study's first seed.

    tsne.csv: item, sample, label, part, x, y (without units).
    """
    paths = Paths(study.scale, study.name)
    out = Path(paths.explore)
    splits = read_table(paths.splits)
    splits = splits[splits["fold"] == 0]
    recipe = next(iter(study.arms.values()))
    prepared, items = open_store(paths.store(recipe.preparation))
    random = np.random.default_rng(study.split.seeds[0])

    counts = {str(part): _counts(rows["label"]) for part, rows in splits.groupby("part")}
    figures.class_distribution(counts, study.data.classes, out / "class_distribution.png")

    source = _Raw(study)
    shown = {name: _draw(splits.loc[splits["label"] == name, "sample"], random) for name in study.data.classes}
    grids.grid(
        [(name, [source.read(sample) for sample in samples], []) for name, samples in shown.items()],
        out / "samples_raw.png",
        COLUMNS,
    )
    first = items.drop_duplicates("sample").set_index("sample")["item"]
    pairs = []
    for name, samples in shown.items():
        both = [(source.read(sample), prepared[first[sample]]) for sample in samples if sample in first.index][
            : COLUMNS // 2
        ]
        pairs.append((name, [image for pair in both for image in pair], ["raw", "prepared"] * len(both)))
    grids.grid(pairs, out / "samples_prepared.png", COLUMNS)

    _augmented(
        study, prepared, [first[samples[0]] for samples in shown.values() if samples and samples[0] in first.index], out
    )
    _groups(read_table(paths.groups), read_table(paths.manifest), source, out / "groups.png")
    _tsne(prepared, items.merge(splits[["sample", "label", "part"]], on="sample"), study, out)


def _counts(labels: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in labels.value_counts().items()}


class _Raw:
    """Reads a sample's image from the study's raw folder; each only once."""

    def __init__(self, study: Study) -> None:
        paths = Paths(study.scale, study.name)
        self.root = Path(read_json(paths.source)["root"])
        self.paths = read_table(paths.manifest).set_index("sample")["path"]
        self.cache: dict[str, np.ndarray] = {}

    def read(self, sample: str) -> np.ndarray:
        if sample not in self.cache:
            self.cache[sample] = images.read(self.root / self.paths[sample])[0]
        return self.cache[sample]


def _draw(samples: pd.Series, random: np.random.Generator) -> list[str]:
    """A seeded draw of at most a row of samples."""
    return [str(name) for name in random.permutation(samples.sort_values().to_numpy())[:COLUMNS]]


def _augmented(study: Study, prepared: np.ndarray, chosen: list[int], out: Path) -> None:
    """One prepared image of each class and versions of it, augmented as the first arm that augments does."""
    recipe = next((recipe for recipe in study.arms.values() if recipe.augmentation), None)
    if recipe is None or not chosen:
        figures.note("No arm augments its training images.", out / "augmented.png")
        return
    from rescan.training.augmentation import preview  # torch: loaded for this figure only

    originals = prepared[sorted(chosen)]
    background = study.preparations[recipe.preparation].background
    versions = [preview(originals, recipe.augmentation, seed, background) for seed in range(COLUMNS - 1)]
    captions = ["original"] + ["augmented"] * (COLUMNS - 1)
    rows = [
        ("", [original, *(version[row] for version in versions)], captions) for row, original in enumerate(originals)
    ]
    grids.grid(rows, out / "augmented.png", COLUMNS)


def _groups(groups: pd.DataFrame, manifest: pd.DataFrame, source: _Raw, out: Path) -> None:
    """A contact sheet: groups of mixed labels first, then the largest."""
    table = groups[groups["problem"] == ""].merge(manifest[["sample", "label", "published_part"]], on="sample")
    members = [rows for _, rows in table.groupby("group") if len(rows) > 1]
    members.sort(key=lambda rows: (rows["label"].nunique(), len(rows)), reverse=True)
    rows = []
    for group in members[:GROUP_ROWS]:
        mixed = len(set(group["label"])) > 1
        title = (
            f"{group['group'].iloc[0]}: {len(group)} samples, {'labels differ' if mixed else group['label'].iloc[0]}"
        )
        captions = group["label" if mixed else "published_part"].tolist()
        rows.append((title, [source.read(sample) for sample in group["sample"].head(COLUMNS)], captions))
    if rows:
        grids.grid(rows, out, COLUMNS)
    else:
        figures.note("No group has more than one sample.", out)


def _tsne(prepared: np.ndarray, items: pd.DataFrame, study: Study, out: Path) -> None:
    """t-SNE of the prepared images as gray vectors, first reduced to 50 principal components; seeded."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    seed = study.split.seeds[0]
    items = items.sample(min(len(items), MOST_POINTS), random_state=seed).sort_values("item")
    if len(items) < 5:
        figures.note("Too few images for t-SNE.", out / "tsne.png")
        write_table(out / "tsne.csv", items[["item", "sample", "label", "part"]].assign(x=np.nan, y=np.nan))
        return
    side = min(TSNE_SIDE, *prepared.shape[1:3])
    size = (side, side)
    gray = (prepared[item].mean(-1, dtype=np.float32) for item in items["item"])
    vectors = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA).ravel() for image in gray])
    vectors = PCA(min(50, *vectors.shape), random_state=seed).fit_transform(vectors)
    perplexity = min(PERPLEXITY, len(items) / 3)
    points = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed).fit_transform(vectors)
    logger.info("t-SNE of %d images of %d × %d pixels, perplexity %.0f", len(items), side, side, perplexity)
    write_table(
        out / "tsne.csv", items[["item", "sample", "label", "part"]].assign(x=points[:, 0], y=points[:, 1]).round(3)
    )
    figures.scatter(points, items["label"].tolist(), items["part"].tolist(), study.data.classes, out / "tsne.png")
