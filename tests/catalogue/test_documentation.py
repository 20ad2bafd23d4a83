"""The tables of docs/study-file.md are those of the records."""

from pathlib import Path

import pytest

from rescan.catalogue import KINDS, documentation
from rescan.errors import RescanError

PAGE = Path(__file__).parent.parent.parent / documentation.PAGE


def test_the_page_is_as_the_records_have_it():
    page = PAGE.read_text("utf-8")
    assert documentation.written(page) == page


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_has_a_row(kind):
    table = documentation.table(kind)
    assert [line.split("`")[1] for line in table.splitlines()[2:]] == list(KINDS[kind])
    assert "None" not in table


def test_a_page_that_lacks_a_table_is_refused():
    with pytest.raises(RescanError, match="no table of augmentation; add <!-- augmentation: by make docs -->"):
        documentation.written("")


def test_drift_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documentation.PAGE.parent.mkdir()
    page = PAGE.read_text("utf-8")
    documentation.PAGE.write_text(page.replace("adaptive histogram", "adaptive"), "utf-8")
    with pytest.raises(SystemExit, match="run `make docs`"):
        documentation.main(["--check"])
    documentation.main([])
    assert documentation.PAGE.read_text("utf-8") == page
    documentation.main(["--check"])
