"""Schematic OCT and OCT angiography volumes of the macula: healthy, DR, AMD, CNV, CSC, RVO, in two fields of view."""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openpyxl
import pandas as pd
import scipy.io

from rescan import catalogue
from rescan.data.layouts.octa500 import EXCLUDED
from rescan.files import write_table
from rescan.phantoms.octa.octa_anatomy import AGES, COUNTS, FIELDS, FIRST_IDS, LABELS, SCALE_3MM
from rescan.phantoms.octa.octa_eyes import eye
from rescan.phantoms.octa.octa_lesions import add
from rescan.phantoms.octa.octa_scans import Scan, deposit, paint
from rescan.phantoms.phantom import PhantomOptions, choose, relabel, save

Array = np.ndarray
TRANSFORMS = ("identical", "mirrored", "gain")  # of copies, in turn
LESIONS = ("both", "depth", "enface")
FEWEST = 20  # originals
FULL_GAIN = 3.0  # of the mean over all depths, which is dark


@dataclass(frozen=True)
class Options(PhantomOptions):
    """The options of OCT phantoms.

    Attributes:
        samples: Number of scans, duplicates included.
        size: Depth, height and width of a 6 mm scan in voxels; of 3 mm scans height and width are 0.76 of these.
        lesions: "both" for diseases that show in both modalities, in depth and from above. "depth" for deposits in the
            superficial layers of healthy eyes and the deep ones of ill eyes: the mean over all depths is the same.
            "enface" for deposits evenly through all depths of the retina, larger in most ill eyes.
        null: No lesion anywhere, the same nuisances; labels at random, whatever the field of view.
        confound: How much the field of view goes with the disease, from 0, equal shares in both, to 1, as in the real
            set: of 3 mm scans 160 in 200 are normal, of 6 mm scans 91 in 300. If null, labels don't go with it.
        duplicates: Share of the scans that copy another one (same files, mirrored or gain-changed).
        patient_effect: Multiplies the differences between eyes in anatomy, vessels, tilt and brightness.
        label_noise: Share of the originals that are called ill though normal, or normal though ill, with their copies.
    """

    samples: int = 160
    size: Sequence[int] = (48, 40, 40)
    lesions: str = "both"
    duplicates: float = 0.0

    def shape(self, fov: str) -> tuple[int, int, int]:
        """(D, H, W) of the scans of a field of view."""
        depth, height, width = self.size
        if fov == "6mm":
            return depth, height, width
        return depth, 2 * round(SCALE_3MM * height / 2), 2 * round(SCALE_3MM * width / 2)


class Case(NamedTuple):
    """What one scan shows."""

    fov: str
    kind: str  # one of `LABELS`: what the eye has
    label: str  # what the table says
    left: bool  # the eye, as the scan shows it: a mirrored copy shows the other one
    sex: str
    age: int
    number: str = ""  # its ID
    source: int | None = None  # which case this one copies
    transform: str = ""


def make(folder: Path, classes: list[str], **options: Any) -> None:
    """Write a phantom data set in the native layout of OCTA-500.

    Files, each in `OCTA_6mm` and `OCTA_3mm`: `OCT/<id>/<n>.bmp` and `OCTA/<id>/<n>.bmp` (the B-scans of a volume, 8-bit
    gray, depth down), `Projection Maps/OCTA(FULL)/<id>.bmp` (the mean over all depths, three times as bright),
    `OCTA(ILM_OPL)` and `OCTA(OPL_BM)` (the maximum between these surfaces), `GT_Layers/<id>.mat` (`Layer`, (6, W, H):
    where a surface lies along depth, in voxels) and `Text labels.xlsx` (ID, Gender, OS/OD, Age, Disease). Beside:
    `masks/<as OCTA_6mm>/<id>/<n>.bmp` (0 or 255) where there is a lesion, and the truth, `phantom.csv`: path (of the
    OCTA volume), label, true_label ("" if null), patient, eye, sex, age, fov, duplicate_of (a path), transform.

    Three in five scans have 6 mm. The diseases are DR, AMD, CNV, CSC, RVO and, rarely, OTHERS: two of these at once.
    Every patient has one scan; a copy has an ID of its own, the truth has the original's patient. The IDs that the
    layout leaves out are not used.

    Args:
        folder: Where to write; made if needed.
        classes: The study's; what is written are always the labels of the source.
        **options: The fields of `Options`.

    Raises:
        RescanError: Unknown `lesions`, too few samples, or an option out of its range.
    """
    del classes
    settings = Options(**options)
    _check(settings)
    cases = _label(_plan(settings), settings)
    cases = _number(cases + _copies(cases, settings), settings)
    paths = [f"OCTA_{case.fov}/OCTA/{case.number}" for case in cases]
    origins = [number if case.source is None else case.source for number, case in enumerate(cases)]
    for number, (case, origin) in enumerate(zip(cases, origins)):
        # An original is drawn again for its copy: no scan is kept.
        scan = _draw(cases[origin], np.random.SeedSequence([settings.seed, 2, origin]), settings)
        _write(folder, case, _copy(scan, case.transform, settings.rng(1, number)))
    for fov in FIELDS:
        _write_labels(folder / f"OCTA_{fov}" / "Text labels.xlsx", [case for case in cases if case.fov == fov])
    truth = {
        "path": paths,
        "label": [case.label for case in cases],
        "true_label": ["" if settings.null else case.kind for case in cases],
        "patient": [cases[origin].number for origin in origins],
        "eye": ["left" if case.left else "right" for case in cases],
        "sex": [case.sex for case in cases],
        "age": [case.age for case in cases],
        "fov": [case.fov for case in cases],
        "duplicate_of": ["" if case.source is None else paths[case.source] for case in cases],
        "transform": [case.transform for case in cases],
    }
    write_table(folder / "phantom.csv", pd.DataFrame(truth))


def _check(options: Options) -> None:
    """Check all options; `Options.shape` needs a size of three whole numbers."""
    size, lesions = options.size, options.lesions
    is_size = isinstance(size, (list, tuple)) and len(size) == 3 and all(isinstance(n, int) for n in size)
    options.check(
        (lesions not in LESIONS, f"lesions: no lesions {lesions!r}{catalogue.suggest(lesions, LESIONS)}"),
        (not is_size, f"size: {size} is not a size; give [depth, height, width]"),
        (
            is_size and (size[0] < 32 or min(size) < 24),
            f"size: {size} voxels show no lesions; use [32, 24, 24] or more",
        ),
        (
            options.originals < FEWEST,
            f"samples: {options.originals} without duplicates are too few for all diseases; use {FEWEST} or more",
        ),
    )


def _plan(options: Options) -> list[Case]:
    """Plan originals, three in five of 6 mm, with the labels' shares; every label is there."""
    rng, count, confound = options.rng(0), options.originals, options.confound
    counts = np.array([list(COUNTS[fov].values()) for fov in FIELDS], float)
    overall = counts.sum(axis=0) / counts.sum()
    wide = round(0.6 * count)
    cases: list[Case] = []
    for fov, total, real in zip(FIELDS, (wide, count - wide), counts):
        ends = np.cumsum(confound * real / real.sum() + (1 - confound) * overall)
        numbers = np.diff(np.rint(ends * total).astype(int), prepend=0)
        if fov == "6mm":
            numbers = np.maximum(numbers, 1)
            numbers[numbers.argmax()] -= numbers.sum() - total
        for kind in np.repeat(LABELS, numbers).tolist():
            age = int(np.clip(rng.normal(AGES[kind], 13), 18, 88))
            cases.append(Case(fov, kind, kind, bool(rng.random() < 0.5), "FM"[rng.integers(2)], age))
    return cases


def _label(cases: list[Case], options: Options) -> list[Case]:
    """Label originals by what they have, but for a share; or, for null, deal the labels out anew."""

    def other(label: str, rng: np.random.Generator) -> str:
        return str(rng.choice(LABELS[1:-1])) if label == "NORMAL" else "NORMAL"

    labels = relabel([case.kind for case in cases], options, other)
    return [case._replace(label=label) for case, label in zip(cases, labels)]


def _copies(cases: list[Case], options: Options) -> list[Case]:
    """Plan copies of originals."""
    copies = []
    for number, source in enumerate(choose(range(len(cases)), options.copies, options.rng(6))):
        transform = TRANSFORMS[number % len(TRANSFORMS)]
        left = cases[source].left != (transform == "mirrored")
        copies.append(cases[source]._replace(source=source, transform=transform, left=left))
    return copies


def _number(cases: list[Case], options: Options) -> list[Case]:
    """Give every case an ID as in the real set, at random; where there are more, above these."""
    rng = options.rng(7)
    numbers = [0] * len(cases)
    above = itertools.count(FIRST_IDS["3mm"].stop)
    for fov, real_ids in FIRST_IDS.items():
        rows = [row for row, case in enumerate(cases) if case.fov == fov]
        ids = itertools.chain((number for number in real_ids if str(number) not in EXCLUDED), above)
        for row, number in zip(rows, rng.permutation(list(itertools.islice(ids, len(rows)))).tolist()):
            numbers[row] = number
    return [case._replace(number=str(number)) for case, number in zip(cases, numbers)]


def _draw(case: Case, seeds: np.random.SeedSequence, options: Options) -> Scan:
    """Draw the scan of an original: the eye, its noise and its lesions each from a stream of their own."""
    eye_rng, noise_rng, lesion_rng = map(np.random.default_rng, seeds.spawn(3))
    depth, *plane = options.shape(case.fov)
    macula = eye(eye_rng, (plane[0], plane[1]), FIELDS[case.fov], left=case.left, effect=options.patient_effect)
    lesions = "none" if options.null else options.lesions
    if lesions == "both":
        add(macula, case.kind, min(1.5, options.contrast * lesion_rng.uniform(0.6, 1.0)), lesion_rng)
    scan = paint(macula, depth, noise_rng)
    if lesions in ("depth", "enface"):
        ill, depth_only = case.kind != "NORMAL", lesions == "depth"
        scan = deposit(scan, macula, ill=ill, depth_only=depth_only, contrast=options.contrast, rng=lesion_rng)
    return scan


def _copy(scan: Scan, transform: str, rng: np.random.Generator) -> Scan:
    """Copy a scan. Gray levels are cut to whole numbers where `phantom.copy` rounds them."""
    if transform == "mirrored":
        return Scan(*(part[..., ::-1] for part in scan))
    if transform == "gain":
        gain = rng.uniform(0.7, 0.85)
        return scan._replace(oct=(scan.oct * gain).astype(np.uint8), octa=(scan.octa * gain).astype(np.uint8))
    return scan


def _write(folder: Path, case: Case, scan: Scan) -> None:
    """Write all files of a scan."""
    top = folder / f"OCTA_{case.fov}"
    _write_stack(top / "OCT" / case.number, scan.oct)
    _write_stack(top / "OCTA" / case.number, scan.octa)
    if scan.mask.any():
        _write_stack(folder / "masks" / top.name / case.number, scan.mask)
    for name, image in _projections(scan):
        save(top / "Projection Maps" / f"OCTA({name})" / f"{case.number}.bmp", image)
    layers = top / "GT_Layers" / f"{case.number}.mat"
    layers.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    scipy.io.savemat(content, {"Layer": np.ascontiguousarray(scan.layers.transpose(0, 2, 1))})
    header = b"MATLAB 5.0 MAT-file".ljust(116)  # SciPy's has the time of day
    layers.write_bytes(header + content.getvalue()[len(header) :])


def _projections(scan: Scan) -> Iterator[tuple[str, Array]]:
    """The maps of the angiography volume, each (H, W) uint8: over all depths, the superficial and the deep slab."""
    yield "FULL", np.clip(np.rint(FULL_GAIN * scan.octa.mean(axis=0)), 0, 255).astype(np.uint8)
    depth = np.arange(len(scan.octa))[:, None, None]
    for name, top, bottom in (("ILM_OPL", 0, 2), ("OPL_BM", 2, 5)):
        inside = (depth >= scan.layers[top]) & (depth < scan.layers[bottom])
        yield name, (scan.octa * inside).max(axis=0)


def _write_stack(folder: Path, volume: Array) -> None:
    """Write the B-scans of a volume, (D, H, W), from 1 on."""
    for number in range(volume.shape[1]):
        save(folder / f"{number + 1}.bmp", volume[:, number])


def _write_labels(path: Path, cases: list[Case]) -> None:
    """Write the table of labels, sorted by ID, without the time of day."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["ID", "Gender", "OS/OD", "Age", "Disease"])
    for case in sorted(cases, key=lambda case: case.number):
        sheet.append([int(case.number), case.sex, "OS" if case.left else "OD", case.age, case.label])
    content = io.BytesIO()
    book.save(content)
    with zipfile.ZipFile(content) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            part = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2020-01-01T00:00:00Z", source.read(name))
            target.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
