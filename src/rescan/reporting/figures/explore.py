"""What the data look like before any training: classes, samples raw and prepared, augmented versions, groups, t-SNE."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pandas as pd

from rescan.data.gray_levels import STEPS, stretched
from rescan.figure_folders import ExploreFolder
from rescan.files import write_table
from rescan.log import logger
from rescan.paths import Paths
from rescan.preparation.store import open_store
from rescan.replacing import replacing
from rescan.reporting.figures import embedding, grids, overview_figures
from rescan.reporting.figures.looks import FRONT, STACK, Looks, Source, small, views
from rescan.reporting.figures.style import PathLike
from rescan.results.agreement import check_items, read_samples, read_splits
from rescan.results.audit_report import AuditReport
from rescan.results.parts import EXTRA, LEFT_OUT, PARTS, UNLABELED
from rescan.study import Recipe, Study

Row = tuple[str, list[np.ndarray], list[str]]  # of a grid

COLUMNS = 6  # images in a row of a grid
EACH_COLUMNS, MOST_COLUMNS = 4, 7  # … and where each augmentation is shown, of volumes at most
GROUP_ROWS = 5
PERPLEXITIES = (10, 80)  # beside t-SNE's main one
TSNE_SIDE = 256  # pixels


def explore(study: Study) -> None:
    """Write class_distribution, samples_raw, samples_prepared, augmented, augmentations, groups, tsne (.png), tsne.csv.

    Shows the preparation of the study's first arm and fold 0 of the split, samples drawn with the study's first seed;
    of the study's own labeled samples, the others are counted only. A volume is shown by its projection along the depth
    and a slice; of a sample that gives several patches, the first is augmented and embedded.

    tsne.csv: item, sample, label, part, then x_P, y_P (without units) for each perplexity P.
    """
    paths = Paths(study.scale, study.name)
    with replacing(paths.explore) as folder:
        _explore(study, paths, ExploreFolder(folder))


def _explore(study: Study, paths: Paths, out: ExploreFolder) -> None:
    samples, everything = read_samples(study), read_splits(study)
    everything = everything[everything["fold"] == 0]
    splits = everything[everything["part"].isin(PARTS)]
    name = study.arms[study.first_arm].preparation
    store, items = open_store(paths.store(name))
    check_items(study, everything, items, paths.store(name))
    source = Source(study, study.preparations[name])
    random = np.random.default_rng(study.split.seeds[0])

    outcome = study.data.outcome
    counts = {str(part): _counts(outcome.by_class(rows)["label"]) for part, rows in splits.groupby("part")}
    overview_figures.class_distribution(counts, study.data.classes, out.class_distribution, _beside(everything))

    usable = splits[splits["sample"].isin(items["sample"])]
    samples_of = {
        name: _draw(usable.loc[outcome.has(usable["label"], name), "sample"], random) for name in study.data.classes
    }
    fitting = COLUMNS // source.pictures
    raw = {name: [source.read(sample) for sample in samples[:fitting]] for name, samples in samples_of.items()}
    grids.grid([(name, *_row(looks)) for name, looks in raw.items()], out.samples_raw, COLUMNS)
    _prepared(source, samples_of, out.samples_prepared)
    first = items.drop_duplicates("sample")
    item_of = first.set_index("sample")["item"]
    examples = {name: item_of[samples[0]] for name, samples in samples_of.items() if samples}
    stacks = any(STACK[0] in look for looks in raw.values() for look in looks)
    _augmented(study, store, examples, STACK if stacks else FRONT, out)
    _groups(study, samples, source, out.groups)
    _tsne(store, first.merge(splits[["sample", "label", "part"]], on="sample"), study, out)


def _counts(labels: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in labels.value_counts().items()}


def _beside(splits: pd.DataFrame) -> list[str]:
    """What the class distribution leaves out, in words."""
    unlabeled = int((splits["part"] == UNLABELED).sum())
    lines = [f"and {unlabeled:,} images without a label"] if unlabeled else []
    left_out = int((splits["part"] == LEFT_OUT).sum())
    lines += [f"and {left_out:,} left out of the split"] if left_out else []
    extra = splits[splits["part"] == EXTRA]
    return lines + [f"and {len(rows):,} of {name}, for training only" for name, rows in extra.groupby("origin")]


def _draw(samples: pd.Series, random: np.random.Generator) -> list[str]:
    """A seeded draw of at most a row of samples."""
    return [str(name) for name in random.permutation(samples.sort_values().to_numpy())[:COLUMNS]]


def _row(looks: list[Looks]) -> tuple[list[np.ndarray], list[str]]:
    """Pictures of several samples side by side, and their captions, if they have any."""
    pictures = [picture for look in looks for picture in look.values()]
    return pictures, [caption for look in looks for caption in look if caption]


def _prepared(source: Source, samples_of: dict[str, list[str]], out: PathLike) -> None:
    """Some samples of each class, raw and after those steps of the preparation that change the look."""
    looks = {
        name: [look for sample in samples[: COLUMNS // 2] if (look := source.prepared(sample))]
        for name, samples in samples_of.items()
    }
    kinds = max((len(look) for row in looks.values() for look in row), default=1)
    fitting = max(1, COLUMNS // kinds)
    grids.grid([(name, *_row(row[:fitting])) for name, row in looks.items()], out, kinds * fitting)


def _augmented(
    study: Study, store: np.ndarray, examples: dict[str, int], view_names: tuple[str, ...], out: ExploreFolder
) -> None:
    """An item of each class, augmented as the first arm that augments does; and each augmentation by itself."""
    preparation = study.preparations[study.arms[study.first_arm].preparation]
    arms = [
        recipe
        for recipe in study.arms.values()
        if recipe.augmentation
        and recipe.trains
        and study.preparations[recipe.preparation].dimensions == preparation.dimensions
    ]
    if not arms or not examples:
        for figure in (out.augmented, out.augmentations):
            overview_figures.note("No arm augments its training images.", figure)
        return
    from rescan.training.augment import preview, preview_each  # torch: loaded for these figures only

    items = np.stack([small(store[item]) for item in examples.values()])
    originals = preview(items, {}, 0, preparation.background)
    versions = [preview(items, arms[0].augmentation, seed, preparation.background) for seed in range(COLUMNS - 1)]
    captions = ["original"] + ["augmented"] * (COLUMNS - 1)
    rows: list[Row] = []
    for number, name in enumerate(examples):
        items_of_row = [version[number] for version in (originals, *versions)]
        rows += _rows(name, items_of_row, captions, view_names, originals[number])
    grids.grid(rows, out.augmented, COLUMNS)

    everything, last = _every_augmentation(arms), originals[-1]
    each = [("original", last), *preview_each(last, everything, preparation.background)]
    strength = {name: _strength(value) for name, value in everything.items()}
    columns, space = EACH_COLUMNS, " "
    if last.ndim == 4:  # smaller pictures, as there are two of each, in as few even lines as fit
        columns, space = max(EACH_COLUMNS, math.ceil(len(each) / math.ceil(len(each) / MOST_COLUMNS))), "\n"
    texts = [f"{name.replace('_', space)}\n{strength.get(name, '')}" for name, _ in each]
    sheet: list[Row] = []
    for start in range(0, len(each), columns):
        line = slice(start, start + columns)
        sheet += _rows("", [item for _, item in each[line]], texts[line], view_names, last)
    grids.grid(sheet, out.augmentations, columns)


def _rows(
    title: str, items: list[np.ndarray], captions: list[str], view_names: tuple[str, ...], original: np.ndarray
) -> list[Row]:
    """Items as a row of pictures; volumes as a row for each view, stretched as that of the original is."""
    if original.ndim == 3:
        return [(title, items, captions)]
    pictures = zip(*(views(item[..., 0]) for item in items))
    return [
        (f"{title}: {view}" if title else view, [stretched(picture, as_in) for picture in row], captions)
        for view, row, as_in in zip(view_names, pictures, views(original[..., 0]))
    ]


def _every_augmentation(arms: list[Recipe]) -> dict[str, Any]:
    """All augmentations of a study's arms, each as the first arm has it that does."""
    strengths: dict[str, Any] = {}
    for recipe in arms:
        strengths = {**recipe.augmentation, **strengths}
    return strengths


def _strength(value: Any) -> str:
    return "–".join(f"{number:g}" for number in value) if isinstance(value, list) else f"{value:g}"


def _groups(study: Study, samples: pd.DataFrame, source: Source, out: PathLike) -> None:
    """A contact sheet of groups of duplicates: those of mixed labels first, then of several patients, then the largest.

    Where patients are known a group also holds what shares a patient, so then only those two kinds are shown.
    """
    report = AuditReport.read(Paths(study.scale, study.name).audit)
    table = samples[samples["problem"] == ""].set_index("sample", drop=False)
    mixed, several = (
        _largest_first([table.loc[table.index.intersection(names)] for names in groups])
        for groups in (report.mixed_label_groups, report.several_patient_groups)
    )
    shown = {sample for rows in [*mixed, *several] for sample in rows["sample"]}
    alone = table[table["patient"] == ""]
    others = [rows for _, rows in alone.groupby("group") if len(rows) > 1 and not shown & set(rows["sample"])]
    rows = []
    for group in [*mixed, *several, *_largest_first(others)][:GROUP_ROWS]:
        labels = group["label"][group["label"] != ""].unique()
        label = "labels differ" if len(labels) > 1 else labels[0] if len(labels) else "no label"
        patients = group["patient"][group["patient"] != ""].nunique()
        of_patients = f", {patients} patients" if patients > 1 else ""
        title = f"{group['group'].iloc[0]}: {len(group)} samples, {label}{of_patients}"
        where = group["published_part"]
        captions = group["label"].mask(group["label"] == "", where) if len(labels) > 1 else where
        looks = [
            (list(source.read(sample).values()), text) for sample, text in zip(group["sample"], captions[:COLUMNS])
        ]
        readable = [(pictures[0], text) for pictures, text in looks if pictures]
        rows.append((title, [picture for picture, _ in readable], [text for _, text in readable]))
    if rows:
        grids.grid(rows, out, COLUMNS)
    else:
        overview_figures.note("No duplicates but those of known patients, if any.", out)


def _largest_first(groups: list[pd.DataFrame]) -> list[pd.DataFrame]:
    return sorted((rows for rows in groups if len(rows)), key=len, reverse=True)


def _tsne(store: np.ndarray, items: pd.DataFrame, study: Study, out: ExploreFolder) -> None:
    """t-SNE of the prepared images, or of the projections of volumes, as gray vectors; seeded."""
    seed = study.split.seeds[0]
    items = items.sample(min(len(items), embedding.MOST_POINTS), random_state=seed).sort_values("item")
    table = items[["item", "sample", "label", "part"]].reset_index(drop=True)
    if len(items) < embedding.FEWEST_POINTS:
        overview_figures.note("Too few images for t-SNE.", out.tsne)
        write_table(out.tsne_table, table)
        return
    embeddings = embedding.tsne(_gray(store, items["item"].tolist()), seed, PERPLEXITIES)
    kind = "projections" if store.ndim == 5 else "gray images"
    vectors = f"{kind} of {' × '.join(map(str, _size(store)))} pixels"
    logger.info("t-SNE of %d %s, perplexities %s", len(items), vectors, [f"{p:g}" for p in embeddings])
    for perplexity, points in embeddings.items():
        for name, values in zip("xy", points.T):
            table[f"{name}_{perplexity:g}"] = values.round(3)
    write_table(out.tsne_table, table)
    labels, classes = embedding.groups(study.data.outcome, table["label"])
    embedding.scatter(
        embeddings,
        labels,
        table["part"].tolist(),
        classes,
        out.tsne,
        ordered=study.data.ordered,
        title=f"{vectors}, {min(embedding.COMPONENTS, len(items))} principal components",
    )


def _size(store: np.ndarray) -> tuple[int, int]:
    """Height and width of the vectors' images: those of the store, at most 256."""
    height, width = store.shape[-3:-1]
    scale = min(1.0, TSNE_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _gray(store: np.ndarray, items: list[int]) -> np.ndarray:
    """The images as gray vectors, uint8: one byte per pixel, so that 5,000 of 256 × 256 pixels take 0.3 GB.

    Of volumes the means along the depth, one volume in memory at a time; of them and of uint16 stores, uint16 with 257
    steps per gray level.
    """
    height, width = _size(store)
    plain = store.ndim == 4 and store.dtype == np.uint8
    vectors = np.empty((len(items), height * width), np.uint8 if plain else np.uint16)
    for row, item in enumerate(items):
        image = np.ascontiguousarray(store[item])
        if image.ndim == 4:
            steps = STEPS if image.dtype == np.uint8 else 1
            image = (image.mean(axis=0, dtype=np.float32) * steps).round().astype(np.uint16)
        gray = image[..., 0] if image.shape[-1] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        same = gray.shape == (height, width)
        vectors[row] = (gray if same else cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)).ravel()
    return vectors
