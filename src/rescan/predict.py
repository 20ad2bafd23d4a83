"""Classifying images and volumes that the pipeline never saw, with nothing but an arm's folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from rescan.data.index import Files
from rescan.data.readers import volumes
from rescan.data.readers.images import SUFFIXES, Unreadable
from rescan.errors import RescanError
from rescan.evaluation.levels import by_unit
from rescan.evaluation.predictions import Predictions
from rescan.evaluation.readings import Reading, misfit, of_new
from rescan.files import write_table
from rescan.heads import outputs as heads
from rescan.heads.head import TINY
from rescan.log import logger, progress
from rescan.paths import ArmFolder
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.sample import Prepared, prepare
from rescan.results.damage import damaged
from rescan.results.posttraining import Posttraining
from rescan.results.trained_model import ModelHeader
from rescan.study import Inference

PATIENT = "patient.*"  # what a patient's folder is called, as a regular expression
CHUNK = 256  # images held in memory at once …
CHUNK_OF_VOLUMES = 8  # … and volumes

if TYPE_CHECKING:
    from rescan.models.networks import Network


class Model(NamedTuple):
    """A trained network, what its file says of it, and what it is shown of an image."""

    network: Network
    header: ModelHeader
    inference: Inference

    @property
    def input(self) -> str:
        """What tells apart models that need images prepared in other ways."""
        return repr((self.header.preparation, self.header.input))


def predict(
    arm_folder: Path,
    images: list[Path],
    out: Path,
    gradcam: Path | None,
    device: str,
    extent: tuple[float, ...] | None = None,
    patient: str = PATIENT,
) -> None:
    """Write a table of predictions, one row per image; `problem` says why an image could not be read.

    The outputs of all the arm's networks are averaged, and read with what its post-training fitted.

    Args:
        arm_folder: An arm's folder of results. Its networks lie in it; those of an arm that reads others' beside it.
        images: Image files and folders, which are searched through. Of an arm that reads volumes: NIfTI files, folders
            of B-scans or of DICOM slices, and folders of these.
        out: The table: image, predicted, grade (on the line of the classes' numbers, where it is read from grades),
            one column per class (where there are probabilities), problem.
        gradcam: Where to draw the first network's Grad-CAM, if given.
        device: auto, cpu or cuda.
        extent: Millimeters that the scans measure along depth, height and width, where their files do not say it.
        patient: A regular expression of what patients' folders are called. Where images lie in such folders, each
            patient's prediction is written to `<out>_patients.csv`: patient, images, predicted (by majority, a tie by
            the mean probability; of grades the highest), by_mean_probability, and one column per class.

    Raises:
        RescanError: No finished arm in the folder, no image found, or none could be read.
    """
    from rescan.training.lease import Machine

    path = Path(ArmFolder(arm_folder).posttraining)
    if not path.is_file():
        raise RescanError(f"{arm_folder}: no {path.name} in it; give the folder of an arm that was run to its end")
    pattern = _pattern(patient)
    posttraining = Posttraining.read(path)
    models = _load(arm_folder, posttraining)
    reads_volumes = models[0].header.preparation.reads == "volume"
    paths = _find(images, reads_volumes)
    size = CHUNK_OF_VOLUMES if reads_volumes else CHUNK
    classes = models[0].header.classes
    rows: list[dict[str, object]] = []
    with Machine(device, threads=None).lease() as torch_device:
        for model in models:
            model.network.to(torch_device)
        for start in progress(range(0, len(paths), size), -(-len(paths) // size), f"predicting (chunks of {size})"):
            chunk = [Files(path, extent=extent) for path in paths[start : start + size]]
            samples, readable, outputs = _outputs(models, chunk, torch_device)
            rows += [{"image": files.path.as_posix(), "problem": samples[place]} for place, files in enumerate(chunk)]
            if not readable:
                continue
            reading = of_new(posttraining, outputs)
            for number, place in enumerate(readable):
                rows[start + place].update(_row(reading, number, classes), problem="")
            if gradcam is not None:
                names = [f"{start + place:05d}_{chunk[place].path.name.partition('.')[0]}" for place in readable]
                prepared = [sample for place in readable if isinstance(sample := samples[place], Prepared)]
                _draw(models[0], prepared, [chunk[place] for place in readable], names, reading, gradcam)
    filled = {name for row in rows for name in row}
    columns = ["image", "predicted", *(name for name in ("grade", *classes) if name in filled), "problem"]
    table = pd.DataFrame(rows, columns=columns)
    unread = table[table["problem"] != ""]
    if len(unread) == len(table):
        raise RescanError("\n".join(f"{row.image}: {row.problem}" for row in unread.itertuples()))
    write_table(out, table)
    _write_patients(out, table[table["problem"] == ""], classes, pattern)
    for row in unread.itertuples():
        logger.warning("%s: %s; no prediction", row.image, row.problem)
    count = len(table) - len(unread)
    logger.info("%s: %d images, %d predicted by %d networks", out, len(table), count, len(models))


def _load(arm_folder: Path, posttraining: Posttraining) -> list[Model]:
    """The networks that an arm's predictions are averaged from."""
    from rescan.models.model_files import load

    models = [Model(*load(arm_folder / entry.file), entry.inference) for entry in posttraining.models]
    if any(model.header.classes != models[0].header.classes for model in models):
        raise RescanError(f"{arm_folder}: its networks were trained with different classes; run the arm again")
    shared = [head for head in heads.HEADS if all(head in model.network.heads for model in models)]
    if fault := misfit(posttraining, shared, len(models[0].header.classes)):
        raise damaged(ArmFolder(arm_folder).posttraining, Posttraining.step, fault)
    return models


def _outputs(
    models: list[Model], chunk: list[Files], torch_device: Any
) -> tuple[list[Prepared | str], list[int], list[Predictions]]:
    """Prepare samples and compute the networks' outputs.

    Returns:
        Each sample as the first model takes it, or why a model cannot take it; the places of those that all models
        take; and each model's outputs of these.
    """
    from rescan.training.forward_pass import Versions, predict_outputs

    inputs = {model.input: model for model in models}
    prepared = {key: [_prepare(files, model) for files in chunk] for key, model in inputs.items()}
    samples = list(prepared[models[0].input])
    for alternative in prepared.values():
        samples = [
            other if isinstance(sample, Prepared) and isinstance(other, str) else sample
            for sample, other in zip(samples, alternative)
        ]
    readable = [place for place, sample in enumerate(samples) if isinstance(sample, Prepared)]
    outputs: list[Predictions] = []
    for seed, model in enumerate(models if readable else []):
        items = [sample.items for place in readable if isinstance(sample := prepared[model.input][place], Prepared)]
        versions = Versions(model.inference, model.header.preparation.background)
        normalization = model.header.recipe.normalization
        patches = np.stack([patch for of_sample in items for patch in of_sample])
        own = predict_outputs(model.network, patches, normalization, torch_device, versions=versions)
        numbers = np.repeat(np.arange(len(items)), [len(of_sample) for of_sample in items])
        rows = {"part": "new", "fold": 0, "seed": seed, "sample": numbers, "item": np.arange(len(numbers)), "group": ""}
        outputs.append(Predictions(pd.DataFrame(rows), {head: own[head] for head in heads.HEADS if head in own}))
    return samples, readable, outputs


def _prepare(files: Files, model: Model) -> Prepared | str:
    """Prepare a sample as a model takes it; or say why it cannot be."""
    shape = tuple(model.header.input)
    try:
        prepared = prepare(files, model.header.preparation)
    except (Unreadable, CannotPrepare) as error:
        return str(error)
    if all(item.min() == item.max() for item in prepared.items):
        return "constant image"
    item = prepared.items[0]
    fits = (item.shape[-1], *item.shape[:-1]) == shape
    return prepared if fits else f"is {item.shape[:-1]} pixels when prepared, the network takes {shape[1:]}"


def _pattern(patient: str) -> re.Pattern[str]:
    try:
        return re.compile(patient, re.IGNORECASE)
    except re.error as error:
        raise RescanError(f"--patient: {patient!r} is not a regular expression ({error})") from None


def _write_patients(out: Path, table: pd.DataFrame, classes: list[str], pattern: re.Pattern[str]) -> None:
    """Write what patients are read as, if images lie in patients' folders."""
    table = table.assign(patient=table["image"].map(lambda path: _patient(path, pattern)))
    table = table[table["patient"] != ""]
    if len(table):
        file = out.with_name(f"{out.stem}_patients{out.suffix}")
        write_table(file, _by_patient(table, classes))
        logger.info("%s: %d patients", file, table["patient"].nunique())


def _patient(path: str, pattern: re.Pattern[str]) -> str:
    """The last folder of a path that a patient's name fits; "" without one."""
    return next((name for name in reversed(path.split("/")[:-1]) if pattern.fullmatch(name)), "")


def _by_patient(table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """One row per patient, from the images' rows, as the evaluation reads them."""
    graded = "grade" in table
    predicted = table["predicted"].map(classes.index).to_numpy(np.intp)
    grade = table["grade"].to_numpy(float) if graded else predicted.astype(float)
    probabilities = None if graded else np.log(table[classes].to_numpy(float).clip(TINY))
    rows = pd.DataFrame({"part": "new", "fold": 0, "seed": 0, "patient": table["patient"], "eye": "", "target": 0})
    reading = Reading(rows.reset_index(drop=True), predicted, grade, probabilities)
    units, _ = by_unit(reading, "patient", len(classes), ordered=graded, majority=True)
    names = units.rows["patient"].to_numpy()
    patients = pd.DataFrame({"patient": names, "images": table.groupby("patient").size()[names].to_numpy()})
    patients["predicted"] = [classes[number] for number in units.predicted]
    if units.log_probabilities is None:
        return patients.assign(grade=units.grade.round(4))
    mean = np.exp(units.log_probabilities)
    patients["by_mean_probability"] = [classes[number] for number in mean.argmax(1)]
    return patients.assign(**dict(zip(classes, mean.round(6).T)))


def _row(reading: Reading, number: int, classes: list[str]) -> dict[str, object]:
    """An image's columns."""
    row: dict[str, object] = {"predicted": classes[int(reading.predicted[number])]}
    if reading.log_probabilities is None:
        return {**row, "grade": round(float(reading.grade[number]), 4)}
    return {**row, **dict(zip(classes, np.exp(reading.log_probabilities[number]).round(6)))}


def _draw(
    model: Model, samples: list[Prepared], sources: list[Files], names: list[str], reading: Reading, folder: Path
) -> None:
    """Draw the first network's maps: of a sample's patches, that of the first; a volume's also as a NIfTI file."""
    from rescan.explanation.new_maps import draw_predictions

    probabilities = None if reading.log_probabilities is None else np.exp(reading.log_probabilities)
    affines = [prepared.affine for prepared in samples if prepared.affine is not None]
    draw_predictions(
        model.network,
        np.stack([prepared.items[0] for prepared in samples]),
        names,
        probabilities,
        model.header.classes,
        model.header.recipe.normalization,
        folder,
        predicted=reading.predicted,
        affines=np.stack(affines) if affines else None,
        sources=sources if affines else None,
    )


def _find(images: list[Path], reads_volumes: bool) -> list[Path]:
    """The files of the images or volumes to predict."""
    paths: list[Path] = []
    for image in images:
        if not image.exists():
            raise RescanError(f"{image}: no such file or folder; give image files or folders of them")
        if reads_volumes:
            paths += _volumes_in(image)
        elif image.is_dir():
            paths += sorted(path for path in image.rglob("*") if path.suffix.lower() in SUFFIXES)
        else:
            paths.append(image)
    if not paths:
        fault = (
            "no volumes in it (NIfTI files, or folders of B-scans or of DICOM slices)"
            if reads_volumes
            else (f"no images in it ({', '.join(sorted(SUFFIXES))})")
        )
        raise RescanError(f"{images[0]}: {fault}; give image files or folders of them")
    return paths


def _volumes_in(path: Path) -> list[Path]:
    """The volumes of a folder, however deep: NIfTI files, and folders that hold other files."""
    if not path.is_dir():
        return [path]
    entries = volumes.files_in(path)
    files = [entry for entry in entries if entry.is_file()]
    nifti = [file for file in files if volumes.is_volume(file)]
    inner = [volume for entry in entries if entry.is_dir() for volume in _volumes_in(entry)]
    return [*nifti, *inner] if nifti or inner or not files else [path]
