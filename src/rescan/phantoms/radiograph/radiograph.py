"""Schematic radiographs of seven body parts, normal and abnormal, in the native layout of MURA v1.1."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from rescan.errors import RescanError
from rescan.files import write_table, writing
from rescan.phantoms.radiograph.radiograph_anatomy import PARTS
from rescan.phantoms.radiograph.radiograph_images import draw, patient
from rescan.phantoms.radiograph.radiograph_lesions import LESIONS

Array = np.ndarray
TOP = "MURA-v1.1"
LABELS = ("negative", "positive")
POSITIVE = 0.425  # share of the studies
STUDIES = (0.70, 0.22, 0.08)  # shares of the patients with 1, 2, 3 of them
VIEWS = (0.15, 0.35, 0.35, 0.15)  # shares of the studies with 1 to 4 images
KINDS = (0.25, 0.60, 0.15)  # shares of the lesions, as in LESIONS: metal is what a small network learns first
SHOWN = 0.9  # of a positive study's views but the first, which all show the lesion
ELSEWHERE = 0.15  # of a patient's further studies are of any part
CONFOUNDED = ((0.82, 0.9), (1.18, 1.1))  # height and aspect a label
TRANSFORMS = ("identical", "mirrored", "gain", "resized")  # of copies, in turn


class Case(NamedTuple):
    """What one image shows."""

    folder: str  # "train" or "valid"
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


class Made(NamedTuple):
    """A finished image."""

    image: Array  # (H, W) uint8
    mask: Array  # (H, W) uint8, 0 or 255
    color: bool  # whether it is saved with three channels


def make(
    folder: Path,
    classes: list[str],
    *,
    samples: int = 320,
    size: int = 160,
    seed: int = 0,
    contrast: float = 1.0,
    null: bool = False,
    confound: float = 0.5,
    duplicates: float = 0.04,
    patient_effect: float = 1.0,
    label_noise: float = 0.0,
    test: float = 0.25,
) -> None:
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
        samples: Number of images, duplicates included.
        size: Typical height in pixels; images are 0.7 to 1.3 times as high and 0.6 to 1.5 times as wide as high.
        seed: Seed of everything. Lesions have a stream of their own: the same limbs come with any contrast.
        contrast: Multiplies the lesions' contrast and how far fragments are displaced: the difficulty.
        null: No lesion anywhere, the same nuisances, the labels of the studies of a body part dealt out at random.
        confound: Probability that an image's height and aspect follow from its label (also if null).
        duplicates: Share of the images that copy another patient's one (same file, mirrored, gain-changed or resized).
            A copy is the one image of a further patient, in the same of `train` and `valid`.
        patient_effect: Multiplies the differences between patients in anatomy and exposure.
        label_noise: Share of the original studies that are labeled otherwise; copies follow them.
        test: Share of the images in `valid`.

    Raises:
        RescanError: Not two classes, too few samples for each body part and label, or an option out of its range.
    """
    shares = {"confound": confound, "duplicates": duplicates, "label_noise": label_noise, "test": test}
    amounts = {"contrast": contrast, "patient_effect": patient_effect, "seed": seed}
    _check(shares, amounts, size, len(classes), samples)
    cases = _relabel(_plan(seed, _originals(samples, duplicates, test)), seed, null, label_noise)
    cases += _copies(cases, seed, samples - len(cases), round(test * samples))
    strength = {"contrast": contrast, "confound": confound, "patient_effect": patient_effect}
    sizes = []
    for number, case in enumerate(cases):
        # An original is drawn again for its copy: no image is kept.
        origin = case if case.source is None else cases[case.source]
        made = _draw(
            origin, number if case.source is None else case.source, seed=seed, size=size, null=null, **strength
        )
        if case.source is not None:
            made = _transform(made, case.transform, np.random.default_rng([seed, 1, number]))
        sizes.append(made.mask.shape)
        image = cv2.cvtColor(made.image, cv2.COLOR_GRAY2BGR) if made.color else made.image
        _write(folder / TOP / case.path(), image)
        if made.mask.any():
            _write(folder / TOP / "masks" / case.path(), made.mask)
    truth = {
        "path": [f"{TOP}/{case.path()}" for case in cases],
        "label": [LABELS[case.label] for case in cases],
        "true_label": ["" if null else LABELS[case.positive] for case in cases],
        "patient": [f"patient{case.patient:05d}" for case in cases],
        "study": [f"study{case.number}" for case in cases],
        "body_part": [case.body_part for case in cases],
        "duplicate_of": ["" if case.source is None else f"{TOP}/{cases[case.source].path()}" for case in cases],
        "transform": [case.transform for case in cases],
        "lesion": ["" if null else case.lesion for case in cases],
        "width": [width for _, width in sizes],
        "height": [height for height, _ in sizes],
    }
    write_table(folder / "phantom.csv", pd.DataFrame(truth))
    _write_lists(folder / TOP, cases)


def _originals(samples: int, duplicates: float, test: float) -> dict[str, int]:
    """How many images of `train` and `valid` are no copies."""
    valid = round(test * samples)
    copied = round(round(duplicates * samples) * valid / samples) if samples else 0
    return {"train": samples - valid - round(duplicates * samples) + copied, "valid": valid - copied}


def _check(shares: dict[str, float], amounts: dict[str, float], size: int, classes: int, samples: int) -> None:
    """Raise a `RescanError` with a line for each option out of its range."""
    faults = [f"{name}: {share} is no share; use 0 to 1" for name, share in shares.items() if not 0 <= share <= 1]
    unfit = {name: value for name, value in amounts.items() if not 0 <= value < math.inf}
    faults += [f"{name}: {value} is no amount; use 0 or more" for name, value in unfit.items()]
    if size < 64:
        faults.append(f"size: {size} pixels show no lesions; use 64 or more")
    if classes != 2:
        faults.append(f"radiograph makes 2 classes, not {classes}; change data.classes")
    usable = [
        shares[name] if 0 <= shares[name] <= 1 else default for name, default in (("duplicates", 0), ("test", 0.5))
    ]
    counts = _originals(samples, *usable)
    fewest = len(PARTS) * len(LABELS)
    if min(counts.values()) < fewest:
        said = " and ".join(f"{count} for {name}" for name, count in counts.items())
        faults.append(
            f"samples: {samples} leave {said} beside duplicates, each needs {fewest}; raise it or change test"
        )
    if faults:
        raise RescanError("\n".join(f"data.phantom: {fault}" for fault in faults))


def _plan(seed: int, originals: dict[str, int]) -> list[Case]:
    """Spread the images of `train` and `valid` over patients and studies.

    The body part with fewest studies is next. The first two studies of one differ in their labels, further ones keep
    to the share of positive ones.
    """
    rng = np.random.default_rng([seed, 0])
    cases: list[Case] = []
    person = study = 0
    for folder, count in originals.items():
        left = count
        studies, positives = Counter(dict.fromkeys(PARTS, 0)), Counter(dict.fromkeys(PARTS, 0))
        while left:
            person += 1
            home = min(PARTS, key=lambda name: (studies[name], rng.random()))
            own: Counter[str] = Counter()
            for further in range(1 + rng.choice(len(STUDIES), p=STUDIES)):
                body_part = home if not further or rng.random() > ELSEWHERE else str(rng.choice(list(PARTS)))
                lacking = sum(max(0, 2 - number) for number in studies.values())
                lacking -= studies[body_part] < 2
                if left <= lacking:  # the rest is for the other parts
                    break
                views = min(1 + int(rng.choice(len(VIEWS), p=VIEWS)), left - lacking)
                positive = bool(positives[body_part] + rng.random() < POSITIVE * (studies[body_part] + 1))
                if studies[body_part] == 1:
                    positive = not positives[body_part]
                studies[body_part] += 1
                positives[body_part] += positive
                own[body_part] += 1
                study += 1
                left -= views
                kind = list(LESIONS)[rng.choice(len(KINDS), p=KINDS)]
                for image in range(views):
                    lesion = kind if positive and (image == 0 or rng.random() < SHOWN) else ""
                    cases.append(
                        Case(folder, person, body_part, study, own[body_part], image + 1, positive, lesion, positive)
                    )
    return cases


def _relabel(cases: list[Case], seed: int, null: bool, noise: float) -> list[Case]:
    """Label a share of the studies otherwise; or, for null, deal the labels of each body part out anew."""
    rng = np.random.default_rng([seed, 5])
    studies = list({case.study: case for case in cases}.values())
    labels = {case.study: case.positive for case in studies}
    if null:
        for key in dict.fromkeys((case.folder, case.body_part) for case in studies):
            ours = [case.study for case in studies if (case.folder, case.body_part) == key]
            labels.update(zip(ours, rng.permutation([labels[study] for study in ours]).tolist()))
    else:
        for study in rng.permutation(list(labels))[: round(noise * len(labels))].tolist():
            labels[study] = not labels[study]
    return [case._replace(label=labels[case.study]) for case in cases]


def _copies(cases: list[Case], seed: int, count: int, valid: int) -> list[Case]:
    """Plan `count` copies, each the only image of a further patient; `valid` images are in that folder then."""
    rng = np.random.default_rng([seed, 6])
    person, study = cases[-1].patient, cases[-1].study
    rows = {folder: [row for row, case in enumerate(cases) if case.folder == folder] for folder in ("train", "valid")}
    wanted = {"valid": valid - len(rows["valid"])}
    wanted["train"] = count - wanted["valid"]
    sources = [
        source
        for folder, ours in rows.items()
        for source in rng.choice(ours, wanted[folder], replace=wanted[folder] > len(ours)).tolist()
    ]
    return [
        cases[source]._replace(
            patient=person + number + 1,
            study=study + number + 1,
            number=1,
            image=1,
            source=source,
            transform=TRANSFORMS[number % len(TRANSFORMS)],
        )
        for number, source in enumerate(sources)
    ]


def _draw(
    case: Case,
    number: int,
    *,
    seed: int,
    size: int,
    null: bool,
    contrast: float,
    confound: float,
    patient_effect: float,
) -> Made:
    """Draw an original; with probability `confound`, height and aspect follow from its label."""
    person = patient(np.random.default_rng([seed, 2, case.patient]), patient_effect)
    rng = np.random.default_rng([seed, 3, number])
    across, along = PARTS[case.body_part][0].extent
    scale = rng.uniform(0.7, 1.3)
    aspect = np.clip(across / along * np.exp(rng.normal(0.1, 0.25)), 0.6, 1.5)
    if rng.random() < confound:
        scale, aspect = CONFOUNDED[case.label]
    color = bool(rng.random() < 0.3)
    image, mask = draw(
        person,
        case.body_part,
        "" if null else case.lesion,
        shape=(round(size * scale), round(size * scale * aspect)),
        contrast=contrast,
        rng=rng,
        site_rng=np.random.default_rng([seed, 4, case.study]),
        lesion_rng=np.random.default_rng([seed, 7, number]),
    )
    return Made(image, mask, color)


def _transform(made: Made, name: str, rng: np.random.Generator) -> Made:
    """Copy an image."""
    image, mask, color = made
    if name == "mirrored":
        image, mask = cv2.flip(image, 1), cv2.flip(mask, 1)
    elif name == "gain":
        image = cv2.convertScaleAbs(image, alpha=rng.uniform(0.7, 0.85))
    elif name == "resized":
        shape = np.rint(rng.uniform(0.7, 0.9) * np.array(mask.shape[::-1])).astype(int).tolist()
        image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, shape, interpolation=cv2.INTER_NEAREST)
    return Made(image, mask, color)


def _write(path: Path, image: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(cv2.imencode(".png", image)[1]))


def _write_lists(top: Path, cases: list[Case]) -> None:
    """Write the four CSVs, without header, sorted."""
    for folder in ("train", "valid"):
        ours = {f"{TOP}/{case.path()}": case.label for case in cases if case.folder == folder}
        studies = {f"{path.rpartition('/')[0]}/": label for path, label in ours.items()}
        lists = {
            "image_paths": [f"{path}\n" for path in sorted(ours)],
            "labeled_studies": [f"{study},{int(studies[study])}\n" for study in sorted(studies)],
        }
        for name, lines in lists.items():
            with writing(top / f"{folder}_{name}.csv") as temporary:
                temporary.write_text("".join(lines), "utf-8")
