"""Rows of images on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from rescan.reporting.figures.style import PHOTO_DPI, WIDTH, PathLike, canvas, short

Rows = Sequence[tuple[str, Sequence[np.ndarray], Sequence[str]]]  # title, images, captions


def _tile(image: np.ndarray, side: int) -> np.ndarray:
    """Fit an image into a black square of `side` pixels, aspect kept: (side, side, 3) uint8."""
    picture = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image).convert("RGB")
    scale = side / max(picture.size)
    fitted = picture.resize([max(1, round(length * scale)) for length in picture.size], Image.Resampling.BICUBIC)
    square = Image.new("RGB", (side, side))
    square.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return np.asarray(square)


def grid(rows: Rows, out: PathLike, columns: int = 6) -> None:
    """Draw rows of images, each row under its title, each image over its caption, of one line or several.

    Args:
        rows: Title, images ((H, W), (H, W, 1) or (H, W, 3) uint8) and captions (one per image, or none).
        out: The PNG.
        columns: The images that fit in a row; further ones are left out.
    """
    side, inch = max(140, 840 // columns), WIDTH / columns
    title = 0.27 if any(text for text, _, _ in rows) else 0.03
    lines = max((text.count("\n") + 1 for _, _, captions in rows for text in captions), default=0)
    caption = 0.06 + 0.14 * lines
    high = max(len(rows) * (title + inch + caption), 0.5)
    with canvas(out, high, dpi=PHOTO_DPI, dither=True, vectors=False) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(high, 0))
        axes.axis("off")
        for number, (text, images, captions) in enumerate(rows):
            top = number * (title + inch + caption)
            axes.text(0.02, top + title / 2, short(text, 60), va="center", fontsize=10.5)
            for column, image in enumerate(images[:columns]):
                left, lower = column * inch, top + title + inch
                axes.imshow(
                    _tile(image, side), extent=(left + 0.015, left + inch - 0.015, lower - 0.015, top + title + 0.015)
                )
                if column < len(captions):
                    most = round(14.5 * inch)
                    axes.text(
                        left + inch / 2,
                        lower + 0.02,
                        "\n".join(short(line, most) for line in captions[column].split("\n")),
                        ha="center",
                        va="top",
                        fontsize=8.5,
                    )
        axes.set(xlim=(0, WIDTH), ylim=(high, 0), aspect="auto")
