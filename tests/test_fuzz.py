"""Short runs of the mutations of `tests.fuzz`; and that it finds what is wrong."""

import pytest
from tests import fuzz
from tests.time_limit import TooLong

from rescan.study import file as study_file


@pytest.mark.parametrize("path", fuzz.STUDIES, ids=lambda path: path.stem)
def test_mutated_study_files_are_taken_or_refused(path):
    assert fuzz.of_study(path, 40, seed=0) == []


def test_mutated_configurations_are_taken_or_refused():
    assert fuzz.run("config", 60, seed=0) == []


@pytest.mark.parametrize("fault", [KeyError("x"), TooLong(), fuzz.RescanError("a line of no file")])
def test_what_is_wrong_is_found(monkeypatch, fault):
    def load(*_):
        raise fault

    monkeypatch.setattr(study_file, "load", load)
    faults = fuzz.of_study(fuzz.STUDIES[-1], 3, seed=1)
    assert len(faults) == 3
    assert all("seed 1, case" in text for text in faults)
