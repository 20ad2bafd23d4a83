"""Schematic radiographs with several findings each, or none, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rescan.files import write_table
from rescan.phantoms.phantom import PhantomOptions, choose, copy, relabel, save
from rescan.phantoms.radiograph.radiograph_anatomy import PARTS
from rescan.phantoms.radiograph.radiograph_images import draw, patient

KINDS = ("hardware", "lysis", "fracture")  # of the classes, in their order: the first is the easiest to find
PRESENT = (0.45, 0.4, 0.3)  # the probability of each, whatever else an image shows
ASPECTS = ((0.8, 0.85), (1.2, 1.15))  # height and aspect without and with the first class, where they are confounded
TRANSFORMS = ("identical", "mirrored", "gain", "resized")  # of copies, in turn
TABLE = "samples.csv"


@dataclass(frozen=True)
class Options(PhantomOptions):
    """The options of phantoms with several findings.

    Attributes:
        size: Typical height in pixels; images are 0.7 to 1.3 times as high.
        null: No lesion anywhere, the same nuisances, the images' labels dealt out at random.
        confound: Probability that an image's height and aspect follow from whether it has the first class.
        duplicates: Share of the images that copy one of another patient (same file, mirrored, gain-changed, resized).
        label_noise: Share of the originals of which one label is wrong; copies follow them.
    """

    size: int = 160
    duplicates: float = 0.04
    confound: float = 0.0


class Case(NamedTuple):
    """What one image shows. Labels are Σ 2^k over the classes, of number k, that it has."""

    patient: int
    body_part: str
    shown: int
    label: int
    source: int | None = None  # which case this one copies
    transform: str = ""


def make(folder: Path, classes: list[str], **options: Any) -> None:
    """Write a phantom data set as `table`: two images of each patient, each class present or not by itself.

    `samples.csv`: path (images/<number>.png), label (classes joined by |, or none), patient, body_part, mask
    (masks/any/<number>.png, all lesions of an image; masks/<class's number>/<number>.png has those of one class).
    `phantom.csv`, the truth: path, label, true_label ("" if null), patient, duplicate_of, transform, width, height.

    Args:
        folder: Where to write; made if needed.
        classes: Two or three; the first is shown by metal, the others by lysis and fracture.
        **options: The fields of `Options`.

    Raises:
        RescanError: Too many classes, too few samples, or an option out of its range.
    """
    settings, count = Options(**options), len(classes)
    settings.check(
        (settings.size < 64, f"size: {settings.size} pixels show no lesions; use 64 or more"),
        (count > len(KINDS), f"findings makes {len(KINDS)} classes at most, not {count}; change data.classes"),
        settings.fault_of_count(2**count),
    )
    cases, rows = _plan(settings, count), []
    for number, case in enumerate(cases):
        origin = number if case.source is None else case.source
        image, mask = _draw(cases[origin], origin, settings)
        if case.source is not None:
            image, mask = copy(image, mask, case.transform, settings.rng(1, number))
        name = _name(number)
        save(folder / "images" / name, image)
        for kind in ("any", *range(count)):
            of_kind = mask if kind == "any" else mask & (1 << kind)
            if of_kind.any():
                save(folder / f"masks/{kind}" / name, 255 * (of_kind > 0).astype(np.uint8))
        rows.append((f"masks/any/{name}" if mask.any() else "", *mask.shape[::-1]))
    labels, shown = ([_joined(value, classes) for value in of] for of in zip(*((c.label, c.shown) for c in cases)))
    table = pd.DataFrame({"path": [f"images/{_name(number)}" for number in range(len(cases))], "label": labels})
    table["patient"] = [f"patient{case.patient:04d}" for case in cases]
    truth = table.assign(
        true_label="" if settings.null else shown,
        duplicate_of=["" if case.source is None else f"images/{_name(case.source)}" for case in cases],
        transform=[case.transform for case in cases],
        width=[width for _, width, _ in rows],
        height=[height for _, _, height in rows],
    )
    write_table(folder / "phantom.csv", truth)
    table["body_part"], table["mask"] = [case.body_part for case in cases], [name for name, _, _ in rows]
    write_table(folder / TABLE, table)


def _plan(options: Options, classes: int) -> list[Case]:
    """The originals, two of each patient, then the copies, each of a further patient."""
    rng = options.rng(0)
    parts = [str(rng.choice(list(PARTS))) for _ in range(-(-options.originals // 2))]
    present = rng.random((options.originals, classes)) < PRESENT[:classes]
    shown = (present @ (1 << np.arange(classes))).tolist()
    labels = relabel(shown, options, lambda label, own: label ^ (1 << int(own.integers(classes))))
    originals = [
        Case(number // 2, parts[number // 2], kinds, label) for number, (kinds, label) in enumerate(zip(shown, labels))
    ]
    copied = choose(range(len(originals)), options.copies, options.rng(6))
    return originals + [
        originals[source]._replace(
            patient=len(parts) + number, source=source, transform=TRANSFORMS[number % len(TRANSFORMS)]
        )
        for number, source in enumerate(copied)
    ]


def _draw(case: Case, number: int, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Draw an original: (H, W) uint8, and its mask, (H, W) uint8, Σ 2^k over the classes that a pixel is of."""
    person = patient(options.rng(2, case.patient), options.patient_effect)
    rng = options.rng(3, number)
    scale, aspect = rng.uniform(0.7, 1.3), float(np.clip(np.exp(rng.normal(0, 0.2)), 0.6, 1.5))
    if rng.random() < options.confound:
        scale, aspect = ASPECTS[case.label & 1]
    numbers = [] if options.null else [kind for kind in range(len(KINDS)) if case.shown >> kind & 1]
    image, drawn = draw(
        person,
        case.body_part,
        [KINDS[kind] for kind in numbers],
        shape=(round(options.size * scale), round(options.size * scale * aspect)),
        contrast=options.contrast,
        rng=rng,
        site_rng=options.rng(4, number),
        lesion_rng=options.rng(7, number),
    )
    return image, sum((drawn >> place & 1) << kind for place, kind in enumerate(numbers)) + np.zeros_like(drawn)


def _name(number: int) -> str:
    return f"{number:05d}.png"


def _joined(label: int, classes: list[str]) -> str:
    return "|".join(name for number, name in enumerate(classes) if label >> number & 1) or "none"
