"""What a file is, by its first bytes: its name says nothing, and headers are all that is read."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Literal, Optional

from rescan.errors import is_of_machine

Kind = Literal["image", "dicom", "volume"]

NEEDED = 400  # bytes that tell all kinds apart
IMAGES = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"GIF8",
    b"II*\0",  # TIFF, then BigTIFF
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n",  # JPEG 2000, then its bare codestream
    b"\xff\x4f\xff\x51",
)
BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}  # bytes
PNM = {b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"}
NIFTI = {348: (b"n+1\0", b"ni1\0"), 540: (b"n+2\0", b"ni2\0")}  # size of the header → what it says of itself
MGH_TYPES = {0, 1, 3, 4}
OTHERS = {  # of volumes that are not read
    b"ObjectType": "MetaImage (.mha, .mhd)",
    b"NDims": "MetaImage (.mha, .mhd)",
    b"\x5c\x01\0\0": "Analyze 7.5 (.hdr, .img)",
    b"\0\0\x01\x5c": "Analyze 7.5 (.hdr, .img)",
    b"CDF\x01": "MINC",
    b"\x89HDF\r\n": "HDF5, as MINC 2",
}
DIRECTORY = b"1.2.840.10008.1.3.10"  # a DICOMDIR, which lists other files
VRS = b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OW PN SH SL SQ SS ST TM UI UL UN US UT".split()


def kind_of(path: str | Path) -> Optional[Kind]:
    """What a file is, by its content; reads its first few hundred bytes.

    Args:
        path: Any path.

    Returns:
        `image` for pictures, `dicom`, `volume` for files of one volume (NIfTI, MGH, NRRD; NIfTI and MGH compressed
        too); None for any other file, an empty or unreadable one, a folder, and what is no file.
    """
    path = Path(path)
    try:
        if not path.is_file():  # a pipe would wait for ever
            return None
        with path.open("rb") as stream:
            head = stream.read(NEEDED)
            if is_gzip(head):
                stream.seek(0)
                with gzip.open(stream) as content:
                    inner = content.read(NEEDED)
                return "volume" if is_nifti(inner) or is_mgh(inner) else None
    except (OSError, EOFError, zlib.error) as error:
        if is_of_machine(error):
            raise
        return None
    if is_dicom(head):  # first, for a DICOM file may start as a TIFF
        return "dicom"
    return "volume" if is_volume(head) else "image" if is_image(head) else None


def of_other_kind(path: Path) -> str:
    """That a file is of a known kind that is not read, and what to do; "" if it is not of one."""
    with path.open("rb") as stream:
        head = stream.read(NEEDED)
    name = next((name for mark, name in OTHERS.items() if head.startswith(mark)), "")
    return f"is {name}, which is not read; convert it to NIfTI" if name else ""


def is_gzip(head: bytes) -> bool:
    """Whether a file that starts so is compressed by gzip."""
    return head[:2] == b"\x1f\x8b"


def is_image(head: bytes) -> bool:
    """Whether a file that starts so is a picture."""
    if head.startswith(IMAGES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    if head[:2] == b"BM" and len(head) >= 18:
        return int.from_bytes(head[14:18], "little") in BMP_HEADERS
    return head[:2] in PNM and head[2:3].isspace() and (head[3:4].isdigit() or head[3:4] == b"#")


def is_dicom(head: bytes) -> bool:
    """Whether a file that starts so is DICOM: by its mark after 128 bytes, or by its first element without them."""
    if head[128:132] == b"DICM":
        return DIRECTORY not in head
    if len(head) < 16 or head[:2] not in (b"\x02\0", b"\x08\0", b"\0\x08"):
        return False
    little = head[1] == 0
    element, length = struct.unpack_from("<HI" if little else ">HI", head, 2)
    if element > 0x0100 or (element == 0 and head[:1] == b"\0"):
        return False
    return head[4:6] in VRS or (little and length % 2 == 0 and length < NEEDED)


def is_nifti(head: bytes) -> bool:
    """Whether a file that starts so is NIfTI, one file or the header of a pair, of either byte order."""
    if len(head) < 348:
        return False
    for order in "<>":
        (size,) = struct.unpack_from(f"{order}i", head)
        if size in NIFTI:
            return head[344:348] in NIFTI[size] if size == 348 else head[4:8] in NIFTI[size]
    return False


def is_mgh(head: bytes) -> bool:
    """Whether a file that starts so is FreeSurfer's MGH."""
    if len(head) < 284:
        return False
    version, *sizes, voxel = struct.unpack_from(">6i", head)
    return version == 1 and min(sizes) > 0 and max(sizes) < 2**20 and voxel in MGH_TYPES


def is_nrrd(head: bytes) -> bool:
    """Whether a file that starts so is NRRD."""
    return head[:7] == b"NRRD000"


def is_volume(head: bytes) -> bool:
    """Whether a file that starts so is one volume."""
    return is_nifti(head) or is_mgh(head) or is_nrrd(head)
