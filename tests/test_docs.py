"""The docs name what there is."""

import re
from pathlib import Path

from rescan import catalogue, study
from rescan.study import study_file
from rescan.workflow.config import Config

DOCS = Path(__file__).parent.parent / "docs"


def test_the_study_file_page_names_every_key_and_name():
    words = set(re.findall(r"[\w+]+", (DOCS / "study-file.md").read_text()))
    models = [
        study_file.StudyFile,
        study.Data,
        study.Source,
        study.Split,
        study.Preparation,
        study.Network,
        study.Stage,
    ]
    models += [study.Recipe, study.Published, study.Explanation, study.Best, study.EarlyStopping]
    keys = {key for model in models for key in model.model_fields}
    records = [record for table in catalogue.KINDS.values() for record in table.values()]
    keys |= {record.name for record in records}
    keys |= {option for record in records for option in record.options}
    assert keys - words == set()


def test_the_settings_page_names_every_setting():
    words = set(re.findall(r"\w+", (DOCS / "running.md").read_text()))
    assert set(Config.model_fields) - words == set()
