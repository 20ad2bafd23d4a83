"""The page of all studies: every study of every scale that lies there, however far it is."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescan.cli import app
from rescan.files import write_json
from rescan.paths import OVERVIEW, Paths
from rescan.reporting.page.overview import overview
from rescan.results.page_card import Compared, PageCard
from rescan.results.progress import DONE, FAILED, Progress, progress_of

CARD = PageCard(
    title="A <b>title</b>",
    headline="It is right on 81.0 % of 100 test samples.",
    metric="accuracy",
    arm="base",
    ours=0.81,
    low=0.75,
    high=0.87,
    compared=[],
    caution="",
    arms=2,
    missing=[],
)
NUMBER = Compared(
    published="0.8894",
    published_value=0.8894,
    who="the paper",
    metric="accuracy",
    arm="base",
    ours=0.81,
    low=0.75,
    high=0.87,
    verdict="lower",
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def study(scale: str, name: str, card: PageCard | None = None, **changes: object) -> Paths:
    paths = Paths(scale, name)
    write_json(paths.resolved, {"title": f"Study {name}", "arms": {"base": {}, "other": {}}})
    if card:
        Path(paths.page).write_text("a page")
        card.model_copy(update=changes).write(paths.card)
    return paths


def rows() -> dict[str, list[str]]:
    """The rows of the page by scale and study: their cells in words."""
    overview()
    body = Path(OVERVIEW).read_text("utf-8").partition("<tbody>")[2].partition("</tbody>")[0]
    found = {}
    for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL):
        cells = [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.split(r"</t[hd]>", row)[:-1]]
        found[f"{cells[1]}/{cells[0].split()[-1]}"] = cells
    return found


def test_all_scales_and_studies_with_links_that_lead_to_their_pages() -> None:
    for scale, name in (("demo", "brain"), ("full", "brain"), ("full", "mu ra")):
        study(scale, name, CARD)
    assert sorted(rows()) == ["demo/brain", "full/brain", "full/ra"]
    page = Path(OVERVIEW).read_text("utf-8")
    links = re.findall(r'href="([^"]+index\.html)"', page)
    assert links == ["demo/brain/index.html", "full/brain/index.html", "full/mu%20ra/index.html"]
    assert "A &lt;b&gt;title&lt;/b&gt;" in page
    assert "<b>" not in page


def test_published_ours_and_verdicts() -> None:
    claim = {"published": "a better than b", "published_value": None, "ours": -0.04, "low": -0.1, "high": 0.02}
    numbers = [NUMBER, NUMBER.model_copy(update={"verdict": "reproduced"}), NUMBER]
    study("full", "numbers", CARD, compared=numbers)
    study("full", "claim", CARD, compared=[NUMBER.model_copy(update={**claim, "verdict": "not shown"})])
    study("demo", "none", CARD)
    found = rows()
    assert found["full/numbers"][3:6] == [
        "0.8894 the paper",
        "0.810 (0.750–0.870) accuracy, base",
        "lower of 3: 2 lower, 1 reproduced",
    ]
    assert found["full/claim"][3:6] == [
        "a better than b the paper",
        "−0.040 (−0.100 to 0.020) difference of accuracy",
        "not shown",
    ]
    assert found["demo/none"][3:6] == ["–", "0.810 (0.750–0.870) accuracy, base", "not compared"]
    assert all(row[2] == CARD.headline for row in found.values())


def test_how_far_each_study_is() -> None:
    study("full", "whole", CARD)
    study("full", "partly", CARD, missing=["other"])
    study("full", "older")
    Path(Paths("full", "older").card).write_text('{"title": 1}')
    paths = study("full", "young")
    Path(paths.arm("base").metrics).parent.mkdir()
    Path(paths.arm("base").metrics).write_text("{}")
    Path(study("full", "torn").resolved).write_text("{")
    found = rows()
    assert found["full/whole"][-1] == "done"
    assert found["full/partly"][-1] == "partly run: 1 of 2 arms"
    assert found["full/older"][-1] == "its card.json cannot be read: run `report` of it again"
    assert found["full/young"][-1] == "not finished: 1 of 2 arms have results"
    assert found["full/torn"][-1] == "not finished: 0 of 0 arms have results"


def test_a_running_study_ends_as_failed_stopped_or_done() -> None:
    new, old = study("full", "new"), study("full", "old", CARD)
    time.sleep(0.02)
    marks = Progress([new, old])
    assert progress_of(new.progress)[0] == "running"
    found = rows()
    assert found["full/new"][-1] == "running: 0 of 2 arms have results"
    assert found["full/old"][-1] == "running again"
    time.sleep(0.02)
    CARD.write(old.card)  # its page is made, while the workflow goes on
    assert rows()["full/old"][-1] == "done"
    marks.end(FAILED)
    assert rows()["full/new"][-1] == "failed: 0 of 2 arms have results"
    code = (
        "import os; from rescan.paths import Paths; from rescan.results.progress import Progress\n"
        "marks = Progress([Paths('full', 'new')]); print('marked', flush=True); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert rows()["full/new"][-1] == "stopped: 0 of 2 arms have results"
    Progress([new]).end(DONE)
    assert rows()["full/new"][-1] == "not finished: 0 of 2 arms have results"


def test_two_workflows_may_mark_a_study() -> None:
    paths = study("full", "both")
    one, other = Progress([paths]), Progress([paths])
    one.end(DONE)
    assert progress_of(paths.progress)[0] == "running"
    other.end(DONE)
    assert progress_of(paths.progress)[0] == DONE


def test_many_at_once_leave_a_page_of_all() -> None:
    def finish(number: int) -> None:
        study("demo", f"s{number}", CARD)
        overview()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(finish, range(16)))
    page = Path(OVERVIEW).read_text("utf-8")
    assert len(re.findall(r'href="demo/s\d+/index.html"', page)) == 16
    assert page.endswith("</html>")
    assert sorted(path.name for path in Path("results").iterdir()) == [".index.html.lock", "demo", "index.html"]


def test_an_empty_folder_says_how_to_begin() -> None:
    assert CliRunner().invoke(app, ["report"]).exit_code == 0
    assert "No study has been run here yet" in Path(OVERVIEW).read_text("utf-8")
