"""Schematic color fundus photographs in the five grades of diabetic retinopathy, two eyes a patient."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from rescan import catalogue
from rescan.errors import RescanError
from rescan.files import write_table
from rescan.phantoms.fundus.fundus_anatomy import GRADES
from rescan.phantoms.fundus.fundus_images import draw, patient

Array = np.ndarray
SHARES = (0.45, 0.12, 0.25, 0.08, 0.10)  # of the grades, about those of APTOS 2019
CONFOUNDED = ((0.8, 1.0), (0.95, 1.15), (1.1, 1.3), (1.25, 1.4), (1.4, 1.5))  # height and aspect a grade
# Of copies, in turn. Half are the very same file: only their labels show how well labels repeat.
TRANSFORMS = ("identical", "mirrored", "identical", "gain", "identical", "resized")
LAYOUTS = ("aptos", "eyepacs")


class Case(NamedTuple):
    """What one image shows."""

    patient: int
    left: bool  # the eye, as the image shows it: a mirrored copy shows the other one
    grade: int  # index into GRADES and the classes
    label: int | None = None  # the grade that is given, None for an unlabeled image
    source: int | None = None  # which case this one copies
    transform: str = ""


class Made(NamedTuple):
    """A finished image."""

    image: Array  # (H, W, 3) uint8, BGR
    mask: Array  # (H, W) uint8, 0 or 255
    file: bytes


def make(
    folder: Path,
    classes: list[str],
    *,
    layout: str = "aptos",
    samples: int = 320,
    unlabeled: int = 20,
    size: int = 256,
    seed: int = 0,
    contrast: float = 1.0,
    null: bool = False,
    confound: float = 0.5,
    duplicates: float = 0.06,
    conflicts: float = 0.25,
    patient_effect: float = 1.0,
    label_noise: float = 0.0,
) -> None:
    """Write a phantom data set in the native layout of APTOS 2019 or EyePACS 2015.

    Files of "aptos": `train.csv` (id_code, diagnosis), `train_images/<id_code>.png` and, if there are unlabeled images,
    `test.csv` (id_code), `test_images/<id_code>.png`. Files of "eyepacs": `trainLabels.csv` (image, level),
    `train/<image>.jpeg`, where an image is called `<number>_<left|right>`. Files of both: `masks/<id_code|image>.png`
    (0 or 255, same size) where there are lesions, and the truth, `phantom.csv`: path, label ("" if unlabeled),
    true_label ("" if null), patient, eye (left or right, as the image shows it: a mirrored copy shows the other one),
    duplicate_of (a path), transform, width, height.

    Both eyes of a patient are there, of like grades. In "eyepacs" a copy has a number of its own, as if it were another
    patient's; the truth has the original's patient.

    Args:
        folder: Where to write; made if needed.
        classes: Names of two to five grades, by position: none, mild, moderate, severe, proliferative.
        layout: "aptos" or "eyepacs".
        samples: Number of labeled images, duplicates included.
        unlabeled: Number of further images, without labels; the EyePACS layout has none.
        size: Typical height in pixels; images are 0.8 to 1.4 times as high and 1 to 1.5 times as wide as high.
        seed: Seed of everything. Lesions have a stream of their own: the same eyes come with any contrast.
        contrast: Multiplies the lesions' contrast: the difficulty.
        null: No lesion anywhere, the same nuisances, the labels of the originals dealt out at random.
        confound: Probability that an image's height and aspect follow from its label (also if null).
        duplicates: Share of the labeled images that copy another one (same file, mirrored, gain-changed or resized).
        conflicts: Share of the duplicates that are labeled otherwise than the original, mostly by one grade.
        patient_effect: Multiplies the differences between patients in anatomy, pigment and gain, and in severity.
        label_noise: Share of the originals that are labeled one grade off; their copies follow them.

    Raises:
        RescanError: An unknown layout, fewer than two classes or more than five, too few samples for two originals a
            class, or an option out of its range.
    """
    shares = {"confound": confound, "duplicates": duplicates, "conflicts": conflicts, "label_noise": label_noise}
    amounts = {"contrast": contrast, "patient_effect": patient_effect, "seed": seed, "unlabeled": unlabeled}
    copies = round(duplicates * samples) if 0 <= duplicates <= 1 else 0
    grades = len(classes)
    _check(shares, amounts, layout, size, grades, samples, copies)
    cases = _label(_eyes(seed, 0, grades, samples - copies, patient_effect, fewest=2), seed, grades, null, label_noise)
    cases += _copies(cases, seed, grades, copies, conflicts)
    if layout == "aptos":
        cases += _eyes(seed, samples, grades, unlabeled, patient_effect)
    paths = _paths(cases, seed, layout)
    copied = {case.source for case in cases}
    drawn: dict[int | None, Made] = {}
    sizes = []
    suffix = Path(paths[0]).suffix
    for number, (case, path) in enumerate(zip(cases, paths)):
        if case.source is None:
            strength = {"contrast": contrast, "confound": confound, "patient_effect": patient_effect}
            made = _draw(case, 0 if null else case.grade, suffix, seed=seed, size=size, **strength)
        else:
            made = _transform(drawn[case.source], case.transform, suffix, np.random.default_rng([seed, 1, number]))
        if number in copied:
            drawn[number] = made
        sizes.append(made.image.shape)
        _write(folder / path, made.file)
        if made.mask.any():
            _write(folder / "masks" / f"{Path(path).stem}.png", _encode(made.mask, ".png"))
    truth = {
        "path": paths,
        "label": ["" if case.label is None else classes[case.label] for case in cases],
        "true_label": ["" if null else classes[case.grade] for case in cases],
        "patient": [f"p{case.patient:04d}" for case in cases],
        "eye": ["left" if case.left else "right" for case in cases],
        "duplicate_of": ["" if case.source is None else paths[case.source] for case in cases],
        "transform": [case.transform for case in cases],
        "width": [width for _, width, _ in sizes],
        "height": [height for height, _, _ in sizes],
    }
    write_table(folder / "phantom.csv", pd.DataFrame(truth))
    labels = {"id": [Path(path).stem for path in paths], "label": [case.label for case in cases]}
    _write_labels(folder, layout, pd.DataFrame(labels))


def _check(
    shares: dict[str, float],
    amounts: dict[str, float],
    layout: str,
    size: int,
    classes: int,
    samples: int,
    copies: int,
) -> None:
    """Raise a `RescanError` with a line for each option out of its range."""
    faults = [f"{name}: {share} is no share; use 0 to 1" for name, share in shares.items() if not 0 <= share <= 1]
    unfit = {name: value for name, value in amounts.items() if not 0 <= value < math.inf}
    faults += [f"{name}: {value} is no amount; use 0 or more" for name, value in unfit.items()]
    if layout not in LAYOUTS:
        faults.append(f"layout: no layout {layout!r}{catalogue.suggest(layout, LAYOUTS)}")
    if size < 64:
        faults.append(f"size: {size} pixels show no lesions; use 64 or more")
    if not 2 <= classes <= len(GRADES):
        faults.append(f"fundus makes 2 to {len(GRADES)} classes, not {classes}; change data.classes")
    if samples - copies < 2 * classes:
        faults.append(f"samples: {samples} with {copies} duplicates leave fewer than two originals a class; raise it")
    if faults:
        raise RescanError("\n".join(f"data.phantom: {fault}" for fault in faults))


def _eyes(seed: int, first: int, grades: int, count: int, effect: float, fewest: int = 0) -> list[Case]:
    """Plan eyes with the grades' shares, each grade `fewest` times at least; patients are numbered from `first`.

    The graver a patient's disease, the higher the grades of both eyes: severities are ranked.
    """
    rng = np.random.default_rng([seed, 0, first])
    shared = np.repeat(rng.normal(size=(count + 1) // 2), 2)[:count]
    severity = effect * shared + 0.5 * rng.normal(size=count)
    ends = np.cumsum(SHARES[:grades]) / sum(SHARES[:grades])
    counts = np.maximum(np.diff(np.rint(ends * count).astype(int), prepend=0), fewest)
    counts[0] -= counts.sum() - count
    ranked = np.empty(count, int)
    ranked[np.argsort(severity)] = np.repeat(np.arange(grades), counts)
    return [Case(first + number // 2, number % 2 == 0, grade) for number, grade in enumerate(ranked.tolist())]


def _label(cases: list[Case], seed: int, grades: int, null: bool, noise: float) -> list[Case]:
    """Label originals by their grades, but for a share; or, for null, deal the labels out anew."""
    rng = np.random.default_rng([seed, 5])
    labels = [case.grade for case in cases]
    if null:
        labels = rng.permutation(labels).tolist()
    else:
        for number in rng.permutation(len(cases))[: round(noise * len(cases))].tolist():
            labels[number] = _other(labels[number], grades, 0.0, rng)
    return [case._replace(label=label) for case, label in zip(cases, labels)]


def _copies(cases: list[Case], seed: int, grades: int, count: int, conflicts: float) -> list[Case]:
    """Plan copies of originals, a share of them with another label."""
    rng = np.random.default_rng([seed, 6])
    sources = rng.choice(len(cases), count, replace=count > len(cases)).tolist()
    conflicting = set(rng.permutation(count)[: round(conflicts * count)].tolist())
    copies = []
    for number, source in enumerate(sources):
        transform = TRANSFORMS[number % len(TRANSFORMS)]
        copy = cases[source]._replace(source=source, transform=transform)
        if transform == "mirrored":
            copy = copy._replace(left=not copy.left)
        if number in conflicting:
            copy = copy._replace(label=_other(copy.label, grades, 0.1, rng))
        copies.append(copy)
    return copies


def _other(label: int, grades: int, far: float, rng: np.random.Generator) -> int:
    """Another grade; one that is no neighbor is `far` times as likely as one that is."""
    away = np.abs(np.arange(grades) - label)
    weights = np.select([away == 0, away == 1], [0.0, 1.0], far)
    return int(rng.choice(grades, p=weights / weights.sum()))


def _paths(cases: list[Case], seed: int, layout: str) -> list[str]:
    """Names as in the real sets, such as train_images/0083ee8054ee.png or train/17_left.jpeg."""
    rng = np.random.default_rng([seed, 7])
    if layout == "aptos":
        ids = rng.integers(16**12, size=len(cases)).tolist()
        folders = ["test_images" if case.label is None else "train_images" for case in cases]
        return [f"{folder}/{number:012x}.png" for folder, number in zip(folders, ids)]
    people = [(case.patient, number if case.source is not None else -1) for number, case in enumerate(cases)]
    numbers = dict(zip(dict.fromkeys(people), rng.permutation(len(cases)).tolist()))
    return [f"train/{10 + numbers[who]}_{'left' if case.left else 'right'}.jpeg" for who, case in zip(people, cases)]


def _write_labels(folder: Path, layout: str, images: pd.DataFrame) -> None:
    """Write the tables of the layout, from columns id and label (missing if unlabeled), sorted by id."""
    images = images.sort_values("id").astype({"label": "Int64"})
    labeled = images[images["label"].notna()]
    if layout == "eyepacs":
        write_table(folder / "trainLabels.csv", labeled.set_axis(["image", "level"], axis=1))
    else:
        write_table(folder / "train.csv", labeled.set_axis(["id_code", "diagnosis"], axis=1))
        rest = images.loc[images["label"].isna(), ["id"]]
        if len(rest):
            write_table(folder / "test.csv", rest.set_axis(["id_code"], axis=1))


def _draw(
    case: Case,
    grade: int,
    suffix: str,
    *,
    seed: int,
    size: int,
    contrast: float,
    confound: float,
    patient_effect: float,
) -> Made:
    """Draw an original; with probability `confound`, height and aspect follow from its label."""
    person = patient(np.random.default_rng([seed, 2, case.patient]), patient_effect)
    rng = np.random.default_rng([seed, 3, case.patient, case.left])
    lesion_rng = np.random.default_rng([seed, 4, case.patient, case.left])
    scale, aspect = rng.uniform(0.8, 1.4), rng.uniform(1.0, 1.5)
    if rng.random() < confound:
        scale, aspect = CONFOUNDED[case.grade if case.label is None else case.label]
    quality = int(rng.integers(85, 96))
    shape = (round(size * scale), round(size * scale * aspect))
    image, mask = draw(
        person, left=case.left, grade=grade, shape=shape, contrast=contrast, rng=rng, lesion_rng=lesion_rng
    )
    return Made(image, mask, _encode(image, suffix, quality))


def _transform(made: Made, name: str, suffix: str, rng: np.random.Generator) -> Made:
    """Copy an image."""
    image, mask, _ = made
    if name == "identical":
        return made
    if name == "mirrored":
        image, mask = cv2.flip(image, 1), cv2.flip(mask, 1)
    elif name == "gain":
        image = cv2.convertScaleAbs(image, alpha=rng.uniform(0.7, 0.85))
    else:
        shape = np.rint(rng.uniform(0.7, 0.9) * np.array(mask.shape[::-1])).astype(int).tolist()
        coded = np.frombuffer(_encode(image, ".jpeg", int(rng.integers(70, 85))), np.uint8)
        coarse: Any = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        image = cv2.resize(coarse, shape, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, shape, interpolation=cv2.INTER_NEAREST)
    return Made(image, mask, _encode(image, suffix, int(rng.integers(85, 96))))


def _encode(image: Array, suffix: str, quality: int = 95) -> bytes:
    """An image as a file; PNG has no quality."""
    options = [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    return bytes(cv2.imencode(suffix, image, options)[1])


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
