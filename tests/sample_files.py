"""Files of the data steps with what a test needs in them, and plain values for all else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rescan.files import fingerprint
from rescan.paths import AUTOENCODERS, Paths
from rescan.preparation.store import digest_of
from rescan.results.agreement import class_counts
from rescan.results.audit_report import GROUPS, AuditReport
from rescan.results.csv_table import Table
from rescan.results.history_files import ACCURACIES, HISTORY
from rescan.results.manifest import MANIFEST
from rescan.results.map_checks_file import HITS, OVERLAPS
from rescan.results.packed_store import ITEMS, PackedStore
from rescan.results.parts import EXTRA, UNLABELED
from rescan.results.source import SourceData, SourceReport
from rescan.results.splits import SPLITS
from rescan.results.trained_model import ModelHeader
from rescan.results.training_range import DISTANCES, LEVELS, Gaussian, Measured, RangeHeader, TrainingRange
from rescan.study import Preparation, Recipe

MAP_CHECKS: dict[str, Any] = {  # of a gradcam/summary.json
    "n": 24,
    "units": 20,
    "empty": 2,
    "score": "probability",
    "blocks": [2, 2],
    "orders": 2,
    "curves": {
        "shares": [0.0, 0.5, 1.0],
        "deletion": [0.9, 0.5, 0.3],
        "insertion": [0.3, 0.7, 0.9],
        "random": [0.9, 0.6, 0.3],
    },
    "deletion": {"value": 0.05, "low": 0.01, "high": 0.09},
    "insertion": {"value": 0.05, "low": -0.01, "high": 0.11},
    "randomized": {"value": 0.1, "low": -0.1, "high": 0.3, "n": 22, "networks": 3},
    "seeds": None,
}
LOCATED: dict[str, Any] = {
    "n": 45,
    "tolerance": [2, 2],
    "hits": {
        name: {"value": value, "low": value - 0.05, "high": value + 0.05}
        for name, value in zip(HITS, (0.6, 0.1, 0.2, 0.15))
    },
    "overlaps": {
        name: {"value": value, "low": value - 0.05, "high": value + 0.05}
        for name, value in zip(OVERLAPS, (0.2, 0.05, 0.25, 0.1))
    },
}


def write_source(
    paths: Paths,
    root: str = "raw",
    *,
    extra: dict[str, str] | None = None,
    manifest: pd.DataFrame | None = None,
    **changes: Any,
) -> None:
    """Write source.json of a local folder, and of extra sources: name → folder; with the counts of a manifest."""
    samples = pd.DataFrame(columns=["label", "published_part", "origin"]) if manifest is None else manifest
    origins = samples["origin"] if "origin" in samples else pd.Series("", samples.index)

    def data(folder: str, origin: str) -> dict[str, Any]:
        counted = {"classes": class_counts(samples[origins == origin]), "files": 0, "bytes": 0, "checksum": "c"}
        return {"kind": "path", "from": "raw", "root": folder, **counted}

    extras = {name: SourceData(**data(folder, name)) for name, folder in (extra or {}).items()}
    unlabeled = int((samples["label"] == "").sum())
    content = {**data(root, ""), "differs": [], "unlabeled": unlabeled, "extra": extras}
    SourceReport(**{**content, **changes}).write(paths.source)


def write_manifest(paths: Paths, table: pd.DataFrame) -> None:
    """Write the manifest; a sample's path is its name if the table has none."""
    MANIFEST.write(paths.manifest, _completed(MANIFEST, table.assign(path=table.get("path", table["sample"]))))


def write_groups(paths: Paths, table: pd.DataFrame) -> None:
    """Write groups.csv; of files of 64 × 64 gray pixels, each in a group of its own if the table says no more."""
    defaults = {"group": table["sample"], "width": 64, "height": 64, "mode": "L", "bytes": 4000}
    GROUPS.write(paths.groups, _completed(GROUPS, table.assign(**{**defaults, **table})))


def write_splits(paths: Paths, table: pd.DataFrame) -> None:
    """Write splits.csv."""
    SPLITS.write(paths.splits, _completed(SPLITS, table))


def write_known(paths: Paths, splits: pd.DataFrame) -> None:
    """Write a manifest and groups.csv that splits agree with: a test part is the published one."""
    samples = splits.drop_duplicates("sample")
    parts = samples["part"].where(samples["part"].isin(["test", UNLABELED, EXTRA]), "")
    write_manifest(paths, samples.assign(published_part=parts))
    write_groups(paths, samples)


def write_store(folder: str | Path, images: np.ndarray, items: pd.DataFrame, **beside: np.ndarray) -> None:
    """Write a packed store; items have a row of the images each, and are of as many patches as the first sample has.

    Args:
        folder: Of the store.
        images: As in `images.npy`.
        items: The columns of items.csv that matter, `sample` at least.
        **beside: Other arrays: masks, layers, affines.
    """
    patches = int((items["sample"] == items["sample"].iloc[0]).sum())
    digests = [digest_of(image) for image in images]
    columns = {"item": range(len(items)), "patch": np.arange(len(items)) % patches, "digest": digests}
    write_items(folder, items.assign(**{**columns, **items}))
    for name, array in {"images": images, **beside}.items():
        np.save(Path(folder, f"{name}.npy"), array)
    about = store_of(images)
    about = about.model_copy(update={"patches": patches, "checksum": fingerprint(digests)})
    about.write(Path(folder, "preparation.json"))


def write_items(folder: str | Path, items: pd.DataFrame) -> None:
    """Write items.csv of a packed store."""
    ITEMS.write(Path(folder, "items.csv"), _completed(ITEMS, items.assign(item=range(len(items)))))


def store_of(images: np.ndarray) -> PackedStore:
    """What preparation.json says of a store of images, (N, *spatial, C), of which no sample was left out."""
    return PackedStore(
        items=len(images),
        shape=list(images.shape),
        dtype=str(images.dtype),
        dimensions=images.ndim - 2,
        patches=1,
        checksum="0",
        background=0,
        left_out=[],
        empty_masks=[],
        seconds=0.0,
    )


def write_history(path: str | Path, epochs: int, **columns: Any) -> None:
    """Write the history.csv of a training of one stage, all numbers 0 but for `columns`; the last is kept."""
    defaults = {"stage": "main", "epoch": range(epochs), "step": range(epochs), "kept": [*[0] * (epochs - 1), 1]}
    if AUTOENCODERS not in Path(path).parts:
        defaults |= dict.fromkeys(ACCURACIES, 0.5)
    HISTORY.write(path, _completed(HISTORY, pd.DataFrame({**defaults, **columns})))


def _completed(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame's columns that the table knows; those that it lacks are "" or 0."""
    plain = {column.name: "" if column.kind == "text" else 0 for column in table.columns if not column.optional}
    rest = {name: value for name, value in plain.items() if name not in frame}
    frame = frame.assign(**rest)
    return frame[[name for name in frame if any(column.fits(str(name)) for column in table.columns)]]


def write_audit(paths: Paths, **changes: Any) -> None:
    """Write audit.json of a data set that nothing is wrong with, but for `changes`."""
    copies = dict.fromkeys(("pairs", "groups", "conflicting_pairs", "conflicting_groups"), 0)
    report = {
        "samples": 0,
        "volumes": 0,
        "dropped": {},
        "unlisted": {"files": 0, "such_as": []},
        "unreadable": [],
        "constant": [],
        "classes": {},
        "unlabeled": 0,
        "extra": {},
        "linked_extra": {},
        "identical": {"byte_pairs": 0, **copies, "label_agreement": None, "pairs_with_unlabeled": 0},
        "near_duplicates": {"pairs": 0, "groups": 0, "mirrored_pairs": 0},
        "copies": {**copies, "label_agreement": None},
        "largest_group": {"group": "g000000", "size": 1, "samples": []},
        "mixed_label_groups": [],
        "several_patient_groups": [],
        "linked_test": {},
        "patients_known": True,
        "patients_in_both_parts": 0,
        "confounds": {"warnings": []},
        "attributes": {},
        "subgroups": {},
        "warnings": [],
    }
    for key, change in changes.items():
        part = report[key]
        report[key] = {**part, **change} if isinstance(part, dict) and isinstance(change, dict) else change
    AuditReport(**report).write(paths.audit)


TEXT_COLUMNS = [
    "sample",
    "path",
    "label",
    "patient",
    "eye",
    "study",
    "site",
    "device",
    "sex",
    "fov",
    "body_part",
    "extent",
    "layers",
    "group",
    "part",
    "published_part",
    "mask",
    "origin",
    "problem",
    "digest",
]


def read_table(path: str | Path) -> pd.DataFrame:
    """Read any CSV that a step wrote: identifier columns as text ("007" stays "007"; empty is "")."""
    modalities = [name for name in pd.read_csv(path, nrows=0) if str(name).startswith("path_")]
    types = dict.fromkeys([*TEXT_COLUMNS, *modalities], str)
    table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])  # a class may be called NA
    text = table.columns.intersection(list(types))
    table[text] = table[text].fillna("")
    return table


NORMAL = Gaussian(np.zeros(4, np.float32), np.eye(4, dtype=np.float32)[:2], np.ones(2, np.float32))


def model_header(recipe: Recipe, classes: Sequence[str], shape: Sequence[int], **changes: Any) -> ModelHeader:
    """The header of a model file: a network of this recipe for inputs of (C, *spatial)."""
    header = {
        "version": "0",
        "study": "made_up",
        "scale": "demo",
        "arm": "one",
        "fold": 0,
        "seed": 0,
        "recipe": recipe,
        "classes": list(classes),
        "preparation": Preparation(steps=["resize"]),
        "input": list(shape),
        "torch": "2",
        "training_version": 0,
    }
    return ModelHeader(**{**header, **changes})


def make_range(features: Gaussian | None = NORMAL, picture: Gaussian | None = None, **changes: Any) -> TrainingRange:
    """What a network of `model_header` was trained on: images of 30 to 40 pixels, 100 in all.

    Args:
        features: What its vectors are like; by default of 4 numbers, a standard normal distribution.
        picture: The same of the gray levels: there is no such distance by default.
        **changes: Of the header; `limit` is that of all distances.
    """
    limit = changes.pop("limit", 3.5)
    spread = {"training": [1.0] * 5 + [2.0] + [3.0] * 5, "held_out": [2.0] * len(LEVELS)}
    gaussians = {name: own for name, own in (("features", features), ("picture", picture)) if own is not None}
    gray = {"mean": (90, 110), "spread": (20, 40), **{f"detail_{scale}": (0, 30) for scale in (1, 2, 4, 8)}}
    header = {
        "version": "0",
        "study": "made_up",
        "arm": "one",
        "fold": 0,
        "seed": 0,
        "model": None,
        "images": 100,
        "held_out": 20,
        **{name: Measured(**spread, limit=limit, noise=1.0) if name in gaussians else None for name in DISTANCES},
        "gray": {
            name: {side: [float(low)] * 6 + [float(high)] * 5 for side in ("training", "held_out")}
            for name, (low, high) in gray.items()
        },
        "sizes": {"height": (30, 40), "width": (30, 40)},
        "extents": {},
        "devices": [],
        "other_devices": 0,
    }
    return TrainingRange(RangeHeader(**{**header, **changes}), gaussians)


def read_json(path: str | Path) -> Any:
    """Read any JSON file that a step wrote."""
    return json.loads(Path(path).read_text("utf-8"))
