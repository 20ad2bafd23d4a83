"""Schematic radiographs of seven body parts, normal and abnormal, in the native layout of MURA v1.1."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
import pandas as pd

from rescan.files import write_table, writing
from rescan.phantoms.phantom import PhantomOptions, choose, copy, relabel, save
from rescan.phantoms.radiograph.radiograph_anatomy import PARTS
from rescan.phantoms.radiograph.radiograph_images import draw, patient
from rescan.phantoms.radiograph.radiograph_lesions import LESIONS

Array = np.ndarray
TOP = "MURA-v1.1"
FOLDERS = ("train", "valid")
LABELS = ("negative", "positive")
POSITIVE = 0.425  # share of the studies
STUDIES = (0.70, 0.22, 0.08)  # shares of the patients with 1, 2, 3 of them
VIEWS = (0.15, 0.35, 0.35, 0.15)  # shares of the studies with 1 to 4 images
KINDS = (0.25, 0.60, 0.15)  # shares of the lesions, as in LESIONS: metal is what a small network learns first
VISIBLE = 0.9  # of a positive study's views but the first, which all show the lesion
ELSEWHERE = 0.15  # of a patient's further studies are of any part
CONFOUNDED = ((0.82, 0.9), (1.18, 1.1))  # height and aspect per label
TRANSFORMS = ("identical", "mirrored", "gain", "resized")  # of copies, in turn


@dataclass(frozen=True)
class Options(PhantomOptions):
    """The options of radiograph phantoms.

    Attributes:
        size: Typical height in pixels; images are 0.7 to 1.3 times as high and 0.6 to 1.5 times as wide as high.
        contrast: Multiplies the lesions' contrast and how far fragments are displaced: the difficulty.
        null: No lesion anywhere, the same nuisances, the labels of the studies of a body part dealt out at random.
        duplicates: Share of the images that copy another patient's one (same file, mirrored, gain-changed or resized).
            A copy is the one image of a further patient, in the same of `train` and `valid`.
        patient_effect: Multiplies the differences between patients in anatomy and exposure.
        label_noise: Share of the original studies that are labeled otherwise; copies follow them.
        test: Share of the images in `valid`.
    """

    SHARES: ClassVar = (*PhantomOptions.SHARES, "test")

    size: int = 160
    duplicates: float = 0.04
    test: float = 0.25

    @property
    def images(self) -> dict[str, int]:
        """How many images each folder has, copies included."""
        valid = round(self.test * self.samples) if 0 <= self.test <= 1 else self.samples // 2
        return {"train": self.samples - valid, "valid": valid}

    @property
    def copied(self) -> dict[str, int]:
        """How many of them are copies."""
        valid = round(self.copies * self.images["valid"] / self.samples) if self.samples else 0
        return {"train": self.copies - valid, "valid": valid}


class Case(NamedTuple):
    """What one image shows."""

    folder: str  # one of FOLDERS
    patient: int
    body_part: str
    study: int  # counted through the whole set
    number: int  # of the study among the patient's of this body part, from 1
    image: int  # of the image in the study, from 1
    positive: bool  # whether the study is
    lesion: str  # what the image shows: one of LESIONS, or ""
    label: bool  # whether the study is called positive
    source: int | None = None  # which case this one copies
    transform: str = ""

    def path(self) -> str:
        """Where it lies, such as train/XR_ELBOW/patient00011/study1_negative/image2.png."""
        study = f"study{self.number}_{LABELS[self.label]}"
        return f"{self.folder}/XR_{self.body_part}/patient{self.patient:05d}/{study}/image{self.image}.png"


def make(folder: Path, classes: list[str], **options: Any) -> None:
    """Write a phantom data set in the native layout of MURA v1.1.

    Files in `MURA-v1.1/`: `{train,valid}/XR_<PART>/patient<number>/study<number>_{positive,negative}/image<number>.png`
    (8 bits, gray or three equal channels), the four CSVs without header that list images and studies,
    `masks/<the same path>` (0 or 255, same size) where an image shows a lesion. Beside that folder the truth,
    `phantom.csv`: path (from `MURA-v1.1` on), label, true_label ("" if null), patient, study (both as in the path),
    body_part, duplicate_of (a path), transform, lesion (fracture, hardware, lysis or ""), width, height.

    A patient has 1 to 3 studies, mostly of one body part, of 1 to 4 images. Each body part has studies of both labels
    in `train` and in `valid`, about equally many. In a positive study, the first image and most others show its lesion.

    Args:
        folder: Where to write; made if needed.
        classes: Two; their names are not used.
        **options: The fields of `Options`.

    Raises:
        RescanError: Not two classes, too few samples for each body part and label, or an option out of its range.
    """
    settings = Options(**options)
    _check(settings, len(classes))
    cases = _label(_plan(settings), settings)
    cases += _copies(cases, settings)
    sizes = []
    for number, case in enumerate(cases):
        # An original is drawn again for its copy: no image is kept.
        origin = number if case.source is None else case.source
        image, mask, color = _draw(cases[origin], origin, settings)
        if case.source is not None:
            image, mask = copy(image, mask, case.transform, settings.rng(1, number))
        sizes.append(mask.shape)
        save(folder / TOP / case.path(), cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if color else image)
        if mask.any():
            save(folder / TOP / "masks" / case.path(), mask)
    truth = {
        "path": [f"{TOP}/{case.path()}" for case in cases],
        "label": [LABELS[case.label] for case in cases],
        "true_label": ["" if settings.null else LABELS[case.positive] for case in cases],
        "patient": [f"patient{case.patient:05d}" for case in cases],
        "study": [f"study{case.number}" for case in cases],
        "body_part": [case.body_part for case in cases],
        "duplicate_of": ["" if case.source is None else f"{TOP}/{cases[case.source].path()}" for case in cases],
        "transform": [case.transform for case in cases],
        "lesion": ["" if settings.null else case.lesion for case in cases],
        "width": [width for _, width in sizes],
        "height": [height for height, _ in sizes],
    }
    write_table(folder / "phantom.csv", pd.DataFrame(truth))
    _write_lists(folder / TOP, cases)


def _check(options: Options, classes: int) -> None:
    """Check all options; each folder needs an original per body part and label."""
    originals = {name: count - options.copied[name] for name, count in options.images.items()}
    counts = " and ".join(f"{count} for {name}" for name, count in originals.items())
    counts = f"{options.samples} leave {counts} beside duplicates"
    fewest = len(PARTS) * len(LABELS)
    options.check(
        (options.size < 64, f"size: {options.size} pixels show no lesions; use 64 or more"),
        (classes != 2, f"radiograph makes 2 classes, not {classes}; change data.classes"),
        (
            min(originals.values()) < fewest,
            f"samples: {counts}, each needs {fewest}; raise it or change test",
        ),
    )


def _plan(options: Options) -> list[Case]:
    """Spread the images of `train` and `valid` over patients and studies.

    The body part with fewest studies is next. The first two studies of one differ in their labels, further ones keep
    to the share of positive ones.
    """
    rng = options.rng(0)
    cases: list[Case] = []
    person = study = 0
    for folder in FOLDERS:
        remaining = options.images[folder] - options.copied[folder]
        studies, positives = Counter(dict.fromkeys(PARTS, 0)), Counter(dict.fromkeys(PARTS, 0))
        while remaining:
            person += 1
            home = min(PARTS, key=lambda name: (studies[name], rng.random()))
            numbers: Counter[str] = Counter()
            for further in range(1 + rng.choice(len(STUDIES), p=STUDIES)):
                body_part = home if not further or rng.random() > ELSEWHERE else str(rng.choice(list(PARTS)))
                lacking = sum(max(0, 2 - number) for number in studies.values())
                lacking -= studies[body_part] < 2
                if remaining <= lacking:  # the rest is for the other parts
                    break
                views = min(1 + int(rng.choice(len(VIEWS), p=VIEWS)), remaining - lacking)
                positive = bool(positives[body_part] + rng.random() < POSITIVE * (studies[body_part] + 1))
                if studies[body_part] == 1:
                    positive = not positives[body_part]
                studies[body_part] += 1
                positives[body_part] += positive
                numbers[body_part] += 1
                study += 1
                remaining -= views
                kind = list(LESIONS)[rng.choice(len(KINDS), p=KINDS)]
                for image in range(views):
                    lesion = kind if positive and (image == 0 or rng.random() < VISIBLE) else ""
                    cases.append(
                        Case(
                            folder, person, body_part, study, numbers[body_part], image + 1, positive, lesion, positive
                        )
                    )
    return cases


def _label(cases: list[Case], options: Options) -> list[Case]:
    """Label a share of the studies otherwise; or, for null, deal the labels of each body part out anew."""
    studies = list({case.study: case for case in cases}.values())
    rows: dict[tuple[str, str], list[int]] = {}
    for row, case in enumerate(studies):
        rows.setdefault((case.folder, case.body_part), []).append(row)
    labels = relabel([case.positive for case in studies], options, lambda label, _: not label, list(rows.values()))
    of_study = {case.study: label for case, label in zip(studies, labels)}
    return [case._replace(label=of_study[case.study]) for case in cases]


def _copies(cases: list[Case], options: Options) -> list[Case]:
    """Plan copies, each the only image of a further patient."""
    rng = options.rng(6)
    rows = {folder: [row for row, case in enumerate(cases) if case.folder == folder] for folder in FOLDERS}
    sources = [source for folder in FOLDERS for source in choose(rows[folder], options.copied[folder], rng)]
    return [
        cases[source]._replace(
            patient=cases[-1].patient + number + 1,
            study=cases[-1].study + number + 1,
            number=1,
            image=1,
            source=source,
            transform=TRANSFORMS[number % len(TRANSFORMS)],
        )
        for number, source in enumerate(sources)
    ]


def _draw(case: Case, number: int, options: Options) -> tuple[Array, Array, bool]:
    """Draw an original; with probability `confound`, height and aspect follow from its label.

    Returns:
        image: (H, W) uint8.
        mask: (H, W) uint8, 0 or 255.
        color: Whether it is saved with three channels.
    """
    person = patient(options.rng(2, case.patient), options.patient_effect)
    rng = options.rng(3, number)
    across, along = PARTS[case.body_part][0].extent
    scale = rng.uniform(0.7, 1.3)
    aspect = np.clip(across / along * np.exp(rng.normal(0.1, 0.25)), 0.6, 1.5)
    if rng.random() < options.confound:
        scale, aspect = CONFOUNDED[case.label]
    color = bool(rng.random() < 0.3)
    image, mask = draw(
        person,
        case.body_part,
        [case.lesion] if case.lesion and not options.null else [],
        shape=(round(options.size * scale), round(options.size * scale * aspect)),
        contrast=options.contrast,
        rng=rng,
        site_rng=options.rng(4, case.study),
        lesion_rng=options.rng(7, number),
    )
    return image, 255 * mask, color


def _write_lists(top: Path, cases: list[Case]) -> None:
    """Write the four CSVs, without header, sorted."""
    for folder in FOLDERS:
        labels = {f"{TOP}/{case.path()}": case.label for case in cases if case.folder == folder}
        studies = {f"{path.rpartition('/')[0]}/": label for path, label in labels.items()}
        lists = {
            "image_paths": [f"{path}\n" for path in sorted(labels)],
            "labeled_studies": [f"{study},{int(studies[study])}\n" for study in sorted(studies)],
        }
        for name, lines in lists.items():
            with writing(top / f"{folder}_{name}.csv") as temporary:
                temporary.write_text("".join(lines), "utf-8")
