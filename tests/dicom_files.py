"""DICOM files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid


def write_dicom(
    path: Path, pixels: np.ndarray, bits: int | None = None, syntax: UID = ExplicitVRLittleEndian, **attributes: Any
) -> Dataset:
    """Write gray pixels, ([frames,] H, W), or colors, ([frames,] H, W, 3), and other attributes; None leaves one empty.

    Returns:
        What was written.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    is_little = syntax != ExplicitVRBigEndian
    data = FileDataset(str(path), {}, b"\0" * 128, meta, syntax.is_implicit_VR, is_little)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    color = pixels.shape[-1] == 3
    data.Rows, data.Columns = pixels.shape[-3:-1] if color else pixels.shape[-2:]
    if pixels.ndim - color == 3:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel = 3 if color else 1
    data.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    if color:
        data.PlanarConfiguration = 0
    data.BitsAllocated = pixels.dtype.itemsize * 8
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in attributes.items():
        setattr(data, name, value)
    data.PixelData = pixels.astype(pixels.dtype.newbyteorder("<" if is_little else ">")).tobytes()
    data["PixelData"].VR = "OB" if data.BitsAllocated == 8 else "OW"
    data.save_as(path)
    return data


def deadly_dicom() -> bytes:
    """A file at which gdcm ends its process: a picture in JPEG-LS that says it has 127 bits."""
    file = get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)
    content = bytearray(Path(str(file)).read_bytes())
    content[content.rfind(b"\xff\xd8\xff\xf7") + 6] = 127
    return bytes(content)


def lookup_table(entries: np.ndarray, first: int, bits: int, **attributes: Any) -> Dataset:
    """An item of a sequence of lookup tables."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 2**16, first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    for name, value in attributes.items():
        setattr(item, name, value)
    return item
