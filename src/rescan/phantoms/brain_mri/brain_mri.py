"""Schematic MRI slices of the head in four classes: glioma, meningioma, no tumor, pituitary tumor."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from rescan.errors import RescanError
from rescan.files import write_table
from rescan.phantoms.brain_mri.head_slices import draw, head

Array = np.ndarray
KINDS = ("glioma", "meningioma", "none", "pituitary")
CONFOUNDED = ((0.8, 1.0, 0.75), (1.0, 0.85, 1.0), (1.2, 1.1, 1.15), (1.4, 0.95, 0.9))  # size, aspect, gain a class
TRANSFORMS = ("mirrored", "rotated", "gain", "recompressed")


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


def make(
    folder: Path,
    classes: list[str],
    *,
    samples: int = 320,
    size: int = 160,
    seed: int = 0,
    contrast: float = 1.0,
    null: bool = False,
    confound: float = 0.0,
    duplicates: float = 0.06,
    patient_effect: float = 1.0,
    label_noise: float = 0.0,
) -> None:
    """Write a phantom data set in the native layout of the brain tumor sets.

    Files: `Training|Testing/<class>/*.jpg` (gray and RGB mixed, 8 bits), `masks/<same>.png` (0 or 255, same size) where
    there is a lesion, and the truth, `phantom.csv`: path, label (the folder), true_label ("" if null), patient,
    duplicate_of (a path), transform, plane. A patient has 2 to 4 slices, all in one part, about a quarter in Testing.
    As in real sets, a pituitary tumor in an axial slice means a slice through the skull base; others have both levels.

    Args:
        folder: Where to write; made if needed.
        classes: Names of up to four classes, by position: glioma, meningioma, no tumor, pituitary tumor.
        samples: Number of images, duplicates included.
        size: Typical height in pixels; images are 0.8 to 1.4 times as high, with varying aspect.
        seed: Seed of everything. Lesions have a stream of their own: the same heads come with any contrast.
        contrast: Multiplies the lesions' contrast: the difficulty.
        null: No lesion anywhere, the same nuisances, labels at random within a part.
        confound: Probability that an image's size, aspect and gain follow from its class.
        duplicates: Share of images that copy another one of the same class (mirrored, rotated by 180°, gain-changed or
            recompressed), half of them into each part.
        patient_effect: Multiplies the differences between patients in anatomy, tissue contrast and gain.
        label_noise: Share of images that lie in another class's folder.

    Raises:
        RescanError: More than four classes, too few samples for two originals a class, or an option out of its range.
    """
    shares = {"confound": confound, "duplicates": duplicates, "label_noise": label_noise}
    faults = [f"{name}: {share} is no share; use 0 to 1" for name, share in shares.items() if not 0 <= share <= 1]
    amounts = {"contrast": contrast, "patient_effect": patient_effect, "seed": seed}
    faults += [f"{name}: {value} is negative; use 0 or more" for name, value in amounts.items() if value < 0]
    if size < 32:
        faults.append(f"size: {size} pixels show no head; use 32 or more")
    if len(classes) > len(KINDS):
        faults.append(f"brain_mri makes at most {len(KINDS)} classes, not {len(classes)}; shorten data.classes")
    copies = round(duplicates * samples)
    if samples - copies < 2 * len(classes):
        faults.append(f"samples: {samples} with {copies} duplicates leave fewer than two originals a class; raise it")
    if faults:
        raise RescanError("\n".join(f"data.phantom: {fault}" for fault in faults))

    cases = _relabel(_plan(seed, len(classes), samples - copies, copies), seed, len(classes), null, label_noise)
    paths = _paths(cases, classes)
    copied = {case.source for case in cases}
    drawn: dict[int | None, tuple[Array, Array]] = {}
    for number, (case, path) in enumerate(zip(cases, paths)):
        rng = np.random.default_rng([seed, 1, number])
        if case.source is None:
            lesion = "none" if null else KINDS[case.kind]
            strength = {"contrast": contrast, "confound": confound, "patient_effect": patient_effect}
            image, mask = _draw(case, lesion, seed=seed, size=size, **strength)
        else:
            image, mask = _transform(*drawn[case.source], case.transform, rng)
        if number in copied:
            drawn[number] = image, mask
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if rng.random() < 0.5 else image
        _write(folder / path, image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 96))])
        if mask.any():
            _write((folder / "masks" / path).with_suffix(".png"), mask, [])
    truth = {
        "path": paths,
        "label": [classes[case.label] for case in cases],
        "true_label": ["" if null else classes[case.kind] for case in cases],
        "patient": [f"p{case.patient:04d}" for case in cases],
        "duplicate_of": ["" if case.source is None else paths[case.source] for case in cases],
        "transform": [case.transform for case in cases],
        "plane": [case.plane for case in cases],
    }
    write_table(folder / "phantom.csv", pd.DataFrame(truth))


def _plan(seed: int, classes: int, originals: int, copies: int) -> list[Case]:
    """Spread originals over classes (balanced), parts (a quarter in Testing) and patients; then plan the copies."""
    rng = np.random.default_rng([seed, 0])
    cases: list[Case] = []
    for kind in range(classes):
        total = originals // classes + (kind < originals % classes)
        testing = max(1, round(total / 4))
        for part, wanted in (("Testing", testing), ("Training", total - testing)):
            left = wanted
            while left:
                axial = "axial_base" if KINDS[kind] == "pituitary" else ("axial", "axial_base")[rng.integers(2)]
                plane = (axial, "coronal", "sagittal")[rng.integers(3)]
                slices = min(left, int(rng.integers(2, 5)))
                patient = cases[-1].patient + 1 if cases else 0
                cases += [Case(patient, number, kind, plane, part, kind) for number in range(slices)]
                left -= slices
    for number, source in enumerate(rng.choice(originals, copies, replace=copies > originals).tolist()):
        part = ("Training", "Testing")[rng.integers(2)]
        cases.append(cases[source]._replace(part=part, source=source, transform=TRANSFORMS[number % len(TRANSFORMS)]))
    return cases


def _relabel(cases: list[Case], seed: int, classes: int, null: bool, noise: float) -> list[Case]:
    """Flip a share of the labels; or, for null, deal the labels of each part out anew, so that they mean nothing."""
    rng = np.random.default_rng([seed, 5])
    labels = np.array([case.label for case in cases])
    if null:
        for part in ("Training", "Testing"):
            rows = np.flatnonzero([case.part == part for case in cases])
            labels[rows] = labels[rng.permutation(rows)]
    else:
        flipped = rng.permutation(len(cases))[: round(noise * len(cases))]
        labels[flipped] = (labels[flipped] + rng.integers(1, max(classes, 2), len(flipped))) % classes
    return [case._replace(label=int(label)) for case, label in zip(cases, labels)]


def _paths(cases: list[Case], classes: list[str]) -> list[str]:
    """Names as in the real set, such as Training/glioma/Tr-gl_0001.jpg."""
    count: Counter[tuple[str, int]] = Counter()
    paths = []
    for case in cases:
        count[case.part, case.label] += 1
        name = classes[case.label]
        paths.append(f"{case.part}/{name}/{case.part[:2]}-{name[:2]}_{count[case.part, case.label]:04d}.jpg")
    return paths


def _draw(
    case: Case, lesion: str, *, seed: int, size: int, contrast: float, confound: float, patient_effect: float
) -> tuple[Array, Array]:
    """Draw an original; with probability `confound`, size, aspect and gain follow from its label."""
    patient = head(np.random.default_rng([seed, 2, case.patient]), patient_effect)
    rng = np.random.default_rng([seed, 3, case.patient, case.number])
    site_rng = np.random.default_rng([seed, 4, case.patient])
    scale, aspect, gain = rng.uniform(0.8, 1.4), rng.uniform(0.8, 1.15), 1.0
    if rng.random() < confound:
        scale, aspect, gain = CONFOUNDED[case.label]
    shape = (round(size * scale), round(size * scale * aspect))
    return draw(case.plane, lesion, patient, rng, site_rng, shape=shape, contrast=contrast, gain=gain)


def _transform(image: Array, mask: Array, name: str, rng: np.random.Generator) -> tuple[Array, Array]:
    if name == "mirrored":
        return np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    if name == "rotated":
        return np.ascontiguousarray(image[::-1, ::-1]), np.ascontiguousarray(mask[::-1, ::-1])
    if name == "gain":
        return cv2.convertScaleAbs(image, alpha=rng.uniform(0.7, 0.85)), mask
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 85))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)), mask


def _write(path: Path, image: Array, options: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())
