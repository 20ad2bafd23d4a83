"""The sizes of JPEG pictures by their own headers, which decoders in C take on trust from DICOM's."""

from __future__ import annotations

import struct
from collections.abc import Iterator

START = b"\xff\xd8\xff"  # of a picture, and of its first marker: encoded pixels hold no such bytes
# Markers whose segment begins with the size: all kinds of "start of frame", also that of JPEG-LS.
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
LAST = {0xDA, 0xD9}  # start of the pixels, end of the picture


def sizes_of(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the rows and columns that each JPEG or JPEG-LS picture in some bytes says it has.

    Args:
        data: Such as encapsulated PixelData, with anything between the pictures.
    """
    start = data.find(START)
    while start >= 0:
        place = start + 2
        while len(data) >= place + 9 and data[place] == 0xFF and (marker := data[place + 1]) not in LAST:
            if marker in FRAMES:
                rows, columns = struct.unpack_from(">HH", data, place + 5)
                yield rows, columns
                break
            place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        start = data.find(START, start + 2)
