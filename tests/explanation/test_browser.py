"""What the page's slice browser gets, and the page around it."""

from __future__ import annotations

import base64
import io
import json
import re

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from rescan.explanation.browser import BUDGET, SLICES, browse
from rescan.reporting.page.album import Album
from rescan.reporting.page.report import environment, render

STACK = np.diag([0.5, 0.25, 0.5, 1.0])
PATIENT = np.array([[0.0, 0, -1, 0], [0, -1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]])


def smooth(shape, seed=0):
    values = gaussian_filter(np.random.default_rng(seed).random(shape), 3)
    return (values - values.min()) / (values.max() - values.min())


def slices(view, key):
    """A view's sheet, cut up again: (n, height, width)."""
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(getattr(view, key)))))
    assert sheet.ndim == 2
    (width, height), pictures = view.cell, []
    assert width % 8 == height % 8 == 0
    for number in range(len(view.numbers)):
        row, column = divmod(number, view.columns)
        whole = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert whole.shape == (height, width)
        pictures.append(whole[: view.height, : view.width])
    return np.array(pictures)


def test_the_sheets_hold_the_slices_and_the_maps():
    volume, scaled = (255 * smooth((20, 40, 30))).astype(np.uint8), smooth((20, 40, 30), 1).astype(np.float32)
    content = browse("a", "CNV", volume, scaled, STACK)
    assert content.spacing == [0.5, 0.25, 0.5]
    colors = np.frombuffer(base64.b64decode(content.colors), np.uint8).reshape(256, 3)
    np.testing.assert_allclose(colors / 255, mpl.colormaps["inferno"](range(256))[:, :3], atol=1 / 255)
    face, section = content.views
    assert (face.name, section.name) == ("en-face slices", "B-scans")
    assert (face.of, section.of) == (20, 40)
    assert face.numbers == list(range(1, 21))
    # 10 × 15 mm of rows of 0.25 mm and columns of 0.5 mm, in square pixels.
    assert (face.height, face.width) == (27, 40)
    pictures = slices(face, "slices").astype(float)
    for number in (0, 7, 19):
        expected = np.asarray(Image.fromarray(volume[number]).resize((40, 27), Image.Resampling.BILINEAR), float)
        assert np.abs(pictures[number] - expected).mean() < 3
    expected = np.asarray(Image.fromarray((255 * scaled[9]).astype(np.uint8)).resize((40, 27)), float)
    assert np.abs(slices(face, "maps")[9] - expected).mean() < 4
    depth, row, _ = np.unravel_index(scaled.argmax(), scaled.shape)
    assert (face.start, section.numbers[section.start] - 1) == (depth, row)
    assert slices(section, "slices").shape[1:] == (section.height, section.width)


def test_sections_of_a_patient_have_the_head_up():
    volume = np.zeros((20, 24, 24), np.uint8)
    volume[15:] = 200  # near the head
    section = browse("a", "CNV", volume, np.zeros(volume.shape, np.float32), PATIENT).views[1]
    pictures = slices(section, "slices")[12]
    assert pictures[:3].min() > 150
    assert pictures[8:].max() < 50


@pytest.mark.parametrize("shape", [(256, 192, 192), (300, 64, 200), (1, 30, 20)])
def test_even_noise_fits_the_budget_and_slices_are_few_and_small(shape):
    volume = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    content = browse("a", "CNV", volume, smooth(shape).astype(np.float32), np.diag([0.5, 1, 1, 1]))
    assert len(content.model_dump_json()) < BUDGET
    for view, size in zip(content.views, (shape[0], shape[1])):
        assert len(view.numbers) == min(size, SLICES)
        assert {view.numbers[0], view.numbers[-1]} == {1, size}
        assert max(view.width, view.height) <= 192


@pytest.fixture
def rendered():
    """A page with two browsers, one of two volumes, one of one whose title must be escaped."""
    volume, scaled = (255 * smooth((9, 20, 20))).astype(np.uint8), smooth((9, 20, 20), 1).astype(np.float32)
    one = [browse(name, "CNV", volume, scaled, STACK) for name in ("a", "b")]
    two = [browse('</script><b> "x" & y', "<i>", volume, scaled, STACK)]
    album = Album(".")
    source = '{% from "page_browser.html" import browser %}{{ browser(one, "first") }}{{ browser(two, "second") }}'
    body = environment(album=album).from_string(source).render(one=one, two=two)
    return album.fill(render("Two browsers", body)), two


def test_the_page_has_all_that_the_script_looks_for(rendered):
    page, volumes = rendered
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert [one for one in ids if re.fullmatch(r"\w+-\d", one)] == ["first-1", "first-2", "second-1"]
    assert set(re.findall(r' for="([^"]+)"', page)) <= set(ids)
    assert page.count("<canvas") == 3
    assert page.count('type="range"') == 6
    assert page.count("<noscript><p") == 2
    data = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert [json.loads(text) for text in data][-1] == volumes[0].model_dump()
    assert "<b>" not in page
    assert "<i>" not in page
    assert not re.search(r'(src|href)="?http|url\(|@import|fetch\(|XMLHttp', page)
