"""Schematic MRI slices of the head in four classes: glioma, meningioma, no tumor, pituitary tumor."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from rescan.files import write_table
from rescan.phantoms.brain_mri.head_slices import draw, head
from rescan.phantoms.phantom import PhantomOptions, choose, copy, relabel, save

Array = np.ndarray
KINDS = ("glioma", "meningioma", "none", "pituitary")
CONFOUNDED = ((0.8, 1.0, 0.75), (1.0, 0.85, 1.0), (1.2, 1.1, 1.15), (1.4, 0.95, 0.9))  # size, aspect, gain per class
TRANSFORMS = ("mirrored", "rotated", "gain", "recompressed")  # of copies, in turn


@dataclass(frozen=True)
class Options(PhantomOptions):
    """The options of brain MRI phantoms.

    Attributes:
        size: Typical height in pixels; images are 0.8 to 1.4 times as high, with varying aspect.
        confound: Probability that an image's size, aspect and gain follow from its label.
        duplicates: Share of images that copy another one of the same class (mirrored, rotated by 180°, gain-changed or
            recompressed), half of them into each part.
        patient_effect: Multiplies the differences between patients in anatomy, tissue contrast and gain.
        label_noise: Share of images that lie in another class's folder, copies as well.
    """

    size: int = 160
    confound: float = 0.0


class Case(NamedTuple):
    """What one image shows. Kind, plane and part are the same for all slices of a patient, but for copies' parts."""

    patient: int
    number: int  # of the slice among the patient's
    kind: int  # index into KINDS and the classes
    plane: str
    part: str  # "Training" or "Testing"
    label: int  # whose folder it lies in
    source: int | None = None  # which case this one copies
    transform: str = ""


def make(folder: Path, classes: list[str], **options: Any) -> None:
    """Write a phantom data set in the native layout of the brain tumor sets.

    Files: `Training|Testing/<class>/*.jpg` (gray and RGB mixed, 8 bits), `masks/<same>.png` (0 or 255, same size) where
    there is a lesion, and the truth, `phantom.csv`: path, label (the folder), true_label ("" if null), patient,
    duplicate_of (a path), transform, plane. A patient has 2 to 4 slices, all in one part, about a quarter in Testing.
    As in real sets, a pituitary tumor in an axial slice means a slice through the skull base; others have both levels.

    Args:
        folder: Where to write; made if needed.
        classes: Names of up to four classes, by position: glioma, meningioma, no tumor, pituitary tumor.
        **options: The fields of `Options`.

    Raises:
        RescanError: More than four classes, too few samples for two originals per class, or an option out of its range.
    """
    settings = Options(**options)
    odd = [name for name in classes if name.startswith(".") or "/" in name or len(name.encode()) > 200]
    settings.check(
        (settings.size < 32, f"size: {settings.size} pixels show no head; use 32 or more"),
        (
            len(classes) > len(KINDS),
            f"brain_mri makes at most {len(KINDS)} classes, not {len(classes)}; shorten data.classes",
        ),
        settings.fault_of_count(len(classes)),
        (bool(odd), f"brain_mri makes a folder of each class, which cannot be called {odd[:1]}; rename that class"),
    )
    cases = _label(_plan(settings, len(classes)), settings, len(classes))
    paths = _paths(cases, classes)
    for number, (case, path) in enumerate(zip(cases, paths)):
        rng = settings.rng(1, number)
        # An original is drawn again for its copy: no image is kept.
        image, mask = _draw(case if case.source is None else cases[case.source], settings)
        if case.source is not None:
            image, mask = copy(image, mask, case.transform, rng)
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if rng.random() < 0.5 else image
        save(folder / path, image, int(rng.integers(85, 96)))
        if mask.any():
            save((folder / "masks" / path).with_suffix(".png"), mask)
    truth = {
        "path": paths,
        "label": [classes[case.label] for case in cases],
        "true_label": ["" if settings.null else classes[case.kind] for case in cases],
        "patient": [f"p{case.patient:04d}" for case in cases],
        "duplicate_of": ["" if case.source is None else paths[case.source] for case in cases],
        "transform": [case.transform for case in cases],
        "plane": [case.plane for case in cases],
    }
    write_table(folder / "phantom.csv", pd.DataFrame(truth))


def _plan(options: Options, classes: int) -> list[Case]:
    """Spread originals over classes (balanced), parts (a quarter in Testing) and patients; then plan the copies."""
    rng = options.rng(0)
    cases: list[Case] = []
    for kind in range(classes):
        total = options.originals // classes + (kind < options.originals % classes)
        testing = max(1, round(total / 4))
        for part, count in (("Testing", testing), ("Training", total - testing)):
            remaining = count
            while remaining:
                axial = "axial_base" if KINDS[kind] == "pituitary" else ("axial", "axial_base")[rng.integers(2)]
                plane = (axial, "coronal", "sagittal")[rng.integers(3)]
                slices = min(remaining, int(rng.integers(2, 5)))
                patient = cases[-1].patient + 1 if cases else 0
                cases += [Case(patient, number, kind, plane, part, kind) for number in range(slices)]
                remaining -= slices
    for number, source in enumerate(choose(range(options.originals), options.copies, rng)):
        part = ("Training", "Testing")[rng.integers(2)]
        cases.append(cases[source]._replace(part=part, source=source, transform=TRANSFORMS[number % len(TRANSFORMS)]))
    return cases


def _label(cases: list[Case], options: Options, classes: int) -> list[Case]:
    """Label all images, copies apart from their originals; if null, labels are dealt out within a part."""

    def other(label: int, rng: np.random.Generator) -> int:
        return (label + int(rng.integers(1, max(classes, 2)))) % classes

    parts = [[row for row, case in enumerate(cases) if case.part == part] for part in ("Training", "Testing")]
    labels = relabel([case.label for case in cases], options, other, parts)
    return [case._replace(label=label) for case, label in zip(cases, labels)]


def _paths(cases: list[Case], classes: list[str]) -> list[str]:
    """Names as in the real set, such as Training/glioma/Tr-gl_0001.jpg."""
    count: Counter[tuple[str, int]] = Counter()
    paths = []
    for case in cases:
        count[case.part, case.label] += 1
        name = classes[case.label]
        paths.append(f"{case.part}/{name}/{case.part[:2]}-{name[:2]}_{count[case.part, case.label]:04d}.jpg")
    return paths


def _draw(case: Case, options: Options) -> tuple[Array, Array]:
    """Draw an original and its mask; with probability `confound`, size, aspect and gain follow from its label."""
    patient = head(options.rng(2, case.patient), options.patient_effect)
    rng = options.rng(3, case.patient, case.number)
    scale, aspect, gain = rng.uniform(0.8, 1.4), rng.uniform(0.8, 1.15), 1.0
    if rng.random() < options.confound:
        scale, aspect, gain = CONFOUNDED[case.label]
    return draw(
        case.plane,
        "none" if options.null else KINDS[case.kind],
        patient,
        rng,
        options.rng(4, case.patient),
        shape=(round(options.size * scale), round(options.size * scale * aspect)),
        contrast=options.contrast,
        gain=gain,
    )
