"""Schematic color fundus photographs in the five grades of diabetic retinopathy, two eyes per patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from rescan import catalogue
from rescan.files import write_table
from rescan.phantoms.fundus.fundus_anatomy import GRADES
from rescan.phantoms.fundus.fundus_images import draw, patient
from rescan.phantoms.phantom import PhantomOptions, choose, copy, relabel, save

Array = np.ndarray
SHARES = (0.45, 0.12, 0.25, 0.08, 0.10)  # of the grades, about those of APTOS 2019
CONFOUNDED = ((0.8, 1.0), (0.95, 1.15), (1.1, 1.3), (1.25, 1.4), (1.4, 1.5))  # height and aspect per grade
# Of copies, in turn. Half are the very same file: only their labels show how well labels repeat.
TRANSFORMS = ("identical", "mirrored", "identical", "gain", "identical", "resized")
LAYOUTS = ("aptos", "eyepacs")


@dataclass(frozen=True)
class Options(PhantomOptions):
    """The options of fundus phantoms.

    Attributes:
        layout: "aptos" or "eyepacs".
        samples: Number of labeled images, duplicates included.
        unlabeled: Number of further images, without labels; the EyePACS layout has none.
        size: Typical height in pixels; images are 0.8 to 1.4 times as high and 1 to 1.5 times as wide as high.
        null: No lesion anywhere, the same nuisances, the labels of the originals dealt out at random.
        duplicates: Share of the labeled images that copy another one (same file, mirrored, gain-changed or resized).
        conflicts: Share of the duplicates that are labeled otherwise than the original, mostly by one grade.
        patient_effect: Multiplies the differences between patients in anatomy, pigment and gain, and in severity.
        label_noise: Share of the originals that are labeled one grade off; their copies follow them.
    """

    SHARES: ClassVar = (*PhantomOptions.SHARES, "conflicts")
    AMOUNTS: ClassVar = (*PhantomOptions.AMOUNTS, "unlabeled")

    layout: str = "aptos"
    unlabeled: int = 20
    size: int = 256
    conflicts: float = 0.25


class Case(NamedTuple):
    """What one image shows."""

    patient: int
    left: bool  # the eye, as the image shows it: a mirrored copy shows the other one
    grade: int  # index into GRADES and the classes
    label: int | None = None  # the grade in the table, None for an unlabeled image
    source: int | None = None  # which case this one copies
    transform: str = ""


def make(folder: Path, classes: list[str], **options: Any) -> None:
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
        **options: The fields of `Options`.

    Raises:
        RescanError: An unknown layout, fewer than two classes or more than five, too few samples for two originals per
            class, or an option out of its range.
    """
    settings = Options(**options)
    grades = len(classes)
    layout = settings.layout
    settings.check(
        (layout not in LAYOUTS, f"layout: no layout {layout!r}{catalogue.suggest(layout, LAYOUTS)}"),
        (settings.size < 64, f"size: {settings.size} pixels show no lesions; use 64 or more"),
        (
            not 2 <= grades <= len(GRADES),
            f"fundus makes 2 to {len(GRADES)} classes, not {grades}; change data.classes",
        ),
        settings.fault_of_count(grades),
    )
    cases = _label(_eyes(settings, 0, grades, settings.originals, fewest=2), settings, grades)
    cases += _copies(cases, settings, grades)
    if layout == "aptos":
        cases += _eyes(settings, settings.samples, grades, settings.unlabeled)
    paths = _paths(cases, settings)
    sizes = []
    for number, (case, path) in enumerate(zip(cases, paths)):
        # An original is drawn again for its copy: no image is kept.
        image, mask, quality = _draw(case if case.source is None else cases[case.source], settings)
        if case.source is not None:
            rng = settings.rng(1, number)
            image, mask = copy(image, mask, case.transform, rng, lossy=True)
            quality = quality if case.transform == "identical" else int(rng.integers(85, 96))
        sizes.append(mask.shape)
        save(folder / path, image, quality)
        if mask.any():
            save(folder / "masks" / f"{Path(path).stem}.png", mask)
    truth = {
        "path": paths,
        "label": ["" if case.label is None else classes[case.label] for case in cases],
        "true_label": ["" if settings.null else classes[case.grade] for case in cases],
        "patient": [f"p{case.patient:04d}" for case in cases],
        "eye": ["left" if case.left else "right" for case in cases],
        "duplicate_of": ["" if case.source is None else paths[case.source] for case in cases],
        "transform": [case.transform for case in cases],
        "width": [width for _, width in sizes],
        "height": [height for height, _ in sizes],
    }
    write_table(folder / "phantom.csv", pd.DataFrame(truth))
    labels = {"id": [Path(path).stem for path in paths], "label": [case.label for case in cases]}
    _write_labels(folder, layout, pd.DataFrame(labels))


def _eyes(options: Options, first: int, grades: int, count: int, fewest: int = 0) -> list[Case]:
    """Plan eyes with the grades' shares, each grade `fewest` times at least; patients are numbered from `first`.

    The graver a patient's disease, the higher the grades of both eyes: severities are ranked.
    """
    rng = options.rng(0, first)
    shared = np.repeat(rng.normal(size=(count + 1) // 2), 2)[:count]
    severity = options.patient_effect * shared + 0.5 * rng.normal(size=count)
    ends = np.cumsum(SHARES[:grades]) / sum(SHARES[:grades])
    counts = np.maximum(np.diff(np.rint(ends * count).astype(int), prepend=0), fewest)
    counts[0] -= counts.sum() - count
    ranked = np.empty(count, int)
    ranked[np.argsort(severity)] = np.repeat(np.arange(grades), counts)
    return [Case(first + number // 2, number % 2 == 0, grade) for number, grade in enumerate(ranked.tolist())]


def _label(cases: list[Case], options: Options, grades: int) -> list[Case]:
    """Label originals by their grades, but for a share; or, for null, deal the labels out anew."""
    labels = relabel([case.grade for case in cases], options, lambda label, rng: _other(label, grades, 0.0, rng))
    return [case._replace(label=label) for case, label in zip(cases, labels)]


def _copies(cases: list[Case], options: Options, grades: int) -> list[Case]:
    """Plan copies of originals, a share of them with another label."""
    rng = options.rng(6)
    sources = choose(range(len(cases)), options.copies, rng)
    conflicting = set(rng.permutation(len(sources))[: round(options.conflicts * len(sources))].tolist())
    copies = []
    for number, source in enumerate(sources):
        transform = TRANSFORMS[number % len(TRANSFORMS)]
        case = cases[source]._replace(source=source, transform=transform)
        if transform == "mirrored":
            case = case._replace(left=not case.left)
        if number in conflicting and case.label is not None:
            case = case._replace(label=_other(case.label, grades, 0.1, rng))
        copies.append(case)
    return copies


def _other(label: int, grades: int, far: float, rng: np.random.Generator) -> int:
    """Another grade; one that is no neighbor is `far` times as likely as one that is."""
    away = np.abs(np.arange(grades) - label)
    weights = np.select([away == 0, away == 1], [0.0, 1.0], far)
    return int(rng.choice(grades, p=weights / weights.sum()))


def _paths(cases: list[Case], options: Options) -> list[str]:
    """Names as in the real sets, such as train_images/0083ee8054ee.png or train/17_left.jpeg."""
    rng = options.rng(7)
    if options.layout == "aptos":
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


def _draw(case: Case, options: Options) -> tuple[Array, Array, int]:
    """Draw an original; with probability `confound`, height and aspect follow from its label.

    Returns:
        image: (H, W, 3) uint8, BGR.
        mask: (H, W) uint8, 0 or 255.
        quality: Of a JPEG file.
    """
    person = patient(options.rng(2, case.patient), options.patient_effect)
    rng = options.rng(3, case.patient, case.left)
    scale, aspect = rng.uniform(0.8, 1.4), rng.uniform(1.0, 1.5)
    if rng.random() < options.confound:
        scale, aspect = CONFOUNDED[case.grade if case.label is None else case.label]
    quality = int(rng.integers(85, 96))
    image, mask = draw(
        person,
        left=case.left,
        grade=0 if options.null else case.grade,
        shape=(round(options.size * scale), round(options.size * scale * aspect)),
        contrast=options.contrast,
        rng=rng,
        lesion_rng=options.rng(4, case.patient, case.left),
    )
    return image, mask, quality
