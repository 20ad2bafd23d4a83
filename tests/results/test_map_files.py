"""The files of Grad-CAM come back as they were written; a damaged one gives one line."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from sample_files import LOCATED, MAP_CHECKS

from rescan.errors import RescanError
from rescan.results.map_checks_file import Located, MapChecks, Mean
from rescan.results.map_files import CHOSEN, ChosenItem, ExplainedRun, MapSummary

IMAGE = ChosenItem(picture="images/000001.png", sample="007", true="NA", predicted="b", other="NA", probability=0.25)
VOLUME = IMAGE.model_copy(update={"raw_maximum": 1.5, "depth": 3, "row": 4, "map": "m.nii.gz", "map_deep": ""})


def summary(chosen: ChosenItem) -> MapSummary:
    return MapSummary(
        run=ExplainedRun(arm="base", fold=0, seed=4),
        head="classification",
        method="layercam",
        layer="layer4",
        kind="images",
        shown="the predicted class",
        scored="the map of the predicted class",
        cells=[2, 2],
        n=1,
        empty=0,
        energies={"energy_inside": Mean(value=0.5, low=0.25, high=0.75)},
        located=Located.model_validate(LOCATED),
        checks=MapChecks.model_validate(MAP_CHECKS),
        rule="By rank.",
        chosen=[chosen],
    )


@pytest.mark.parametrize("item", [IMAGE, VOLUME], ids=["image", "volume"])
def test_they_come_back_and_hold_only_the_fields_that_apply(tmp_path, item):
    path = tmp_path / "summary.json"
    summary(item).write(path)
    assert MapSummary.read(path) == summary(item)
    assert ("map" in json.loads(path.read_text())["chosen"][0]) == (item is VOLUME)
    CHOSEN.write(tmp_path / "chosen.csv", pd.DataFrame([item.model_dump(exclude_unset=True)]))
    (row,) = CHOSEN.read(tmp_path / "chosen.csv").to_dict("records")
    assert row == item.model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"method": "layercam"', '"method": "scorecam"', "method: .*no method 'scorecam'; did you mean 'hirescam'"),
        ('"kind": "images"', '"kind": "sounds"', "kind: "),
        ('"rule"', '"rules"', "rule is missing"),
        ('"n": 1', '"n": "1"', "n: "),
        ('"true": "NA",\n', "", "chosen.0.true is missing"),
        ("]\n}", "", "not valid JSON"),
    ],
)
def test_a_damaged_summary_gives_one_line(tmp_path, old, new, fault):
    path = tmp_path / "summary.json"
    summary(IMAGE).write(path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RescanError, match=rf"^[^\n]*/summary\.json: {fault}[^\n]*; delete it and run gradcam again$"):
        MapSummary.read(path)
