"""The page for readers of images: all that is read is on it, nothing is loaded, and it stays within its size."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from chromium import Chromium, program
from made_readouts import CLASSES, HOSTILE, readout
from PIL import Image

from rescan.errors import RescanError
from rescan.onnx_networks import OnnxNetwork
from rescan.predict import predict
from rescan.readouts import reader_page
from rescan.readouts.page_pictures import LEVELS, layers_of
from rescan.readouts.reader_page import ReaderPage, percent
from rescan.readouts.readout import computes_maps

FLAG = "its size, 9 x 9 pixels, is outside of 32 to 512"


class Seen(HTMLParser):
    """The texts of a page, and what its elements lead to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.hidden = 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.hidden += tag in ("script", "style")
        of = dict(attributes)
        self.ids += [of["id"]] if "id" in of else []
        self.links += [of[name] for name in ("src", "href") if name in of]

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        self.texts += [] if self.hidden else [" ".join(data.split())]

    @property
    def text(self):
        return " ".join(filter(None, self.texts))


@pytest.fixture(scope="module")
def page(arm, point, tmp_path_factory):
    """Of four images: one that is flagged, one that could not be read."""
    out = tmp_path_factory.mktemp("page") / "out.html"
    made = ReaderPage(arm, [point], out, point.name)
    answer = {"cat_at_sensitivity_95": "yes"}
    made.add(readout(0, f"new/a/{HOSTILE}.png", **answer))
    made.add(readout(1, "new/b.png", flags=f"{FLAG}; it is like none", **answer))
    made.add(readout(2, "new/c.png", problem="truncated file"))
    made.add(readout(3, "new/d.png", predicted="été", cat_at_sensitivity_95="no"))
    patients = pd.DataFrame({"patient": ["p <1>"], "images": [3], "predicted": ["cat"], "cat": [0.5]})
    made.finish(patients)
    return out


def test_the_page_says_all_that_is_read(page):
    text = Seen(page.read_text()).text
    assert text.startswith("one of made_up: 4 images Skip to the content one of made_up: 4 images Research use only;")
    assert "3 images read, 1 could not be read, 1 unlike the training images. cat: 2, été: 1 Study, arm" in text
    for part in (
        "below new/",
        "Demo: trained on made images; it knows nothing of real ones.",
        "sensitivity_95: cat is “yes” from 25.0\xa0% on",
        "no scores beside this model",
        "p <1> 3 cat 50.0\xa0%",
        f"1 of 4 a/{HOSTILE}.png",
        "Could not be read: truncated file",
        f"what is read here may be wrong: {FLAG} it is like none",
        "cat at sensitivity_95: yes",
        f"cat 70.0\xa0% {CLASSES[1]} 20.0\xa0% été 10.0\xa0%",
        "Prepared image, 48 × 32 pixels",
        "made by hand",
    ):
        assert part.replace("\xa0", " ") in text.replace("\xa0", " "), part


def test_the_page_loads_nothing_and_runs_only_its_own_script(page):
    content = page.read_text()
    seen = Seen(content)
    assert HOSTILE not in content
    assert len(seen.ids) == len(set(seen.ids))
    assert all(re.match(r"data:|#", link) for link in seen.links)
    assert {link[1:] for link in seen.links if link[:1] == "#"} <= set(seen.ids)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp|https?://", content)
    assert content.count("<script>") == 1
    kinds = re.findall(r'<article[^>]* data-kinds="([^"]+)"', content)
    assert [json.loads(kind.replace("&#34;", '"')) for kind in kinds][1:3] == [["is cat", "flagged"], ["unread"]]


def test_a_map_is_colored_and_as_opaque_as_it_is_high():
    own = readout(0, "a")
    layers = layers_of(own.prepared.items[0], own.maps, CLASSES)
    assert [(layer.evidence, layer.role, layer.is_empty) for layer in layers.maps] == [
        ("cat", "prediction", False),
        (CLASSES[1], "runner-up", True),
    ]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(layers.maps[0].source.split(",")[1]))).convert("RGBA"))
    scaled = own.maps.scaled[0]
    np.testing.assert_allclose(shown[..., 3] / 255, scaled, atol=1 / LEVELS)
    np.testing.assert_allclose(shown[..., :3] / 255, mpl.colormaps["inferno"](scaled)[..., :3], atol=0.05)
    base = np.asarray(Image.open(io.BytesIO(base64.b64decode(layers.source.split(",")[1]))))
    np.testing.assert_array_equal(base, own.prepared.items[0])  # a small image is kept as it is


def test_a_large_image_is_made_smaller_and_its_map_much_smaller():
    image = np.zeros((1536, 768, 1), np.uint16)
    maps = readout(0, "a").maps._replace(scaled=np.zeros((1, 1536, 768), np.float32))
    layers = layers_of(image, maps, CLASSES)
    sizes = [
        Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).size
        for source in (layers.source, layers.maps[0].source)
    ]
    assert sizes == [(384, 768), (64, 128)]
    assert (layers.width, layers.height) == (768, 1536)


def test_pictures_end_at_the_limit_and_rows_too(arm, tmp_path, monkeypatch):
    monkeypatch.setattr(reader_page, "LIMIT", 20_000)
    monkeypatch.setattr(reader_page, "ROWS", 30)
    page = ReaderPage(arm, [], tmp_path / "out.html", None)
    for number in range(40):
        page.add(readout(number, f"{number}.png"))
        assert page.takes_maps == (page.room > 0)
    page.finish(None)
    content = (tmp_path / "out.html").read_text()
    pictured = content.count('class="base"')
    assert 1 < pictured < 10
    assert f"{40 - pictured} images of 40 are shown without pictures" in content
    assert "The first 30 of 40 images; the table of predictions has all." in content
    assert content.count("<tr data-kinds") == 30
    assert re.search(r"<p>\w+: (\d+)", content).group(1) == "40"
    assert content.count("<article") == pictured


def test_percents_of_what_is_not_certain_do_not_say_that_it_is():
    assert [percent(share) for share in (0, 0.0004, 0.5, 0.9996, 1)] == [
        *("0.0\xa0%", "<\xa00.1\xa0%", "50.0\xa0%", ">\xa099.9\xa0%", "100.0\xa0%")
    ]


def test_predict_makes_the_maps_once_for_all_and_writes_the_page_or_nothing(arm_folder, tmp_path, monkeypatch):
    from rescan.explanation import new_maps

    folder = tmp_path / "new/patient1"
    folder.mkdir(parents=True)
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_text("no image")
    calls, maps_of = [], new_maps.maps_of
    monkeypatch.setattr(new_maps, "maps_of", lambda *given: calls.append(given) or maps_of(*given))
    out, report = tmp_path / "out.csv", tmp_path / "out.html"
    predict(arm_folder, [folder.parent], out, tmp_path / "maps", "cpu", report=report, at="sensitivity_95")
    assert len(calls) == 1
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["0.png", "1.png"]
    table, text = pd.read_csv(out), Seen(report.read_text()).text.replace("\xa0", " ")
    assert "1 of 3 0.png" in text
    assert percent(table["cat"][0]).replace("\xa0", " ") in text
    assert "Patients" in text
    assert "Could not be read: not an image" in text
    for taken, fault in ((out, "is a table of predictions"), (folder / "0.png", "is one of the files to read")):
        with pytest.raises(RescanError, match=fault):
            predict(arm_folder, [folder.parent], out, None, "cpu", report=taken)
    report.write_text("old")
    monkeypatch.setattr(ReaderPage, "finish", lambda *_: 1 / 0)
    out.unlink()
    with pytest.raises(ZeroDivisionError):
        predict(arm_folder, [folder.parent], out, None, "cpu", report=report)
    assert not out.exists()
    assert report.read_text() == "old"


def test_a_runtime_without_maps_leaves_them_out(arm, tmp_path):
    assert computes_maps(arm)
    assert not computes_maps(arm._replace(models=[arm.models[0]._replace(network=object.__new__(OnnxNetwork))]))
    page = ReaderPage(arm, [], tmp_path / "out.html", None)
    own = readout(0, "a.png")
    page.add(own._replace(maps=None))
    volume = own.prepared._replace(items=[np.arange(512, dtype=np.uint16).reshape(8, 8, 8, 1)], affine=np.eye(4))
    page.add(own._replace(number=1, maps=None, prepared=volume))
    page.finish(None)
    content = (tmp_path / "out.html").read_text()
    assert content.count("Map: none, for they need torch") == 2
    assert 'class="map"' not in content
    assert content.count("<canvas") == 1


@pytest.fixture(scope="module")
def browser():
    one = Chromium(program() or "")
    yield one
    one.close()


@pytest.mark.skipif(program() is None, reason="no Chromium on this machine")
def test_sliders_keys_and_the_filter_work(page, browser):
    browser.open(page, width=390)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    browser.open(page)
    opacity = "getComputedStyle(document.querySelector('#image-1 .map')).opacity"
    assert float(browser.run(opacity)) == pytest.approx(0.55)
    browser.run(
        "(() => { const one = document.querySelector('#opacity-1'); one.value = 20; "
        "one.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    assert float(browser.run(opacity)) == pytest.approx(0.2)
    seen = "[...document.querySelectorAll('#image-1 .map')].map((map) => map.checkVisibility())"
    assert browser.run(seen) == [True, False]
    browser.run(
        "(() => { const one = document.querySelector('#which-1'); one.value = 1; "
        "one.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    assert browser.run(seen) == [False, True]
    here = "document.activeElement.id"
    visited = []
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        browser.press(key)
        visited.append(browser.run(here))
    assert visited == ["image-1", "image-2", "image-3", "image-2"]
    browser.run(
        "(() => { const one = document.querySelector('#filter'); one.value = 'flagged'; "
        "one.dispatchEvent(new Event('change')); })()"
    )
    assert browser.run("[...document.querySelectorAll('.card:not([hidden])')].map((card) => card.id)") == ["image-2"]
    assert browser.run("document.querySelector('#found').textContent") == "1 of 4"
    assert browser.errors == []
    browser.open(page, scripts=False)
    assert browser.errors == []
