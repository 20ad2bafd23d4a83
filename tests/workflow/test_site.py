"""What a workflow says of itself on the page of all studies."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rescan.files import write_json
from rescan.paths import OVERVIEW, Paths
from rescan.workflow.site import Site


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for study in ("new", "old"):
        write_json(Paths("full", study).resolved, {"title": study, "arms": {"base": {}}})
    plan = SimpleNamespace(paths=lambda study: Paths("full", study), studies={"new": None, "old": None})
    return Site(plan)


def dag(*studies):
    """A graph of jobs: one of each study, and one of none."""
    jobs = [SimpleNamespace(wildcards=SimpleNamespace(study=study)) for study in studies]
    return SimpleNamespace(needrun_jobs=lambda: [*jobs, SimpleNamespace(wildcards=SimpleNamespace())])


def page():
    return Path(OVERVIEW).read_text("utf-8")


def test_studies_with_jobs_are_running_until_the_end(site, capsys):
    site.start(dag("new", "new/external/elsewhere"))
    assert page().count("running: 0 of 1 arms") == 1
    assert page().count("not finished: 0 of 1 arms") == 1
    site.end(succeeded=False)
    assert page().count("failed: 0 of 1 arms") == 1
    assert capsys.readouterr().err == ""


def test_it_says_where_the_pages_are(site, capsys):
    site.start(dag())
    for study in ("new", "old"):
        Path(Paths("full", study).page).touch()
    site.end(succeeded=True)
    printed = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in printed] == [
        str(Path(path).resolve()) for path in (Paths("full", "new").page, Paths("full", "old").page, OVERVIEW)
    ]


def test_a_mark_that_cannot_be_made_is_said_and_costs_nothing(site, capsys):
    Path(Paths("full", "new").progress).mkdir()
    site.start(dag("new"))
    site.end(succeeded=True)
    assert "results/full/new/.progress: Is a directory; results/index.html cannot say what is running" in (
        capsys.readouterr().err
    )
    assert page().count("not finished: 0 of 1 arms") == 2
