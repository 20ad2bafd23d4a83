"""What is heavy in a page: made smaller, put in once, and linked where the page would become too large."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from rescan.reporting.page.album import Album
from rescan.reporting.page.picture import Picture, picture


def noise(path: Path, seed: int, size: int = 200, kind: str = "RGBA") -> Picture:
    """A picture that no format makes small: opaque noise, but for a transparent corner."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 4)).astype(np.uint8)
    pixels[..., 3], pixels[: size // 2, : size // 2, 3] = 255, 0
    Image.fromarray(pixels).convert(kind).save(path, dpi=(112, 112))
    found = picture(path, "evaluate", f"Noise “{seed}” <&>", "A caption")
    assert found
    return found


def shown(page: str) -> list[tuple[str, Image.Image]]:
    """The pictures in a page, with their kinds."""
    found = re.findall(r'<img src="data:image/(\w+);base64,([^"]+)"', page)
    return [(kind, Image.open(io.BytesIO(base64.b64decode(content)))) for kind, content in found]


def test_a_picture_is_the_same_as_its_file_but_smaller_and_on_white(tmp_path: Path) -> None:
    waves = 120 + 90 * np.sin(np.add.outer(np.arange(300) / 20, np.arange(400) / 31))
    pixels = (waves[..., None] + np.random.default_rng(0).normal(0, 3, (300, 400, 3))).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "smooth.png", dpi=(112, 112))
    noise(tmp_path / "noise.png", 0)
    album = Album(tmp_path)
    pictures = [picture(tmp_path / name, "evaluate", name, "") for name in ("smooth.png", "noise.png")]
    page = album.fill("".join(album.picture(one) for one in pictures if one))
    (kind, first), (_, second) = shown(page)
    assert kind == "webp"
    assert len(page) < 0.5 * (tmp_path / "smooth.png").stat().st_size
    assert first.size == (400, 300)
    assert np.abs(np.asarray(first.convert("RGB"), float) - pixels).mean() < 4
    corner = np.asarray(second.convert("RGB"))[10:90, 10:90]
    assert corner.min() > 235  # what is transparent lies on white, as on the page
    assert 'width="400" height="300"' in page


def test_pictures_wait_in_a_noscript_but_for_those_that_are_wanted_at_once(tmp_path: Path) -> None:
    album = Album(tmp_path)
    first, second = (noise(tmp_path / f"{seed}.png", seed) for seed in (0, 1))
    page = album.fill(f"{album.picture(first, at_once=True)}|{album.picture(second)}")
    at_once, waiting = page.split("|")
    assert "<noscript>" not in at_once
    assert waiting.count("<noscript><img ") == 1
    assert 'alt="Noise “0” &lt;&amp;&gt;"' in at_once


def test_the_same_picture_is_put_in_once(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    album = Album(tmp_path)
    marks = [album.picture(noise(tmp_path / name, 0)) for name in ("a.png", "copy/b.png")]
    page = album.fill("".join(marks))
    assert len(shown(page)) == 1
    link = re.search(r'<a href="#([^"]+)">The same as “Noise', page)
    assert link
    assert f'id="{link[1]}"' in page


@pytest.mark.parametrize("limit", [3_000, 100_000, 250_000])
def test_a_page_stays_within_its_limit_and_says_what_is_linked(tmp_path: Path, limit: int) -> None:
    (tmp_path / "a b").mkdir()
    album = Album(tmp_path, limit)
    pictures = [noise(tmp_path / f"a b/{seed}#.png", seed) for seed in range(12)]
    volumes = [album.either(Markup("<b>volume</b>" * 400), Markup("left out")) for _ in range(2)]
    page = album.fill("<!--note-->" + "".join([*volumes, *map(album.picture, pictures)]))
    assert len(page.encode()) <= limit
    links = re.findall(r'<a href="([^"]+)">Noise', page)
    assert len(links) == 12 - len(shown(page)) > 0
    assert set(links) <= {f"a%20b/{seed}%23.png" for seed in range(12)}
    assert [f"a%20b/{seed}%23.png" for seed in range(len(shown(page)), 12)] == links  # the first ones stay
    left_out = len(links) + page.count("left out")
    assert f"{left_out} figures would make this page larger than {limit / 1e6:g} MB and are linked." in page
    assert "<!--" not in page


def test_without_anything_left_out_nothing_is_said(tmp_path: Path) -> None:
    album = Album(tmp_path)
    page = album.fill(f"<!--note-->{album.picture(noise(tmp_path / 'a.png', 0))}")
    assert "larger" not in page
    assert "<!--" not in page
