"""What the page says of an arm's maps: method, block and cells, and whether they can be read."""

from __future__ import annotations

import pytest
from PIL import Image
from sample_files import LOCATED, MAP_CHECKS

from rescan.paths import ArmFolder
from rescan.reporting.page.maps_view import maps_view
from rescan.results.map_checks_file import Located, MapChecks, Mean
from rescan.results.map_files import SHARES, ExplainedRun, MapSummary


def write_summary(folder, cells, n=0, energies=None):
    MapSummary(
        run=ExplainedRun(arm="deep", fold=0, seed=4),
        head="classification",
        method="gradcam++",
        layer="layer2",
        kind="volumes" if len(cells) == 3 else "images",
        shown="the predicted class",
        scored="the map of the predicted class",
        cells=cells,
        n=n,
        empty=0,
        energies=energies or {},
        located=Located.model_validate(LOCATED),
        checks=MapChecks.model_validate(MAP_CHECKS),
        rule="By rank.",
        chosen=[],
    ).write(folder.gradcam.summary)


@pytest.mark.parametrize(
    ("cells", "coarse"), [([2, 2, 2], True), ([8, 8, 3], True), ([4, 4, 4], False), ([8, 9], False)]
)
def test_the_caption_names_how_maps_were_made_and_a_warning_that_they_are_too_coarse(tmp_path, cells, coarse):
    folder = ArmFolder(tmp_path / "deep")
    write_summary(folder, cells=cells)
    Image.new("RGB", (8, 8)).save(folder.gradcam.sheet)
    view = maps_view(folder, "deep")
    grid = " × ".join(map(str, cells))
    assert "by Grad-CAM++; " in view.sheet.caption
    assert f"maps of layer2 have {grid} cells and are smoothed" in view.sheet.caption
    assert [text.startswith(f"Too coarse to read: the maps have {grid} cells") for text in view.warnings] == [
        True
    ] * coarse


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        (
            0.3,
            "It finds the lesion: its share lies above each of them, with intervals apart, 3.0 times that of",
        ),
        (0.2, "Not shown to find the lesion: the interval of its share is not above that of a centered Gaussian."),
    ],
)
def test_whether_maps_find_the_lesion_is_said(tmp_path, own, sentence):
    folder = ArmFolder(tmp_path / "deep")
    shares = dict(zip(SHARES, (own, 0.1, 0.15, 0.1)))  # of the arm, flat, Gaussian, random
    means = {name: Mean(value=value, low=value - 0.03, high=value + 0.03) for name, value in shares.items()}
    write_summary(folder, cells=[8, 8], n=20, energies=means)
    assert sentence in maps_view(folder, "deep").caption
