"""Stand-ins for the four real data sets: their layout, number of files and sizes, made fast. See docs/full-scale.md.

A few phantoms are drawn; every picture is one of them, moved, turned, scaled and unevenly lit at random, so that no two
are near-duplicates. Labels are dealt out in the real numbers and say nothing about the pictures. What is there already
is not made again.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import openpyxl
import pandas as pd
import scipy.io

from rescan.data.pool import pooled
from rescan.files import write_table, writing
from rescan.phantoms.brain_mri import brain_mri
from rescan.phantoms.fundus import fundus
from rescan.phantoms.octa.octa import _projections
from rescan.phantoms.octa.octa_anatomy import FIELDS, FIRST_IDS
from rescan.phantoms.octa.octa_eyes import eye
from rescan.phantoms.octa.octa_scans import paint
from rescan.phantoms.phantom import encode
from rescan.phantoms.radiograph import radiograph
from rescan.phantoms.radiograph.radiograph_anatomy import PARTS

BASES = 200  # phantoms that are drawn; of photographs an eighth
PHANTOM = 400  # their height in pixels; of photographs twice as high
BRAIN = {
    "Training": {"glioma": 1321, "meningioma": 1339, "notumor": 1595, "pituitary": 1457},
    "Testing": {"glioma": 300, "meningioma": 306, "notumor": 405, "pituitary": 300},
}
GRADES = (1805, 370, 999, 193, 295)
# Height and width of the photographs, and of 100 how many: a fifth are as large as cameras make them, 5 to 12 MP.
PHOTOGRAPHS = {
    (2848, 4288): 4,
    (2136, 3216): 10,
    (1958, 2588): 6,
    (1050, 1050): 45,
    (614, 819): 25,
    (480, 640): 10,
}
MURA = {"train": (11184, 13457, 36808), "valid": (783, 1199, 3197)}  # patients, studies, images
POSITIVE = 0.4  # share of the studies
DISEASES = {
    "6mm": {"NORMAL": 91, "AMD": 43, "CNV": 11, "CSC": 14, "DR": 35, "RVO": 10, "OTHERS": 96},
    "3mm": {"NORMAL": 160, "DR": 29, "AMD": 6, "CNV": 5},
}
SCANS = {"6mm": ((640, 400, 400), 3), "3mm": ((640, 304, 304), 2)}  # depth, height, width; how many are painted
STRIP = 25  # B-scans of one painted scan that follow each other in a volume


class Picture(NamedTuple):
    """One file to write."""

    path: str
    number: int
    height: int
    width: int


def make(study: str, folder: Path, processes: int) -> None:
    """Make a study's stand-in in a folder, unless it is there."""
    done = folder / ".whole"
    if not done.exists():
        MAKERS[study](folder, processes)
        done.touch()


def _brain(folder: Path, processes: int) -> None:
    rng, pictures = np.random.default_rng(0), []
    for part, classes in BRAIN.items():
        for label, count in classes.items():
            for number in range(count):
                height, width = (512, 512) if rng.random() < 0.7 else rng.integers(256, 670, 2).tolist()
                pictures.append(Picture(f"{part}/{label}/{label}_{number:04d}.jpg", len(pictures), height, width))
    make_phantoms = partial(brain_mri.make, classes=list(BRAIN["Testing"]), samples=BASES, size=PHANTOM, duplicates=0)
    _write_all(pictures, folder, _bases(folder, make_phantoms), processes)


def _aptos(folder: Path, processes: int) -> None:
    rng = np.random.default_rng(0)
    grades = rng.permutation(np.repeat(np.arange(5), GRADES)).tolist()
    sizes = [size for size, share in PHOTOGRAPHS.items() for _ in range(share)]
    ids = [f"{number * 7919:012x}" for number in range(len(grades))]
    pictures = [
        Picture(f"train_images/{name}.png", number, *sizes[number % len(sizes)]) for number, name in enumerate(ids)
    ]
    make_phantoms = partial(
        fundus.make, classes=list("01234"), samples=BASES // 8, unlabeled=0, size=2 * PHANTOM, duplicates=0, confound=0
    )
    _write_all(pictures, folder, _bases(folder, make_phantoms), processes)
    write_table(folder / "train.csv", pd.DataFrame({"id_code": ids, "diagnosis": grades}))


def _mura(folder: Path, processes: int) -> None:
    rng, pictures, person = np.random.default_rng(0), [], 0
    for part, (patients, studies, images) in MURA.items():
        views = np.full(studies, images // studies)
        views[: images % studies] += 1
        owners = np.concatenate([np.arange(patients), rng.integers(patients, size=studies - patients)])
        numbers: dict[int, int] = {}
        paths, labels = [], []
        for owner, count in zip(owners.tolist(), rng.permutation(views).tolist()):
            numbers[owner] = numbers.get(owner, 0) + 1
            positive = bool(rng.random() < POSITIVE)
            study = f"study{numbers[owner]}_{'positive' if positive else 'negative'}"
            place = f"{part}/XR_{list(PARTS)[owner % len(PARTS)]}/patient{person + owner:05d}/{study}"
            labels.append(f"MURA-v1.1/{place}/,{int(positive)}\n")
            paths += [f"{place}/image{image + 1}.png" for image in range(count)]
        for path in paths:
            width = int(rng.integers(260, 512))
            pictures.append(Picture(path, len(pictures), *((512, width) if rng.random() < 0.7 else (width, 512))))
        person += patients
        for name, lines in (("image_paths", [f"MURA-v1.1/{path}\n" for path in paths]), ("labeled_studies", labels)):
            with writing(folder / f"MURA-v1.1/{part}_{name}.csv") as temporary:
                temporary.write_text("".join(lines), "utf-8")
    make_phantoms = partial(radiograph.make, classes=["0", "1"], samples=BASES, size=PHANTOM, duplicates=0)
    _write_all(pictures, folder / "MURA-v1.1", _bases(folder, make_phantoms), processes)


def _bases(folder: Path, make_phantoms: partial[None]) -> list[Path]:
    """Draw phantoms beside a data set; their files, without masks and tables."""
    place = folder.with_name(f".{folder.name}_phantoms")
    if not (place / "phantom.csv").exists():
        make_phantoms(place)
    files = sorted(path for path in place.rglob("*") if path.suffix in (".png", ".jpg"))
    return [path for path in files if "masks" not in path.parts]


def _write_all(pictures: list[Picture], folder: Path, bases: list[Path], processes: int) -> None:
    for _ in pooled(partial(_write, folder=folder, bases=bases), pictures, processes, "stand-ins"):
        pass


def _write(picture: Picture, folder: Path, bases: list[Path]) -> None:
    """Write one picture: a phantom, turned, scaled, moved and unevenly lit."""
    path = folder / picture.path
    if path.exists():
        return
    rng = np.random.default_rng([1, picture.number])
    base = _read(bases[picture.number % len(bases)])
    size = np.array([picture.width, picture.height])
    scale = rng.uniform(0.75, 1.25) * float((size / base.shape[1::-1]).min())
    turn = cv2.getRotationMatrix2D((base.shape[1] / 2, base.shape[0] / 2), rng.uniform(-40, 40), scale)
    turn[:, 2] += size / 2 - np.array(base.shape[1::-1]) / 2 + rng.uniform(-0.12, 0.12, 2) * size
    image = cv2.warpAffine(base, turn, (picture.width, picture.height), flags=cv2.INTER_LINEAR)
    light = cv2.resize(rng.uniform(0.35, 1.65, (9, 9)).astype(np.float32), size.tolist(), interpolation=cv2.INTER_CUBIC)
    grain = _grain()[: picture.height, : picture.width]
    light += grain if rng.random() < 0.5 else grain[::-1, ::-1]
    image = cv2.multiply(image, cv2.merge([light] * 3) if image.ndim == 3 else light, dtype=cv2.CV_8U)
    with writing(path) as temporary:
        temporary.write_bytes(encode(image, path.suffix, 90))


@functools.lru_cache(maxsize=BASES)
def _read(path: Path) -> np.ndarray:
    """A phantom; radiographs and slices gray, photographs in color."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 or (image != image[..., :1]).any() else np.ascontiguousarray(image[..., 0])


@functools.lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Fine noise for the largest picture."""
    return np.random.default_rng(2).normal(0, 0.02, max(PHOTOGRAPHS)).astype(np.float32)


def _octa(folder: Path, processes: int) -> None:
    """500 volumes of hard links: strips of B-scans of five painted scans, in an order that no two volumes share."""
    scans = [(fov, number) for fov, (_, count) in SCANS.items() for number in range(count)]
    pool = folder.with_name(f".{folder.name}_scans")
    for _ in pooled(partial(_paint, pool=pool), scans, processes, "scans"):
        pass
    for fov, (_, count) in SCANS.items():
        top = folder / f"OCTA_{fov}"
        painted = [np.load(pool / fov / f"{number}.npz") for number in range(count)]
        maps = {name: np.stack([arrays[name] for arrays in painted]) for name in painted[0].files}
        diseases = [label for label, number in DISEASES[fov].items() for _ in range(number)]
        ids = [str(number) for number in FIRST_IDS[fov]]
        for volume, (scan, row) in zip(ids, _strips(fov, len(ids))):
            for name, values in maps.items():
                _write_map(top, volume, name, values, scan, row)
            for modality in ("OCT", "OCTA"):
                (top / modality / volume).mkdir(parents=True, exist_ok=True)
                for place, (source, number) in enumerate(zip(scan.tolist(), row.tolist())):
                    target = top / modality / volume / f"{place + 1}.bmp"
                    if not target.exists():
                        os.link(pool / fov / modality / str(source) / f"{number + 1}.bmp", target)
        book = openpyxl.Workbook()
        book.worksheets[0].append(["ID", "Gender", "OS/OD", "Age", "Disease"])
        rng = np.random.default_rng(0)
        for volume, disease in zip(ids, rng.permutation(diseases).tolist()):
            book.worksheets[0].append([int(volume), "FM"[rng.integers(2)], "OD", int(rng.integers(20, 80)), disease])
        book.save(top / "Text labels.xlsx")


def _paint(scan: tuple[str, int], pool: Path) -> None:
    """Paint one scan: its B-scans as files, its maps and surfaces as arrays."""
    fov, number = scan
    place = pool / fov / f"{number}.npz"
    if place.exists():
        return
    (depth, height, width), _ = SCANS[fov]
    rng = np.random.default_rng([3, number])
    painted = paint(eye(rng, (height, width), FIELDS[fov], left=False, effect=1.0), depth, rng)
    for modality, volume in (("OCT", painted.oct), ("OCTA", painted.octa)):
        for row in range(height):
            with writing(pool / fov / modality / str(number) / f"{row + 1}.bmp") as temporary:
                temporary.write_bytes(encode(volume[:, row], ".bmp"))
    with writing(place) as temporary:
        np.savez(temporary, layers=painted.layers, **dict(_projections(painted)))


def _strips(fov: str, volumes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each volume, (H,) which painted scan each B-scan is of, and which B-scan of it."""
    rng = np.random.default_rng(4)
    (_, height, _), count = SCANS[fov]
    starts = np.arange(0, height, STRIP)
    for _ in range(volumes):
        scans = rng.integers(count, size=len(starts)).repeat(STRIP)[:height]
        rows = (rng.permutation(starts)[:, None] + np.arange(STRIP)).ravel()
        yield scans, rows[rows < height]


def _write_map(top: Path, volume: str, name: str, values: np.ndarray, scan: np.ndarray, row: np.ndarray) -> None:
    """Write a projection map, or the surfaces, of a volume from those of the painted scans."""
    if name == "layers":
        path, content = top / f"GT_Layers/{volume}.mat", io.BytesIO()
        if not path.exists():
            layers = values.transpose(0, 2, 1, 3)[scan, row].transpose(1, 2, 0)  # (6, W, H)
            scipy.io.savemat(content, {"Layer": layers})
            with writing(path) as temporary:
                temporary.write_bytes(content.getvalue())
        return
    path = top / f"Projection Maps/OCTA({name})/{volume}.bmp"
    if not path.exists():
        with writing(path) as temporary:
            temporary.write_bytes(encode(values[scan, row], ".bmp"))


MAKERS = {"brain_tumor": _brain, "aptos2019": _aptos, "mura": _mura, "octa500": _octa}
