"""Pages in a headless Chromium: no error, sorting, folding, sliding, keys, widths, colors, print, no scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium, program

from rescan.paths import OVERVIEW, Paths
from rescan.reporting.page.overview import overview
from rescan.reporting.page.report import report
from rescan.study import Study

pytestmark = pytest.mark.skipif(program() is None, reason="no Chromium on this machine")

# Of every text that is seen: the ratio of its color to that of the nearest background, as WCAG 2 defines it.
CONTRASTS = """(() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => parts(color).slice(0, 3).map((value) => value / 255)
    .map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = (element) => {
    for (let place = element; place; place = place.parentElement) {
      const color = getComputedStyle(place).backgroundColor;
      if ((parts(color)[3] ?? 1) === 1) return color;
    }
    throw new Error("no background");
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest("script, noscript, style, option")) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
    const name = `${element.tagName}.${element.className}`;
    found[name] = Math.min(found[name] ?? 99, (a + .05) / (b + .05));
  }
  return found;
})()"""
SEEN = "new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 150))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    one = Chromium(program() or "")
    yield one
    one.close()


@pytest.fixture(scope="module")
def pages(octa: tuple[Path, Study]) -> dict[str, Path]:
    """The page of a study, and that of all."""
    folder, study = octa
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        report(study)
        overview()
    return {"study": folder / Paths(study.scale, study.name).page, "all": folder / OVERVIEW}


@pytest.mark.parametrize("name", ["study", "all"])
@pytest.mark.parametrize(("width", "dark"), [(360, False), (1440, True)])
def test_no_error_no_overflow_and_contrast_enough(
    browser: Chromium, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    browser.open(pages[name], width, dark=dark)
    browser.run("for (const fold of document.querySelectorAll('details')) fold.open = true;")
    browser.run(SEEN)
    assert browser.errors == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    contrasts = browser.run(CONTRASTS)
    assert len(contrasts) > 5
    assert {element: ratio for element, ratio in contrasts.items() if ratio < 4.5} == {}


def test_arms_fold_and_their_figures_load_when_they_are_opened(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["study"])
    loaded = "document.querySelectorAll('details.arm img').length"
    browser.run("document.querySelector('details.arm').scrollIntoView({behavior: 'instant'})")
    browser.run(SEEN)
    assert browser.run("document.querySelectorAll('details.arm noscript').length") > 5
    assert browser.run(loaded) == 0
    browser.run("document.querySelector('details.arm summary').click()")
    browser.until(f"{loaded} > 0")
    browser.until("[...document.images].every((image) => image.complete && image.naturalWidth > 8)")
    assert browser.run("[...document.images].every((image) => image.alt.length > 8)")
    browser.run("document.querySelector('button[data-fold=open]').click()")
    assert browser.run("document.querySelectorAll('details.arm:not([open])').length") == 0
    browser.run("document.querySelector('button[data-fold=closed]').click()")
    assert browser.run("document.querySelectorAll('details.arm[open]').length") == 0
    browser.run("location.hash = document.querySelectorAll('details.arm')[1].parentElement.id")
    browser.until("document.querySelector('details.arm[open]')")
    assert browser.run("[...document.querySelectorAll('details.arm')].map((fold) => fold.open)") == [
        False,
        True,
        False,
        False,
    ]
    assert browser.errors == []


def test_tables_are_sorted_by_keys_and_references_stay_below(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["study"])
    cells = "[...document.querySelectorAll('.answer table.sortable tbody tr')].map((row) => row.cells[{}].innerText)"
    before = browser.run(cells.format(0))
    browser.run("document.querySelectorAll('.answer table.sortable thead button')[1].focus()")
    orders = []
    for way in ("ascending", "descending"):
        browser.press("Enter")
        assert browser.run("[...document.querySelectorAll('.answer th[aria-sort]')].map((th) => th.ariaSort)") == [way]
        names, values = (browser.run(cells.format(column)) for column in (0, 1))
        arms = [
            number for number, name in enumerate(names) if name.split("\n")[0] in ("deep", "flat", "patched", "started")
        ]
        assert all(names[number + 1].startswith(f"{names[number]}, out of fold") for number in arms)
        orders.append([float(values[number].split()[0]) for number in arms])
        assert values[2 * len(arms)].startswith("not run")  # what has no number stays below the arms that have
        assert names[-1] == before[-1]
        assert names[-1].startswith("Always")
        assert sorted(names) == sorted(before)
    assert orders[0] == sorted(orders[0])
    assert orders[1] == sorted(orders[0], reverse=True)
    assert len(set(orders[0])) > 1


def test_slices_are_leafed_through_by_keys(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["study"])
    browser.run("document.querySelector('button[data-fold=open]').click()")
    browser.run("document.querySelector('.browsers').scrollIntoView({behavior: 'instant'})")
    browser.until("document.querySelector('.browser output')?.textContent")
    slice_ = "document.querySelector('.browser output').textContent"
    pixels = "document.querySelector('.browser canvas').toDataURL()"
    first = int(browser.run(slice_).split()[0])
    seen = browser.run(pixels)
    browser.run("document.querySelector('.browser input').focus()")
    browser.press("ArrowRight" if first == 1 else "ArrowLeft")
    browser.until(f"{slice_} == '{first + 1 if first == 1 else first - 1} of 4'")
    assert browser.run(pixels) != seen
    assert browser.run("document.querySelector('.browser input').getAttribute('aria-valuetext')").endswith(" of 4")
    assert browser.errors == []


def test_the_first_tab_leads_past_the_contents_which_stay_in_view(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["study"])
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter")
    assert browser.run("document.activeElement.id") == "content"
    for width, is_open in ((1440, True), (360, False)):
        browser.open(pages["study"], width)
        assert browser.run("document.querySelector('.contents details').open") is is_open
        browser.run("scrollTo({top: 3000, behavior: 'instant'})")
        browser.until("document.querySelectorAll('.contents a[aria-current]').length == 1")
        assert browser.run("document.querySelector('.contents').getBoundingClientRect().top") == 0


def test_without_scripts_all_is_there_to_read(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["study"], 360, scripts=False)
    images = pages["study"].read_text("utf-8").count("<img ")
    found = browser.call("DOM.getDocument", depth=-1, pierce=True)["root"]

    def count(node: dict, name: str) -> int:
        return (node["nodeName"] == name) + sum(count(child, name) for child in node.get("children", ()))

    assert count(found, "IMG") == images > 10
    assert browser.errors == []


def test_print_unfolds_everything(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["study"], dark=True)
    assert browser.run("document.querySelectorAll('noscript').length") > 5
    pdf = browser.pdf()
    assert len(re.findall(rb"/Type /Page\b", pdf)) > 4
    # The event of printing has loaded all pictures, and put the folds back.
    assert browser.run("document.querySelectorAll('.held noscript').length") == 0
    assert browser.run("document.querySelectorAll('details.arm[open]').length") == 0
    browser.open(pages["study"], dark=True, media="print")
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.run("document.querySelector('details.arm .held').checkVisibility()")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_what_data_bring_is_never_run(browser: Chromium, pages: dict[str, Path], tmp_path: Path) -> None:
    """Even markup that escaped escaping would be inert: the policy names the page's own script by its checksum."""
    page = pages["all"].read_text("utf-8").replace("</main>", "<script>window.hostile = 1</script></main>", 1)
    (tmp_path / "page.html").write_text(page, "utf-8")
    browser.open(tmp_path / "page.html")
    assert browser.run("typeof hostile") == "undefined"
    assert browser.run("document.querySelectorAll('thead button').length") == 7  # our own has run
    assert "Content Security Policy" in browser.errors[0]
