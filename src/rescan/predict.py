"""Classifying images and volumes that the pipeline never saw, with nothing but an arm's folder."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from rescan.arm_models import Arm, in_chunks, load_arm
from rescan.arm_rows import FLAGGED, FLAGS, named, place_of, points_at, shown, table_of
from rescan.data.index import Files
from rescan.data.layouts.folders import is_volume_file, samples_below
from rescan.data.readers.frames import file_and_frame, frame_paths
from rescan.errors import RescanError
from rescan.files import together, write_table
from rescan.log import logger
from rescan.named_files import output
from rescan.patterns import compiled, matched
from rescan.predict_patients import answers_of_patients, by_patient
from rescan.readouts.readout import MapPictures, Reader, computes_maps, how_explained, show
from rescan.results.posttraining import FittedPoint

PATIENT = "patient.*"  # what a patient's folder is called, as a regular expression
LONGEST_NAME = 180  # bytes, of a map: a file system takes 255, with what is added


@together()
def predict(
    arm_folder: Path,
    images: list[Path],
    out: Path,
    gradcam: Path | None,
    device: str,
    extent: tuple[float, ...] | None = None,
    patient: str = PATIENT,
    at: str | None = None,
    report: Path | None = None,
    dicom: Path | None = None,
    runtime: str = "auto",
) -> None:
    """Write a table of predictions, one row per image; `problem` says why an image could not be read.

    The outputs of all the arm's networks are averaged, and read with what its post-training fitted.

    Args:
        arm_folder: An arm's folder of results. Its networks lie in it; those of an arm that reads others' beside it.
        images: Image files and folders, which are searched through. Of an arm that reads volumes: NIfTI files, folders
            of B-scans or of DICOM slices, and folders of these.
        out: The table: image, predicted, grade (on the line of the classes' numbers, where it is read from grades),
            one column per class (where there are probabilities; `probability_<class>` where a class is called like one
            of the table's columns), flags (what is unlike the training images: `flags_of`), problem. A file that is
            given twice has one row. Of several labels, `predicted` joins them by |, and is `none` without one.
        gradcam: Where to draw the first network's maps, if given: a picture per image, called after it. They are made
            as those of the study's page, if these are there: of the same head and block, by the same method.
        device: auto, cpu or cuda.
        extent: Millimeters that the scans measure along depth, height and width, where their files do not say it.
        patient: A regular expression of what patients' folders are called. Where images lie in such folders, each
            patient's prediction is written to `<out>_patients.csv`: patient, images, predicted (by majority, a tie by
            the mean probability; of grades the highest), by_mean_probability, one column per class, and flagged (how
            many of the images have flags, where the training images are known).
        report: Where to write one page for people who read images, if given: each image under its maps, what is read
            off it, and what to beware of.
        dicom: Where to write two DICOM files for each DICOM input, if given: `<name>_overlay.dcm`, the image under its
            maps, and `<name>_report.dcm`, a structured report. They are of the input's patient and study, and name
            them as the input does.
        at: The name of an operating point of the arm, such as sensitivity_95, if given: the table gets a column
            `<class>_at_<name>` (or label, or endpoint), yes or no. A patient has the answer that the mean probability
            of the images gives; of grades it is yes if that of one image is.
        runtime: auto, torch or onnx (see `load_arm`).

    Raises:
        RescanError: No such operating point, no finished arm in the folder, no image found, or none could be read; or a
            network's weights or outputs are no numbers.
    """
    arm = load_arm(arm_folder, runtime)
    points = points_at(arm.posttraining, at)
    paths = _once(files_to_predict(images, arm.reads_volumes))
    sources = [file_and_frame(path)[0] for path in paths]
    out = output(out, sources)
    of_patients = output(out.with_name(f"{out.stem}_patients{out.suffix}"), sources)
    page = None if report is None else _page(report, sources, [out, of_patients])
    readers = _readers(arm, points, at, sources, gradcam, page, dicom)
    patients = _patients(paths, patient)
    classes, names, called = arm.classes, [named(path.as_posix()) for path in paths], map_names(paths)
    explained = how_explained(arm) if gradcam is not None or (readers and computes_maps(arm)) else None
    rows: list[dict[str, object]] = []
    for chunk in in_chunks(arm, [Files(path, extent=extent) for path in paths], device, points):
        rows += [{"image": names[chunk.start + place], **row} for place, row in enumerate(chunk.rows)]
        show(chunk, names, called, explained, readers)
    table = table_of(rows, classes, points)
    unread = table[table["problem"] != ""]
    if len(unread) == len(table):
        raise RescanError("\n".join(f"{row.image}: {row.problem}" for row in unread.itertuples()))
    write_table(out, table)
    whole = _of_patients(table.assign(patient=patients), arm, points)
    if whole is not None:
        write_table(of_patients, whole)
        logger.info("%s: %d patients", of_patients, len(whole))
    for reader in readers:
        reader.finish(whole)
    for row in unread.itertuples():
        logger.warning("%s: %s; no prediction", row.image, row.problem)
    count = len(table) - len(unread)
    flagged = int(table[FLAGS].ne("").sum())
    unlike = f", {flagged} unlike the training images (flags)" if arm.training else ""
    logger.info("%s: %d images, %d predicted by %d networks%s", out, len(table), count, len(arm.models), unlike)


def _once(paths: list[Path]) -> list[Path]:
    """The files without those that were given before, by another path."""
    once: dict[Path, Path] = {}
    for path in paths:
        once.setdefault(place_of(path), path)
    return list(once.values())


def map_names(paths: list[Path]) -> list[str]:
    """Names for the maps of some files: those of the files below the folder that holds them all, each once."""
    places = [place_of(path) for path in paths]
    top = os.path.commonpath([place.parent for place in places])
    whole = [place.relative_to(top).as_posix() for place in places]
    stems = [re.sub(r"(\.nii)?\.[^./]+$", "", name) or name for name in whole]
    shared = Counter(stems)
    names = [stem if shared[stem] == 1 else name for stem, name in zip(stems, whole)]
    plain = [re.sub(r"[/\\]", "_", shown(name)).encode()[-LONGEST_NAME:].decode(errors="ignore") for name in names]
    seen: Counter[str] = Counter()
    for place, name in enumerate(plain):
        seen[name] += 1
        plain[place] += f"~{seen[name]}" if seen[name] > 1 else ""
    return plain


def _patients(paths: list[Path], pattern: str) -> list[str]:
    """The last folder of each path that is called as patients' are; "" without one."""
    try:
        fits = compiled(pattern, re.IGNORECASE).fullmatch
    except ValueError as error:
        raise RescanError(f"--patient: {error}") from None
    folders = [named(path.as_posix()).split("/")[:-1] for path in paths]
    names = list(dict.fromkeys(name for above in folders for name in above))
    called = {name for name, fit in zip(names, matched(fits, names, f"--patient: {pattern!r}")) if fit}
    return [next((name for name in reversed(above) if name in called), "") for above in folders]


def _readers(
    arm: Arm,
    points: list[FittedPoint],
    at: str | None,
    sources: list[Path],
    gradcam: Path | None,
    page: Path | None,
    dicom: Path | None,
) -> list[Reader]:
    """Who shows the samples, of those that are asked for."""
    readers: list[Reader] = []
    if gradcam is not None:
        readers.append(MapPictures(_folder("--gradcam", gradcam, sources), arm.classes))
    if page is not None:
        from rescan.readouts.reader_page import ReaderPage

        readers.append(ReaderPage(arm, points, page, at))
    if dicom is not None:
        from rescan.readouts.dicom_records import DicomRecords

        readers.append(DicomRecords(arm, points, _folder("--dicom", dicom, sources)))
    return readers


def _page(report: Path, sources: list[Path], tables: list[Path]) -> Path:
    """Where the page is written, which is neither an input nor one of the tables."""
    page = output(report, sources)
    if page in tables:
        raise RescanError(f"--report: {report}: is a table of predictions; give the page another name")
    return page


def _folder(option: str, folder: Path, paths: list[Path]) -> Path:
    """A folder for outputs, if it neither holds images to predict nor is one: a map of a.png is called a.png."""
    output(folder / "a.png")
    place = os.path.realpath(folder)
    inside = [path for path in paths if place in (os.path.realpath(path.parent), os.path.realpath(path))]
    if inside:
        raise RescanError(f"{option}: {folder}: holds images to predict, such as {inside[0].name}; give another folder")
    return folder


def _of_patients(table: pd.DataFrame, arm: Arm, points: list[FittedPoint]) -> pd.DataFrame | None:
    """What patients are read as, if images lie in patients' folders."""
    classes, posttraining = arm.classes, arm.posttraining
    table = table[(table["problem"] == "") & (table["patient"] != "")]
    if posttraining.thresholds is not None or not len(table):
        return None  # a patient's labels are those of several images: none is read off them
    deciding = [point.threshold.whole for point in posttraining.points if point.predicts]
    ordered = posttraining.ordered or "grade" in table  # which only grades have
    answers = answers_of_patients(table, classes, points, ordered=ordered)
    patients = by_patient(table, classes, *deciding, ordered=ordered).assign(**answers)
    if arm.training is not None:
        patients[FLAGGED] = patients["patient"].map(table[FLAGS].ne("").groupby(table["patient"]).sum())
    return patients


def files_to_predict(images: list[Path], reads_volumes: bool) -> list[Path]:
    """The files of the images or volumes to predict."""
    paths: list[Path] = []
    for image in images:
        if not file_and_frame(image)[0].exists():
            raise RescanError(f"{image}: no such file or folder; give image files or folders of them")
        if not image.is_dir():
            paths.append(image)
        else:
            paths += _volumes_in(image) if reads_volumes else [image / path for path in samples_below(image)[0]]
    if not reads_volumes:
        paths = [Path(frame) for path in paths for frame in frame_paths(str(path), path)]
    if not paths:
        fault = (
            "no volumes in it (NIfTI files, or folders of B-scans or of DICOM slices)"
            if reads_volumes
            else "no images in it"
        )
        raise RescanError(f"{images[0]}: {fault}; give image files or folders of them")
    return paths


def _volumes_in(folder: Path) -> list[Path]:
    """The volumes of a folder, however deep: files of one volume, and folders of slices with no volumes in them."""
    volumes, others = volumes_among({folder / path: is_one_volume(folder / path) for path in samples_below(folder)[0]})
    if others:
        logger.warning(
            "%s: %d files are no volumes, and lie beside some: left out, such as %s",
            folder,
            len(others),
            others[0].name,
        )
    return volumes


def is_one_volume(path: Path) -> bool:
    """Whether a file is a volume by itself, not a slice of one."""
    return is_volume_file(path) or len(frame_paths(str(path), path)) > 1


def volumes_among(files: Mapping[Path, bool]) -> tuple[list[Path], list[Path]]:
    """The volumes that files are: those of one volume, and folders of slices with no volumes in them; and other files.

    Args:
        files: The files, and whether each is a volume by itself.
    """
    own = [path for path, is_volume in files.items() if is_volume]
    folders = {path.parent for path in files} - {path.parent for path in own}
    outer = {above for path in (*own, *folders) for above in path.parents}
    stacks = folders - outer
    others = [path for path, is_volume in files.items() if not is_volume and path.parent not in stacks]
    return sorted([*own, *stacks]), others
