"""Frames of a DICOM file as samples of their own: the path of one is the file's, with `#` and its number behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from rescan.data.readers.kinds import kind_of
from rescan.data.readers.unreadable import Unreadable
from rescan.named_files import is_there

FRAME = re.compile(r"(.+)#([1-9][0-9]*)")


def file_and_frame(path: Path) -> tuple[Path, Optional[int]]:
    """The file that a path names, and the number of its frame, from 1 on; None where it names a whole file."""
    match = FRAME.fullmatch(path.name)
    return (path, None) if match is None or is_there(path) else (path.with_name(match[1]), int(match[2]))


def file_of(name: str) -> str:
    """The path of the file whose frame a path or sample is called after; "" if it is called after none."""
    match = FRAME.fullmatch(name)
    return match[1] if match else ""


def frame_paths(path: str, file: Path) -> list[str]:
    """The paths of a DICOM file's frames; its own path, if it has one frame, or is another file."""
    if kind_of(file) != "dicom":
        return [path]
    from rescan.data.readers.dicom_pixels import frames_of, open_dicom

    try:
        count = frames_of(open_dicom(file, pixels=False))
        if count > 8 * file.stat().st_size:  # a frame has a bit at least
            return [path]
    except Unreadable:  # whoever reads it says so
        return [path]
    return [f"{path}#{number + 1}" for number in range(count)] if count > 1 else [path]
