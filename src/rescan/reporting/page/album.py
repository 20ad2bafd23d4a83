"""The heavy parts of a page, pictures and volumes to leaf through: put in while the page stays within its limit.

A template calls `album.picture(…)` or `album.either(…)` where such a part belongs, and gets a mark. When the whole page
is there, `fill` puts the parts in place of their marks: pictures first, in the order of the page. What would make the
page too large is left out, with a link to its file, and the page says so.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from PIL import Image

from rescan.reporting.page.picture import Picture
from rescan.reporting.text.words import several

LIMIT = 5_000_000  # bytes of a page
QUALITY, EFFORT = 75, 2  # of WebP: at 75 no difference is seen; more effort takes longer than it saves
WORTH_IT = 20_000  # bytes: a smaller PNG stays as it is
NOTE = "<!--note-->"
LONGEST = 16_383  # pixels of a side of a WebP image


@dataclass(frozen=True)
class _Part:
    """What stands in place of a mark: `whole()` if it fits into the page, else `instead`."""

    whole: Callable[[], Markup]
    instead: Markup
    is_picture: bool


class Album:
    """The heavy parts of one page."""

    def __init__(self, folder: str | Path, limit: int | None = None) -> None:
        """Start without any.

        Args:
            folder: That of the page, which links are relative to.
            limit: Bytes that the page may have; by default LIMIT.
        """
        self.folder, self.limit = folder, limit or LIMIT
        self._parts: list[_Part] = []
        self._shown: dict[bytes, tuple[str, str]] = {}  # id and text of a picture, by its content

    def picture(self, picture: Picture, *, at_once: bool = False) -> Markup:
        """A mark for an <img>.

        Args:
            picture: The picture.
            at_once: Whether it is loaded with the page. All others wait, as the text of a <noscript>, until a script
                finds them near to what is seen; without scripts a <noscript> is shown.
        """
        link = quote(Path(os.path.relpath(picture.path, self.folder)).as_posix())
        instead = Markup('<a href="{}">{}</a>').format(link, picture.alt)
        return self._mark(_Part(lambda: self._image(picture, at_once), instead, is_picture=True))

    def either(self, whole: Markup, instead: Markup) -> Markup:
        """A mark for what may be left out for something short."""
        return self._mark(_Part(lambda: whole, instead, is_picture=False))

    def fill(self, page: str) -> str:
        """Put the parts in place of their marks, and a sentence about what was left out in place of NOTE."""
        size, texts, left_out = len(page.encode()) + 1000, {}, 0
        for number, part in sorted(enumerate(self._parts), key=lambda entry: not entry[1].is_picture):
            whole = part.whole()
            fits = size + len(whole.encode()) <= self.limit
            texts[number] = whole if fits else part.instead
            size += len(texts[number].encode())
            left_out += not fits
        sentence = Markup("")
        if left_out:
            sentence = Markup('<p class="soft">{} would make this page larger than {} MB and {}.</p>').format(
                several(left_out, "figure"), f"{self.limit / 1e6:g}", "are linked" if left_out > 1 else "is linked"
            )
        page = page.replace(NOTE, sentence, 1)
        return re.sub(r"<!--part (\d+)-->", lambda match: texts[int(match[1])], page)

    def _mark(self, part: _Part) -> Markup:
        self._parts.append(part)
        return Markup(f"<!--part {len(self._parts) - 1}-->")  # noqa: S704 - a number

    def _image(self, picture: Picture, at_once: bool) -> Markup:
        """An <img>; of a picture that the page has already, a link to it."""
        kind, content = _smaller(picture.path)
        digest = hashlib.sha256(content).digest()
        if digest in self._shown:
            return Markup('<a href="#{}">The same as “{}”</a>').format(*self._shown[digest])
        own = f"picture-{len(self._shown) + 1}"
        self._shown[digest] = own, picture.alt
        source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        image = Markup('<img src="{}" alt="{}" width="{}" height="{}">').format(
            source, picture.alt, picture.width, picture.height
        )
        held = image if at_once else Markup("<noscript>{}</noscript>").format(image)
        return Markup('<div class="held" id="{}" style="aspect-ratio: {} / {}; width: {}px">{}</div>').format(
            own, picture.width, picture.height, picture.width, held
        )


def _smaller(path: Path) -> tuple[str, bytes]:
    """A PNG file's content, or the same picture as WebP where that is smaller; and which of them it is."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content), formats=["PNG"]) as file:
        if len(content) < WORTH_IT or max(file.size) > LONGEST:
            return "png", content
        opaque = file.convert("RGBA")
    white, stream = Image.new("RGB", opaque.size, "white"), io.BytesIO()
    white.paste(opaque, mask=opaque)
    white.save(stream, "WEBP", quality=QUALITY, method=EFFORT)
    webp = stream.getvalue()
    return ("webp", webp) if len(webp) < len(content) else ("png", content)
