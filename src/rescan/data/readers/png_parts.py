"""The parts of a PNG file, some of which Pillow refuses for reasons that cost no pixel."""

from __future__ import annotations

import struct
import zlib

from rescan.data.readers.unreadable import Unreadable

PNG_MARK = b"\x89PNG\r\n\x1a\n"
NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def needed_parts(content: bytes) -> list[bytes | memoryview]:
    """The parts of a PNG file that its pixels need; others may be broken, or larger than Pillow allows.

    Raises:
        Unreadable: The checksum of a part that they need is wrong, which Pillow does not look at.
    """
    view, place = memoryview(content), len(PNG_MARK)
    chunks: list[bytes | memoryview] = [PNG_MARK]
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + length + 12
        if content[place + 4 : place + 8] in NEEDED:
            if end <= len(content) and zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(
                view[end - 4 : end], "big"
            ):
                raise Unreadable("damaged: a checksum is wrong")
            chunks.append(view[place:end])
        place = end
    return chunks
