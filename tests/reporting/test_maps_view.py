"""What the page says of an arm's maps: method, block and cells, and whether they can be read."""

from __future__ import annotations

import pytest
from PIL import Image

from rescan.paths import ArmFolder
from rescan.reporting.page.maps_view import maps_view
from rescan.results.map_files import ExplainedRun, MapSummary


@pytest.mark.parametrize(
    ("cells", "coarse"), [([2, 2, 2], True), ([8, 8, 3], True), ([4, 4, 4], False), ([8, 9], False)]
)
def test_the_caption_names_how_maps_were_made_and_a_warning_that_they_are_too_coarse(tmp_path, cells, coarse):
    folder = ArmFolder(tmp_path / "deep")
    MapSummary(
        run=ExplainedRun(arm="deep", fold=0, seed=4),
        head="classification",
        method="gradcam++",
        layer="layer2",
        kind="volumes" if len(cells) == 3 else "images",
        shown="the predicted class",
        scored="the map of the predicted class",
        cells=cells,
        n=0,
        empty=0,
        energies={},
        rule="By rank.",
        chosen=[],
    ).write(folder.gradcam.summary)
    Image.new("RGB", (8, 8)).save(folder.gradcam.sheet)
    view = maps_view(folder, "deep")
    grid = " × ".join(map(str, cells))
    assert "by Grad-CAM++; " in view.sheet.caption
    assert f"maps of layer2 have {grid} cells and are smoothed" in view.sheet.caption
    assert [text.startswith(f"Too coarse to read: the maps have {grid} cells") for text in view.warnings] == [
        True
    ] * coarse
