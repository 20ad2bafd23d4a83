"""A DICOM Secondary Capture of a sample under its maps, with what is read off it burned in."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SecondaryCaptureImageStorage

from rescan.explanation import drawing, five_panels
from rescan.explanation.drawing import short
from rescan.explanation.letters import make_readable
from rescan.readouts.arm_facts import ArmFacts
from rescan.readouts.dicom_source import MAKER, Source, coded, new_file, referenced, taken, write
from rescan.readouts.page_pictures import levels_of
from rescan.readouts.readout import Readout

DPI = 200
WIDTH, HEADING = 78, 54  # characters of a line below the pictures, and of the one above
SIDES = ("Laterality", "ImageLaterality")
TAKEN = ("BodyPartExamined", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def write_capture(file: Path, source: Source, facts: ArmFacts, readout: Readout, statements: Sequence[str]) -> None:
    """Write a sample under its maps as a color image of the source's study.

    Args:
        file: The file.
        source: What the sample was read from.
        facts: The arm.
        readout: The sample; one that could be read.
        statements: What is read off it, in sentences; the first stands above the picture.
    """
    pixels = _pixels(_figure(facts, readout, statements))
    made = new_file(source, facts, "overlay", SecondaryCaptureImageStorage, "OT")
    made.ImageType, made.ConversionType = ["DERIVED", "SECONDARY"], "WSD"
    made.PatientOrientation = None
    made.DerivationDescription = f"Prepared image under maps of evidence, by {MAKER}"
    made.SourceImageSequence = [referenced(instance) for instance in source.instances]
    for item in made.SourceImageSequence:
        item.PurposeOfReferenceCodeSequence = [coded(codes.DCM.SourceImageForImageProcessingOperation)]
    made.ImageComments = f"{facts.caution} {' '.join(statements)}"[:10240]
    _take_over(source.header, made)
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.Rows, made.Columns = pixels.shape[:2]
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    content = pixels.tobytes()
    made.PixelData = content + b"\0" * (len(content) % 2)
    made["PixelData"].VR = "OB"
    write(file, made, source.instances, statements, content)


def _take_over(header: Dataset, made: Dataset) -> None:
    """What is true of the source's pixels is true of what is made of them."""
    if str(header.get("BurnedInAnnotation") or "") in ("YES", "NO"):  # whether they tell who the patient is
        made.BurnedInAnnotation = header.BurnedInAnnotation
    sides = [element.value for name in SIDES if (element := taken(header, name)) is not None]
    made.Laterality = next(filter(None, sides), None)
    for name in TAKEN:
        if (element := taken(header, name)) is not None:
            made.add(element)


def _figure(facts: ArmFacts, readout: Readout, statements: Sequence[str]) -> Figure:
    """A sample under its maps, what is read off it above, whose reading it is below."""
    first = short(statements[0], HEADING)  # in full below, where it does not fit above
    lines = [*statements[first == statements[0] :], f"{facts.title}, {MAKER} {facts.reader}", facts.caution.upper()]
    below = [line for text in lines for line in textwrap.wrap(text, WIDTH)]
    maps, prepared = readout.maps, readout.prepared
    if prepared is None:
        raise ValueError("a sample that could not be read has no picture")
    image = prepared.items[0]
    note = "\n".join(
        ["no maps: they need torch, which does not compute these networks here" if maps is None else maps.note, *below]
    )
    if image.ndim == 3:
        if maps is None:
            tile = drawing.Tile("prepared image", levels_of(image), [])
        else:
            from rescan.explanation.new_maps import tile_of

            tile = tile_of(image, maps, facts.classes)
        return drawing.figure([(first, [tile])], note)
    if maps is None:
        affine = np.eye(4) if prepared.affine is None else prepared.affine
        empty = np.zeros(image.shape[:3], np.float32)
        return five_panels.figure([(first, five_panels.panels(levels_of(image[..., 0]), empty, affine, "none"))], note)
    from rescan.explanation.new_maps import rows_of

    rows = rows_of("", image, prepared.affine, maps, facts.classes)
    headings = [first, *(heading.lstrip(": ") for heading, _ in rows[1:])]
    return five_panels.figure([(heading, row) for heading, (_, row) in zip(headings, rows)], note)


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    """A figure as (H, W, 3) uint8."""
    make_readable(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    with Image.open(stream) as picture:
        return np.asarray(picture.convert("RGB"))
