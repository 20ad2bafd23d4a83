"""A figure that the page shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from rescan import touched
from rescan.results.damage import damaged

CSS_PIXELS = 112  # that an inch of a figure gets on a wide screen: 11 points are then 17 pixels high


@dataclass(frozen=True)
class Picture:
    """A PNG file, a text in its place, its size in CSS pixels; and a caption."""

    path: Path
    alt: str
    width: int
    height: int
    caption: str


def picture(path: str | Path, step: str, alt: str, caption: str) -> Picture | None:
    """Look at a PNG that a step draws; None if there is none.

    Raises:
        RescanError: It is damaged.
    """
    path = Path(path)
    if not path.is_file():
        return None
    touched.read(path)
    try:
        with Image.open(path, formats=["PNG"]) as file:
            width, height = file.size
            scale = CSS_PIXELS / file.info["dpi"][0] if "dpi" in file.info else 1
            file.verify()
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, step, f"not a whole PNG ({error})") from None
    return Picture(path, alt, round(width * scale), round(height * scale), caption)
