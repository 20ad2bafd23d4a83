"""What DICOM headers say of samples, as columns of the manifest; and how ages are written.

Names and birth dates are never read. Ids are written as a keyed hash, unless the study asks for them as they are.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Optional
from unicodedata import normalize

import pandas as pd

from rescan.data.pool import pooled
from rescan.data.readers.frames import file_and_frame, file_of
from rescan.data.readers.volumes import dicom_of
from rescan.errors import RescanError, is_of_machine
from rescan.files import sync
from rescan.locks import locked
from rescan.log import logger
from rescan.results.manifest import BURNED_IN
from rescan.spelling import ONLY_WRITTEN, plain

TAGS = {  # column → the attributes that say it, the first one that does
    "patient": ("PatientID",),
    "study": ("StudyInstanceUID",),
    "eye": ("ImageLaterality", "FrameLaterality", "Laterality"),
    "view": ("ViewPosition",),
    "age": ("PatientAge",),
    "sex": ("PatientSex",),
    "site": ("InstitutionName",),
    "device": ("Manufacturer", "ManufacturerModelName"),  # together
    "body_part": ("BodyPartExamined",),
    BURNED_IN: ("BurnedInAnnotation",),
}
IDS = ("patient", "study")
WRITTEN = "written"  # beside a hash: another one, of the id as it is written
NOBODY = {"anon", "anonymous", "anonymized", "anonymised", "na", "n/a", "nan", "none", "null", "unknown", "0", "-"}
SIDES, SEXES = {"L", "R"}, {"F", "M"}
KEY_BYTES = 32
SOME = 500  # samples; fewer are read sooner than processes start
AGE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(y|m|w|d|years?|months?|weeks?|days?)?", re.IGNORECASE)
PER_YEAR = {"y": 1.0, "m": 12.0, "w": 52.18, "d": 365.25}


def with_headers(manifest: pd.DataFrame, files: Sequence[Optional[Path]], key: Optional[bytes]) -> pd.DataFrame:
    """Fill what a manifest lacks from the headers of its DICOM files; what it has already stays.

    A patient whom the manifest names for one sample, and the headers for another, has the manifest's name in both:
    where one sample has both names, or where the id is the same.

    Args:
        manifest: Its rows.
        files: The file or folder of each.
        key: What ids are hashed with; None writes them as they are.

    Returns:
        The manifest, with those of TAGS that any header says.
    """
    processes = 1 if len(files) < SOME else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    rows = list(pooled(partial(header_of, key=key), files, processes, "headers"))
    found = pd.DataFrame([{**dict.fromkeys((*TAGS, WRITTEN), ""), **row} for row in rows], index=manifest.index)
    count = sum(bool(row) for row in rows)
    if not count:
        return _with_patients_of_frames(manifest, files)
    spellings = found[WRITTEN].groupby(found["patient"]).nunique().drop("", errors="ignore")
    if (spellings > 1).any():
        logger.warning("%d patients are one each, though their ids in headers %s", (spellings > 1).sum(), ONLY_WRITTEN)
    if "patient" in manifest:
        both = (manifest["patient"] != "") & (found["patient"] != "")
        known = {**by_hash(manifest["patient"], key), **dict(zip(found["patient"][both], manifest["patient"][both]))}
        found["patient"] = found["patient"].map(lambda patient: known.get(patient, patient))
    filled: list[str] = []
    for name in TAGS:
        own = manifest[name] if name in manifest else pd.Series("", manifest.index)
        values = own.where(own != "", found[name])
        if (values != own).any():
            manifest, filled = manifest.assign(**{name: values}), [*filled, name]
    how = "hashed" if key else "as they are"
    logger.info("%d DICOM headers say %s; ids are %s (data.patients)", count, ", ".join(filled) or "nothing more", how)
    return _with_patients_of_frames(manifest, files)


def _with_patients_of_frames(manifest: pd.DataFrame, files: Sequence[Optional[Path]]) -> pd.DataFrame:
    """The frames of a file whose patient is not known are of one, called after the file: no split may part them."""
    if not any(file is not None and file_and_frame(file)[1] for file in files):
        return manifest
    patients = [
        patient or (file_of(name) if file is not None and file_and_frame(file)[1] else "")
        for file, name, patient in zip(files, manifest["path"], manifest["patient"])
    ]
    return manifest.assign(patient=patients)


def header_of(path: Optional[Path], key: Optional[bytes]) -> dict[str, str]:
    """What the header of a DICOM file, or of the first one of a folder, says; nothing of any other file."""
    file = None if path is None else dicom_of(path)
    if file is None:
        return {}
    import pydicom

    from rescan.data.readers.dicom_pixels import quiet

    tags = [tag for of_column in TAGS.values() for tag in of_column]
    try:
        with quiet():
            content = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=[*tags])
            said = {tag: _text(content.get(tag)) for tag in tags}
    except Exception as error:
        if is_of_machine(error):
            raise
        return {}
    row = {name: next((said[tag] for tag in of_column if said[tag]), "") for name, of_column in TAGS.items()}
    row["device"] = " ".join(dict.fromkeys(said[tag] for tag in TAGS["device"] if said[tag]))
    row["age"] = years(row["age"]) or ""
    row["eye"] = row["eye"].upper() if row["eye"].upper() in SIDES else ""
    row["sex"] = row["sex"].upper() if row["sex"].upper() in SEXES else ""
    row[BURNED_IN] = "yes" if row[BURNED_IN].upper() == "YES" else ""
    for name in IDS:
        if row[name].casefold() in NOBODY:
            row[name] = ""
        elif row[name] and key:
            if name == "patient" and row[name] != plain(row[name]):
                row[WRITTEN] = hashlib.blake2b(row[name].encode(), key=key).hexdigest()
            row[name] = hashed(row[name], key, name[0])
    return {name: value for name, value in row.items() if value}


def _text(value: object) -> str:
    """A value in one line; of several the first."""
    values = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
    text = str(next(iter(values), None) or "").replace("\0", " ")  # type: ignore[call-overload]
    return normalize("NFC", " ".join(text.split()))


def hashed(name: str, key: bytes, prefix: str) -> str:
    """A keyed hash of an id, however it is written; after a letter, for hexadecimal digits may look like a number."""
    return prefix + hashlib.blake2b(plain(name).encode(), key=key, digest_size=8).hexdigest()


def by_hash(patients: Iterable[str], key: Optional[bytes]) -> dict[str, str]:
    """Patients by what their ids would be in headers: tables give them as they are; {} without a key."""
    return {hashed(patient, key, "p"): patient for patient in set(patients) - {""}} if key else {}


def passing_key() -> bytes:
    """A key to hash ids with that nobody keeps."""
    return secrets.token_bytes(KEY_BYTES)


def key_at(path: str) -> bytes:
    """The key that ids are hashed with: it is made once, can be read by its owner only, and stays out of results.

    Raises:
        RescanError: There is another file in its place.
    """
    file = Path(path)
    if not file.exists():
        with locked(file, "index"):  # of the study's external data, too, which share it
            if not file.exists():
                part = file.with_name(f"{file.name}.part")
                part.unlink(missing_ok=True)
                part.touch(0o600)
                part.write_bytes(passing_key())
                sync(part)
                part.rename(file)
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise RescanError(f"{file}: is no key of {KEY_BYTES} bytes; remove it, and run index again")
    return key


def years(text: str) -> Optional[str]:
    """An age in years: of `45`, `45.5`, `045Y`, `006M`, `10 weeks`; None if it cannot be read."""
    match = AGE.fullmatch(text.strip())
    if not match:
        return None
    number = float(match[1].replace(",", "."))
    return f"{round(number / PER_YEAR[(match[2] or 'y')[0].lower()], 2):g}"


def with_years(manifest: pd.DataFrame, where: str) -> pd.DataFrame:
    """Ages in years, however the data set writes them; says which cannot be read."""
    if "age" not in manifest:
        return manifest
    ages = manifest["age"].map(lambda age: years(age) if age else "")
    unread = manifest.loc[ages.isna(), "age"]
    if len(unread):
        remedy = "write years, such as 45, or 045Y, 006M, 010W"
        logger.warning("%s: %d ages are not read, such as %r: %s", where, len(unread), unread.iloc[0], remedy)
    return manifest.assign(age=ages.fillna(""))
