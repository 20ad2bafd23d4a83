"""The DICOM files that a sample was read from, and what files for the same patient's record take over from them.

This is the one place where a patient's identity is read from a header: it goes into files of the same study, and
nowhere else.
"""

from __future__ import annotations

import uuid
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Optional

import pydicom
from pydicom.charset import decode_element
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian

from rescan.data.index import Files
from rescan.data.readers.dicom_pixels import open_dicom, quiet
from rescan.data.readers.frames import file_and_frame
from rescan.data.readers.kinds import kind_of
from rescan.data.readers.unreadable import Unreadable
from rescan.data.readers.volumes import files_in
from rescan.files import fingerprint, writing
from rescan.readouts.arm_facts import ArmFacts

# Of the modules Patient, General Study and Patient Study. What must be there may be empty.
NEEDED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
TAKEN = (
    *("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence", "StudyInstanceUID", "StudyDescription"),
    *("IssuerOfAccessionNumberSequence", "PatientAge", "PatientSize", "PatientWeight"),
)
MAKER = "Rescan"
SCHEME = "99RESCAN"  # of the codes that are our own
LONGEST = 64  # characters of a text of VR LO


class Instance(NamedTuple):
    """A source's image: its class and UID; and which of its frames, if it is one of several."""

    sop_class: str
    uid: str
    frame: Optional[int]


class Source(NamedTuple):
    """What a sample was read from.

    Attributes:
        header: Of its first file, without pixels.
        instances: Its images, one for each slice of a volume.
    """

    header: Dataset
    instances: list[Instance]


def source_of(files: Files) -> Source | None:
    """The DICOM files that a sample was read from; None if it is not DICOM.

    Raises:
        Unreadable: A header lacks what a file of the same study needs.
    """
    file, frame = file_and_frame(files.path)
    found = [path for path in files_in(file) if kind_of(path) == "dicom"] if file.is_dir() else [file]
    if not found or kind_of(found[0]) != "dicom":
        return None
    header = open_dicom(found[0], pixels=False)
    instances = []
    for path in found:
        with quiet():
            own = pydicom.dcmread(path, force=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
        instance = Instance(str(own.get("SOPClassUID") or ""), str(own.get("SOPInstanceUID") or ""), frame)
        if not UID(instance.sop_class).is_valid or not UID(instance.uid).is_valid:
            raise Unreadable("lacks a valid SOPClassUID or SOPInstanceUID")
        instances.append(instance)
    for name in ("StudyInstanceUID", "SeriesInstanceUID"):
        if not UID(str(header.get(name) or "")).is_valid:
            raise Unreadable(f"lacks a valid {name}")
    return Source(header, instances)


def new_file(source: Source, facts: ArmFacts, kind: str, sop_class: str, modality: str) -> Dataset:
    """A file of the source's patient and study, in a series of the arm's own; without its content and its UID.

    Args:
        source: The source.
        facts: The arm.
        kind: What the file is, in a word or two.
        sop_class: The UID of its class.
        modality: Of its series.

    Raises:
        Unreadable: The header has a value that breaks its own rules.
    """
    made, now, header = Dataset(), datetime.now().astimezone(), source.header
    for name in (*NEEDED, *TAKEN):
        if (element := taken(header, name)) is not None:
            made.add(element)
        elif name in NEEDED and name in header:
            raise Unreadable(f"its {name} cannot be read; mend the header")
        elif name in NEEDED:
            setattr(made, name, None)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.Modality = sop_class, modality
    of_series = [str(header.get(name)) for name in ("StudyInstanceUID", "SeriesInstanceUID")]
    made.SeriesInstanceUID = uid_of(*of_series, kind, facts.key)
    made.SeriesNumber = 9000 + int(fingerprint([kind, facts.key])[:3], 16) % 900
    made.SeriesDescription = shortened(f"{MAKER} {kind}: {facts.title}")
    number = getattr(taken(header, "InstanceNumber"), "value", None)
    made.InstanceNumber = source.instances[0].frame or (int(number) if isinstance(number, int) else 1)
    made.Manufacturer, made.ManufacturerModelName = MAKER, shortened(facts.title)
    made.SoftwareVersions, made.DeviceSerialNumber = facts.reader, facts.key
    made.InstanceCreationDate = made.ContentDate = now.strftime("%Y%m%d")
    made.InstanceCreationTime = made.ContentTime = now.strftime("%H%M%S")
    return made


def taken(header: Dataset, name: str) -> DataElement | None:
    """An attribute of a header as UTF-8 can have it; None where it is absent, or breaks its own rules."""
    try:
        with quiet():
            part = Dataset()
            part.add(deepcopy(header[name]))
            for element in part.iterall():  # also those of sequences
                decode_element(element, header.get("SpecificCharacterSet"))
            return part[name]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None


def write(file: Path, made: Dataset, *content: object) -> None:
    """Write a file under a UID that its content gives: what says the same of the same source has the same UID."""
    made.SOPInstanceUID = uid_of(str(made.SeriesInstanceUID), *map(repr, content))
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    with writing(file) as temporary, quiet():
        if pydicom.__version__.startswith("2."):
            made.is_little_endian, made.is_implicit_VR = True, False
            made.save_as(temporary, write_like_original=False)
        else:
            made.save_as(temporary, enforce_file_format=True)


def referenced(instance: Instance) -> Dataset:
    """An item that refers to an image."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.sop_class, instance.uid
    if instance.frame is not None:
        item.ReferencedFrameNumber = instance.frame
    return item


def coded(code: Code) -> Dataset:
    """An item of a code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def own_code(meaning: str, *of: str) -> Code:
    """A code of our own scheme, for what no standard has one; the same for the same things."""
    return Code(fingerprint([*of, meaning]), SCHEME, shortened(meaning))


def uid_of(*texts: str) -> str:
    """A UID that texts give: always the same for the same ones."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join(texts)).int}"


def shortened(text: str) -> str:
    """A text that an attribute of LONGEST characters can hold; a backslash would part it."""
    plain = text.replace("\\", "/")
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"
