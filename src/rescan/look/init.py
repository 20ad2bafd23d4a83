"""Writing a study file for data of one's own: what can be seen of them, and a recipe that fits."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from pydantic import ValidationError

from rescan import catalogue
from rescan.data.headers import passing_key
from rescan.data.held_out import FEWEST_GROUPS
from rescan.errors import RescanError
from rescan.files import writing
from rescan.log import logger
from rescan.look.guess import Guess, guess
from rescan.look.samples import Looked, look_at, span, spread, with_hidden_headers
from rescan.named_files import output
from rescan.study import Data, Settings
from rescan.study.file import load
from rescan.study.settings import SCALES

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
WORDS = {"true", "false", "null"}  # that YAML reads as something else
DEFAULT, DEMO, SMALL = 224, 64, 128  # pixels of the shorter side
SMALL_BUDGET, MOST_EPOCHS = 40_000, 10  # images that a training at small sees: three of them take an hour on two cores
FOLDS = 5
FEW = 500  # samples, below which all are tested on, in folds


def init(folder: Path, table: Path | None, out: Path, *, force: bool = False) -> None:
    """Write a study file.

    Args:
        folder: The folder with the images or volumes.
        table: The table of labels, if they are not the names of folders, or no table in the folder.
        out: The study file to write.
        force: Whether to overwrite it.

    Raises:
        RescanError: It is there; or the data cannot be understood, or not as far as needed.
    """
    there = RescanError(f"{out}: is there already; write another by -o, or overwrite it by --force")
    if out.exists() and not force:
        raise there
    place = output(out)
    if not folder.is_dir():
        raise RescanError(f"{folder}: no such folder; give the folder with the images or volumes")
    if table is not None and not table.is_file():
        raise RescanError(f"{table}: no such file; give the table of labels")
    guessed = guess(folder, table)
    manifest = _manifest(folder, guessed)
    looked = look_at([folder / path for path in spread(manifest["path"].tolist())])
    text = study_text(folder, guessed, manifest, looked, out.parent)
    with TemporaryDirectory() as elsewhere:  # the file that is there stays, should the new one not be sound
        copy = Path(elsewhere) / out.name
        copy.write_text(study_text(folder, guessed, manifest, looked, None), "utf-8")
        for scale in SCALES:
            load(copy, Settings(scale))
    try:
        with writing(place, new=not force) as temporary:
            temporary.write_text(text, "utf-8")
    except FileExistsError:  # made meanwhile
        raise there from None
    logger.info("%s: %d samples: %s", out, len(manifest), _counts(folder, guessed, manifest))
    for note in notes(guessed, manifest, looked):
        logger.warning("%s: %s", out, note)
    logger.info("now: rescan check %s --data, then snakemake --cores 2 --config 'studies=[%s]' scale=small", out, out)


def _manifest(folder: Path, guessed: Guess) -> pd.DataFrame:
    """The samples that the guessed layout finds.

    Raises:
        RescanError: One line per fault of the data.
    """
    try:
        data = _data(folder, guessed)
    except ValidationError as error:
        raise RescanError(f"{folder}: labels {guessed.classes} are no classes: {error.errors()[0]['msg']}") from None
    options = {key: value for key, value in data.layout.items() if key != "name"}
    manifest: pd.DataFrame = catalogue.resolve("layout", data.layout["name"])(folder, data, **options)
    if data.labels and not data.multilabel:
        manifest = manifest[manifest["label"].isin(["", *data.labels])]
        manifest = manifest.assign(label=manifest["label"].map({**data.labels, "": ""}))
    return with_hidden_headers(folder, manifest.sort_values("sample", ignore_index=True), passing_key())


def _data(folder: Path, guessed: Guess) -> Data:
    content = {"source": {"path": str(folder)}, "layout": guessed.layout, "classes": guessed.classes}
    return Data.model_validate({**content, "labels": guessed.labels, "multilabel": guessed.multilabel})


def _counts(folder: Path, guessed: Guess, manifest: pd.DataFrame) -> str:
    """The samples of each class, in words."""
    has = _data(folder, guessed).outcome.has
    return ", ".join(f"{label} {has(manifest['label'], label).sum()}" for label in guessed.classes)


def _patients_of_classes(folder: Path, guessed: Guess, manifest: pd.DataFrame) -> dict[str, int]:
    """The number of patients of each class, or of samples where they are not known."""
    has = _data(folder, guessed).outcome.has
    groups = manifest["patient"].where(manifest["patient"] != "", manifest["sample"])
    return {label: groups[has(manifest["label"], label)].nunique() for label in guessed.classes}


def notes(guessed: Guess, manifest: pd.DataFrame, looked: list[Looked]) -> list[str]:
    """What could not be known, or is worth a look, in sentences."""
    found = list(guessed.notes)
    if all(re.fullmatch(r"\d+", label) for label in guessed.classes):
        found.append("the classes are numbers: if they are grades, add ordered: true to data")
    known = manifest["patient"] != ""
    folders = manifest.loc[known, "patient"].unique()
    if guessed.layout["name"] == "class_folders" and 0 < len(folders) < FEWEST_GROUPS:
        some = ", ".join(folders[:3])
        found.append(f"{len(folders)} folders are read as patients, such as {some}; else set patient in data.layout")
    if not known.any():
        found.append(
            "patients are not known, so that one may be on both sides of a split; a column or a pattern of the files' "
            "names may tell them: patient in data.layout"
        )
    if problems := [entry.problem for entry in looked if entry.problem]:
        found.append(f"{len(problems)} of {len(looked)} files that were looked at cannot be read: {problems[0]}")
    return found


def study_text(folder: Path, guessed: Guess, manifest: pd.DataFrame, looked: list[Looked], base: Path | None) -> str:
    """The text of a study file.

    Args:
        folder: The data's folder.
        guessed: How they lie in it.
        manifest: The samples.
        looked: What some of them are.
        base: The study file's folder, from which the data's path starts if they lie in it; None for their whole path.

    Raises:
        RescanError: None of the samples can be read.
    """
    read = [entry for entry in looked if not entry.problem]
    if not read:
        first = f"{manifest['path'].iloc[0]}: {looked[0].problem}" if looked else "there is none"
        raise RescanError(f"{folder}: none of the files that were looked at can be read, such as {first}")
    is_3d = sum(len(entry.shape) == 3 for entry in read) > len(read) / 2
    read = [entry for entry in read if len(entry.shape) == (3 if is_3d else 2)]
    published = (manifest["published_part"] == "test").any()
    patients = manifest.loc[manifest["patient"] != "", "patient"].nunique()
    resolved = folder.resolve()
    inside = base is not None and base.resolve() in (resolved, *resolved.parents)
    path = os.path.relpath(resolved, base.resolve()) if inside and base is not None else str(resolved)
    comments = [f"# {len(manifest)} samples: {_counts(folder, guessed, manifest)}"]
    comments += [f"# {patients or 'unknown'} patients"]
    comments += [
        f"# {'volumes' if is_3d else 'images'} of {span([entry.shape for entry in read])} (of {len(read)} read)"
    ]
    comments += [f"# TO CHECK: {note}" for note in notes(guessed, manifest, looked)]
    groups = "[patient]" if is_3d and patients else "[patient, near_duplicate]"
    fewest = min(_patients_of_classes(folder, guessed, manifest).values())
    folds = max(1, min(FOLDS, fewest - 2)) if not published and len(manifest) < FEW else 1
    test = "published" if published else "0.2"
    lines = [
        f"title: {_yaml(folder.resolve().name)}",
        *comments,
        "data:",
        f"  source: {{path: {_yaml(path)}}}",
        f"  layout: {_yaml(guessed.layout)}",
        f"  classes: {_yaml(guessed.classes)}" + " # of two the last is the positive one" * (not guessed.multilabel),
        *[f"  labels: {_yaml(guessed.labels)} # others are left out"] * bool(guessed.labels),
        *["  multilabel: true # a sample may have several of the classes, or none"] * guessed.multilabel,
        f"split: {{test: {test}, validation: 0.2, group_by: {groups}, folds: {folds}, seeds: [0, 1, 2]}}",
        *(_of_volumes(read) if is_3d else _of_images(read, len(manifest))),
    ]
    text = "\n".join(lines) + "\n"
    return _of_labels(text) if guessed.multilabel else text


def _of_labels(text: str) -> str:
    """The text with the head, losses and choices that several labels need."""
    text = re.sub(r"(  network: {encoder: .*)}", r"\1, heads: {multilabel: {}}}", text, count=1)
    losses = "losses: {multilabel: binary_cross_entropy}, class_weights: balanced"
    text = re.sub(r"(\n    (?:head|all|main): {epochs: \d+,)(?= .*optimizer)", rf"\1 {losses},", text)
    return text.replace("{best: balanced_accuracy}", "{best: auroc}\n  posttrain: {thresholds: youden}")


def _of_images(read: list[Looked], count: int) -> list[str]:
    """Preparation, recipe and arms for images, of which there are so many."""
    channels = "rgb" if any(entry.is_color for entry in read) else "gray"
    shorter = float(np.median([min(entry.shape) for entry in read]))
    size = int(min(DEFAULT, max(DEMO, 32 * round(shorter / 32))))
    window = "{name: clip_percentiles, low: 0.5, high: 99.5}, " if any(entry.needs_window for entry in read) else ""

    epochs = min(MOST_EPOCHS, max(2, SMALL_BUDGET // count))

    def steps(side: int) -> str:
        return f"[{window}{{name: resize, size: [{side}, {side}], keep_aspect: true}}]"

    return [
        "preparations:",
        *(
            ["  # more than 256 gray levels: a window in the images' own units would be better, where they have units"]
            * bool(window)
        ),
        f"  image: {{channels: {channels}, steps: {steps(size)}}}",
        "recipe:",
        "  preparation: image",
        "  network: {encoder: resnet18, weights: imagenet}",
        "  augmentation: {rotation: 10, scale: [0.9, 1.1], flip_horizontal: 0.5} # no flip where left and right matter",
        "  stages:",
        "    head: {epochs: 2, trainable: head, optimizer: {name: adam, lr: 1e-3}}",
        "    all: {epochs: 30, optimizer: {name: adam, lr: 1e-4}, schedule: {name: cosine, warmup: 0.05}}",
        "  keep: {best: balanced_accuracy}",
        "arms:",
        "  resnet18: {}",
        "demo: # a first page in minutes, by default; the above with scale=full",
        "  split: {folds: 1, seeds: [0]}",
        f"  preparations: {{image: {{steps: {steps(min(size, DEMO))}}}}}",
        "  recipe: {network: {weights: none}, stages: {head: null, all: {epochs: 3}}}",
        "small: # a small pretrained network, for a laptop, with scale=small",
        f"  preparations: {{image: {{steps: {steps(min(size, SMALL))}}}}}",
        "  recipe:",
        "    network: {encoder: efficientnet_lite0}",
        "    normalization: null # what the weights of the encoder expect",
        "    stages:",
        "      head: null",
        f"      all: {{epochs: {epochs}, optimizer: {{name: adamw, lr: 1e-3}}, schedule: {{warmup: 0.1}}}}",
        "  arms: {resnet18: null, efficientnet_lite0: {}}",
        "  gradcam: {method: hirescam, layer: {efficientnet_lite0: features.10}} # finer maps than the last block's",
    ]


def _of_volumes(read: list[Looked]) -> list[str]:
    """Preparation, recipe and arms for volumes."""
    median = np.median([entry.shape for entry in read], axis=0)
    size = [int(min(most, max(32, 16 * round(axis / 16)))) for axis, most in zip(median, (64, 96, 96))]
    window = ", {name: clip_percentiles, low: 1, high: 99.5}" if any(entry.needs_window for entry in read) else ""
    small = [min(axis, 48) for axis in size]
    return [
        "preparations:",
        "  # all volumes become this many voxels; `resample` to millimeters before would keep proportions",
        "  volume:",
        "    reads: volume",
        "    channels: gray",
        f"    steps: [{{name: resize_volume, size: {size}}}{window}]",
        "recipe:",
        "  preparation: volume",
        "  network: {encoder: cnn5_3d, weights: none, norm: instance, neck: flatten, hidden: [64]}",
        "  normalization: unit",
        "  augmentation: {rotation: 10, shift: 0.05, scale: [0.9, 1.1], noise: 0.02}",
        "  stages:",
        "    main: {epochs: 60, batch_size: 4, optimizer: {name: adamw, lr: 1e-3}, schedule: cosine}",
        "  keep: {best: balanced_accuracy}",
        "arms:",
        "  cnn5_3d: {}",
        "demo: # a first page in minutes, by default; the above with scale=full",
        "  split: {folds: 1, seeds: [0]}",
        f"  preparations: {{volume: {{steps: [{{name: resize_volume, size: {small}}}{window}]}}}}",
        "  recipe: {stages: {main: {epochs: 3}}}",
        "small: # a short training for a laptop, with scale=small; no weights of 3D networks come with it",
        f"  preparations: {{volume: {{steps: [{{name: resize_volume, size: {small}}}{window}]}}}}",
        "  recipe: {stages: {main: {epochs: 15}}}",
    ]


def _yaml(value: object) -> str:
    """A value in YAML's short form."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
