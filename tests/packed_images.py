"""Pack a folder of images and tables into a zip archive of at most so many MiB, as a source to send to another machine.

    python -m tests.packed_images /data/brain-tumor-mri brain.zip --most 52
    python -m tests.packed_images /data/aptos aptos.zip --most 52

Files go in as they are if that is small enough. Else images become JPEG files of the highest quality that is: a study
of them is a study of copies, which is to be said beside its results. Identical images stay identical.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

QUALITIES = (95, 90, 85, 80, 75)
HEADER = 256  # bytes of the archive per file, its name among them
SAMPLE = 200  # images whose size tells that of all
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"}
MIB = 2**20


def encoded(image: Path, quality: int) -> bytes:
    """An image as JPEG; 16 bits and transparency, which JPEG has not, are refused by Pillow."""
    stream = io.BytesIO()
    with Image.open(image) as loaded:
        loaded.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def quality_of(images: list[Path], room: float) -> int:
    """The highest quality with which images take no more than `room` bytes, as a sample of them says; 0: none."""
    some = images[:: max(1, len(images) // SAMPLE)]
    sizes = {quality: sum(len(encoded(image, quality)) + HEADER for image in some) for quality in QUALITIES}
    fitting = [quality for quality, size in sizes.items() if size / len(some) * len(images) <= room]
    return max(fitting, default=0)


def contents(files: Iterable[Path], folder: Path, quality: int | None) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of the archive."""
    for file in files:
        name = file.relative_to(folder)
        if quality and file.suffix.lower() in SUFFIXES:
            yield name.with_suffix(".jpg").as_posix(), encoded(file, quality)
        else:
            yield name.as_posix(), file.read_bytes()


def pack(folder: Path, out: Path, most: int) -> str:
    """Write the archive; what was done, in words.

    Raises:
        ValueError: Nothing fits.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    whole = sum(path.stat().st_size + HEADER for path in files)
    quality = None
    if whole > most * MIB:
        others = whole - sum(path.stat().st_size for path in images)
        quality = quality_of(images, most * MIB - others)
        if not quality:
            raise ValueError(f"{folder}: {len(images)} images need more than {most} MiB even as JPEG of quality 75")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents(files, folder, quality):
            archive.writestr(f"{folder.name}/{name}", content)
    how = f"re-encoded as JPEG of quality {quality}" if quality else "as they are"
    return f"{out}: {out.stat().st_size / MIB:.1f} MiB, {len(images)} images {how}"


def main() -> int:
    """Pack; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--most", type=int, default=52, help="MiB")
    options = parser.parse_args()
    try:
        print(pack(options.folder, options.out, options.most))  # noqa: T201 - what this program is for
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
