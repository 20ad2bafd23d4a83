"""What the data look like before any training: classes, samples raw and prepared, augmented versions, groups, t-SNE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from rescan.data import images
from rescan.data.index import locate
from rescan.data.layouts import EXTRA, UNLABELED
from rescan.files import read_json, read_table, write_table
from rescan.log import logger
from rescan.paths import Paths
from rescan.preparation.build import open_store, stages_of
from rescan.preparation.operators import CannotPrepare
from rescan.reporting import embedding, grids, overview_figures
from rescan.study import Recipe, Study

COLUMNS = 6  # images in a row of a grid
EACH_COLUMNS = 4  # … and where each augmentation is shown
GROUP_ROWS = 5
SHOWN_SIDE = 420  # pixels, more than any grid shows of an image
PERPLEXITIES = (10, 80)  # beside t-SNE's main one
TSNE_SIDE = 256  # pixels
# The stages of a preparation that change the look, beside the raw and the last one; the last of a kind is shown.
LOOKS = {"crop_brain": "cropped", "crop_circle": "cropped", "crop_gray": "cropped", "enhance": "enhanced"}


def explore(study: Study) -> None:
    """Write class_distribution, samples_raw, samples_prepared, augmented, augmentations, groups, tsne (.png), tsne.csv.

    Shows the preparation of the study's first arm and fold 0 of the split, samples drawn with the study's first seed;
    of the study's own labeled samples, the others are counted only.

    tsne.csv: item, sample, label, part, then x_P, y_P (without units) for each perplexity P.
    """
    paths = Paths(study.scale, study.name)
    out = Path(paths.explore)
    everything = read_table(paths.splits)
    everything = everything[everything["fold"] == 0]
    splits = everything[~everything["part"].isin([UNLABELED, EXTRA])]
    prepared, items = open_store(paths.store(study.arms[study.first_arm].preparation))
    random = np.random.default_rng(study.split.seeds[0])

    counts = {str(part): _counts(rows["label"]) for part, rows in splits.groupby("part")}
    overview_figures.class_distribution(counts, study.data.classes, out / "class_distribution.png", _beside(everything))

    source = _Raw(study)
    usable = splits[splits["sample"].isin(items["sample"])]
    shown = {name: _draw(usable.loc[usable["label"] == name, "sample"], random) for name in study.data.classes}
    raw: grids.Rows = [(name, [source.read(sample) for sample in samples], []) for name, samples in shown.items()]
    grids.grid(raw, out / "samples_raw.png", COLUMNS)
    _prepared(study, shown, source, out / "samples_prepared.png")
    first = items.drop_duplicates("sample").set_index("sample")["item"]
    _augmented(study, prepared, {name: first[samples[0]] for name, samples in shown.items() if samples}, out)
    _groups(study, source, out / "groups.png")
    _tsne(prepared, items.merge(splits[["sample", "label", "part"]], on="sample"), study, out)


def _counts(labels: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in labels.value_counts().items()}


def _beside(splits: pd.DataFrame) -> list[str]:
    """What the class distribution leaves out, in words."""
    unlabeled = int((splits["part"] == UNLABELED).sum())
    said = [f"and {unlabeled:,} images without a label"] if unlabeled else []
    extra = splits[splits["part"] == EXTRA]
    return said + [f"and {len(rows):,} of {name}, for training only" for name, rows in extra.groupby("origin")]


class _Raw:
    """Reads a sample's image, shrunk to what a grid can show; each only once."""

    def __init__(self, study: Study) -> None:
        paths = Paths(study.scale, study.name)
        manifest = read_table(paths.manifest)
        self.paths: dict[str, Any] = dict(zip(manifest["sample"], locate(paths, manifest)))
        self.cache: dict[str, np.ndarray] = {}

    def read(self, sample: str) -> np.ndarray:
        if sample not in self.cache:
            self.cache[sample] = _shrunk(images.read(self.paths[sample], SHOWN_SIDE)[0])
        return self.cache[sample]


def _shrunk(image: np.ndarray, side: int = SHOWN_SIDE) -> np.ndarray:
    """An image of at most `side` pixels a side, aspect kept."""
    scale = side / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    return image if scale >= 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _draw(samples: pd.Series, random: np.random.Generator) -> list[str]:
    """A seeded draw of at most a row of samples."""
    return [str(name) for name in random.permutation(samples.sort_values().to_numpy())[:COLUMNS]]


def _prepared(study: Study, shown: dict[str, list[str]], source: _Raw, out: Path) -> None:
    """Some samples of each class, raw and after those steps of the preparation that change the look."""
    preparation = study.preparations[study.arms[study.first_arm].preparation]
    looks: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in shown}
    for name, samples in shown.items():
        for sample in samples[: COLUMNS // 2]:
            try:
                looks[name].append(_looks(stages_of(source.paths[sample], preparation)))
            except (CannotPrepare, images.Unreadable) as error:  # the file has changed since it was prepared
                logger.warning("explore: %s: %s", sample, error)
    kinds = max((len(look) for row in looks.values() for look in row), default=1)
    fitting = max(1, COLUMNS // kinds)
    rows = [
        (name, [image for look in row[:fitting] for image in look.values()], [kind for look in row for kind in look])
        for name, row in looks.items()
    ]
    grids.grid(rows, out, kinds * fitting)


def _looks(stages: list[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Caption → image: raw, cropped, enhanced (what applies and is not the last but for its size), prepared."""
    last = max((number for number, (name, _) in enumerate(stages) if name != "resize"), default=0)
    found = {LOOKS[name]: image for name, image in stages[1:last] if name in LOOKS}
    whole = {"raw": stages[0][1], **found, "prepared": stages[-1][1]}
    return {kind: _shrunk(image) for kind, image in whole.items()}


def _augmented(study: Study, prepared: np.ndarray, chosen: dict[str, int], out: Path) -> None:
    """An item of each class, augmented as the first arm that augments does; and each augmentation by itself."""
    arms = [recipe for recipe in study.arms.values() if recipe.augmentation and recipe.trains]
    if not arms or not chosen:
        for name in ("augmented", "augmentations"):
            overview_figures.note("No arm augments its training images.", out / f"{name}.png")
        return
    from rescan.training.augmentation import preview, preview_each  # torch: loaded for these figures only

    originals = prepared[list(chosen.values())]
    background = study.preparations[study.arms[study.first_arm].preparation].background
    versions = [preview(originals, arms[0].augmentation, seed, background) for seed in range(COLUMNS - 1)]
    captions = ["original"] + ["augmented"] * (COLUMNS - 1)
    rows = [
        (name, [originals[row], *(version[row] for version in versions)], captions) for row, name in enumerate(chosen)
    ]
    grids.grid(rows, out / "augmented.png", COLUMNS)

    everything = _every_augmentation(arms)
    each = [("original", originals[-1]), *preview_each(originals[-1], everything, background)]
    strength = {name: _strength(value) for name, value in everything.items()}
    shown = [(f"{name.replace('_', ' ')}\n{strength.get(name, '')}", image) for name, image in each]
    lines = [shown[start : start + EACH_COLUMNS] for start in range(0, len(shown), EACH_COLUMNS)]
    sheet: grids.Rows = [("", [image for _, image in line], [text for text, _ in line]) for line in lines]
    grids.grid(sheet, out / "augmentations.png", EACH_COLUMNS)


def _every_augmentation(arms: list[Recipe]) -> dict[str, Any]:
    """All augmentations of a study's arms, each as the first arm has it that does."""
    found: dict[str, Any] = {}
    for recipe in arms:
        found = {**recipe.augmentation, **found}
    return found


def _strength(value: Any) -> str:
    return "–".join(f"{number:g}" for number in value) if isinstance(value, list) else f"{value:g}"


def _groups(study: Study, source: _Raw, out: Path) -> None:
    """A contact sheet of groups of duplicates: those of mixed labels first, then the largest.

    Where patients are known a group also holds what shares a patient, so then only the mixed ones are shown.
    """
    paths = Paths(study.scale, study.name)
    table = read_table(paths.groups)
    table = table[table["problem"] == ""].merge(read_table(paths.manifest), on="sample").set_index("sample", drop=False)
    mixed = [table.loc[table.index.intersection(names)] for names in read_json(paths.audit)["mixed_label_groups"]]
    seen = {sample for rows in mixed for sample in rows["sample"]}
    alone = table[table["patient"] == ""]
    others = [rows for _, rows in alone.groupby("group") if len(rows) > 1 and not seen & set(rows["sample"])]
    rows = []
    for group in [*_largest_first(mixed), *_largest_first(others)][:GROUP_ROWS]:
        labels = group["label"][group["label"] != ""].unique()
        said = "labels differ" if len(labels) > 1 else labels[0] if len(labels) else "no label"
        title = f"{group['group'].iloc[0]}: {len(group)} samples, {said}"
        where = group["published_part"]
        captions = group["label"].mask(group["label"] == "", where) if len(labels) > 1 else where
        rows.append((title, [source.read(sample) for sample in group["sample"].head(COLUMNS)], captions.tolist()))
    if rows:
        grids.grid(rows, out, COLUMNS)
    else:
        overview_figures.note("There are no duplicates.", out)


def _largest_first(groups: list[pd.DataFrame]) -> list[pd.DataFrame]:
    return sorted((rows for rows in groups if len(rows)), key=len, reverse=True)


def _tsne(prepared: np.ndarray, items: pd.DataFrame, study: Study, out: Path) -> None:
    """t-SNE of the prepared images as gray vectors; seeded."""
    seed = study.split.seeds[0]
    items = items.sample(min(len(items), embedding.MOST_POINTS), random_state=seed).sort_values("item")
    table = items[["item", "sample", "label", "part"]].reset_index(drop=True)
    if len(items) < embedding.FEWEST_POINTS:
        overview_figures.note("Too few images for t-SNE.", out / "tsne.png")
        write_table(out / "tsne.csv", table)
        return
    embeddings = embedding.tsne(_gray(prepared, items["item"].tolist()), seed, PERPLEXITIES)
    side = " × ".join(map(str, _size(prepared)))
    logger.info("t-SNE of %d images of %s pixels, perplexities %s", len(items), side, [f"{p:g}" for p in embeddings])
    for perplexity, points in embeddings.items():
        for name, values in zip("xy", points.T):
            table[f"{name}_{perplexity:g}"] = values.round(3)
    write_table(out / "tsne.csv", table)
    embedding.scatter(
        embeddings,
        table["label"].tolist(),
        table["part"].tolist(),
        study.data.classes,
        out / "tsne.png",
        ordered=study.data.ordered,
        title=f"gray images of {side} pixels, {min(embedding.COMPONENTS, len(items))} principal components",
    )


def _size(prepared: np.ndarray) -> tuple[int, int]:
    """Height and width of the vectors' images: those of the store, at most 256."""
    height, width = prepared.shape[1:3]
    scale = min(1.0, TSNE_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _gray(prepared: np.ndarray, items: list[int]) -> np.ndarray:
    """The images as gray vectors, uint8: a byte a pixel, so that 5,000 of 256 × 256 pixels take 0.3 GB."""
    height, width = _size(prepared)
    vectors = np.empty((len(items), height * width), np.uint8)
    for row, item in enumerate(items):
        image = np.ascontiguousarray(prepared[item])
        gray = image[..., 0] if image.shape[-1] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        same = gray.shape == (height, width)
        vectors[row] = (gray if same else cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)).ravel()
    return vectors
