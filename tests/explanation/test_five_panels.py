"""The five panels of a volume, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.textpath import TextPath
from PIL import Image

from rescan.explanation.five_panels import PANEL, Beside, draw, opening, panels, peak, voxel_sizes

STACK = np.diag([0.5, 0.25, 0.1, 1.0])  # D, H, W of a stack of B-scans
PATIENT = np.array([[0.0, 0, -2, 0], [0, -2.0, 0, 0], [10.0, 0, 0, 0], [0, 0, 0, 1]])  # slices from feet to head


@pytest.fixture
def case():
    """A volume (8, 12, 10), its map with the maximum at (2, 3, 4), and a lesion around it."""
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 256, (8, 12, 10), np.uint8)
    scaled = rng.random((8, 12, 10), np.float32) / 2
    scaled[2, 3, 4] = 1
    mask = np.zeros((8, 12, 10), np.uint8)
    mask[1:4, 2:5, 3:7] = 255
    return volume, scaled, mask


def test_each_panel_shows_what_its_title_says(case):
    volume, scaled, mask = case
    a, b, c, d, e = panels(volume, scaled, STACK, "CNV 73 %", mask)
    assert [panel.title[:3] for panel in (a, b, c, d, e)] == ["[A]", "[B]", "[C]", "[D]", "[E]"]
    assert "B-scan 4 of 12" in a.title
    np.testing.assert_array_equal(a.image, volume[:, 3])
    np.testing.assert_array_equal(a.mask, mask[:, 3])
    assert (a.mark, b.mark) == ((2, "D"), (3, "A"))
    np.testing.assert_allclose(a.size, (8 * 0.5, 10 * 0.1))
    mean = volume.mean(0)
    assert np.corrcoef(b.image.ravel(), mean.ravel())[0, 1] > 0.99
    assert (b.image.min(), b.image.max()) == (0, 255)
    np.testing.assert_array_equal(c.image, b.image)
    np.testing.assert_array_equal(c.scaled, scaled.max(0))
    np.testing.assert_array_equal(c.mask, mask.max(0))
    assert "en-face slice 3 of 8" in d.title
    for panel in (d, e):
        np.testing.assert_array_equal(panel.image, volume[2])
        np.testing.assert_array_equal(panel.mask, mask[2])
        np.testing.assert_allclose(panel.size, (12 * 0.25, 10 * 0.1))
    np.testing.assert_array_equal(e.scaled, scaled[2])
    assert "CNV 73 %" in e.title
    assert all(panel.scaled is None for panel in (a, b, d))


def test_a_volume_opens_at_the_largest_part_of_the_lesion_or_at_the_maximum(case):
    volume, scaled, _ = case
    assert opening(scaled, None) == opening(scaled, np.zeros_like(volume)) == (2, 3)
    lesion = np.zeros_like(volume)
    lesion[4:7, 8, 2] = lesion[5:7, 8:11, 2] = 255  # areas 1, 3, 3 by slice; 3, 2, 2 by row
    assert opening(scaled, lesion) == (6, 8)
    a, b, _, d, e = panels(volume, scaled, STACK, "CNV", lesion)
    np.testing.assert_array_equal(a.image, volume[:, 8])
    np.testing.assert_array_equal(d.image, volume[6])
    np.testing.assert_array_equal(e.scaled, scaled[6])
    assert (a.mark, b.mark) == ((6, "D"), (8, "A"))
    assert "en-face slice 7 of 8" in d.title


def test_heads_are_up_and_no_word_of_b_scans_where_slices_lie_in_a_patient(case):
    volume, scaled, _ = case
    figure = panels(volume, scaled, PATIENT, "DCM")
    np.testing.assert_array_equal(figure[0].image, volume[::-1, 3])
    assert figure[0].mark == (8 - 1 - 2, "D")
    np.testing.assert_array_equal(figure[0].image[figure[0].mark[0]], volume[2, 3])
    assert not any(word in panel.title for panel in figure for word in ("B-scan", "en-face"))
    assert all(panel.mask is None for panel in figure)


def test_a_flat_section_is_stretched_and_says_so(case):
    volume, scaled, _ = case
    flat = panels(volume, scaled, np.diag([0.1, 1, 1, 1]), "x")[0]
    assert "stretched" in flat.title
    assert flat.size[0] / flat.size[1] == pytest.approx(0.2)
    assert "stretched" not in panels(volume, scaled, np.eye(4), "x")[0].title


def test_an_empty_map_is_said_and_shows_the_middle(case):
    volume, scaled, _ = case
    figure = panels(volume, 0 * scaled, STACK, "x")
    assert "empty map" in figure[4].title
    assert peak(0 * scaled) == (4, 6, 5)
    np.testing.assert_array_equal(figure[3].image, volume[4])


def test_the_arm_beside_is_named_and_shown_as_it_is(case):
    volume, scaled, mask = case
    image = np.zeros((6, 6, 1), np.uint8)
    beside = Beside("an_arm_with_quite_a_long_name_of_many_words", image, np.ones((6, 6), np.float32), None)
    third = panels(volume, scaled, STACK, "x", mask, beside)[2]
    assert "2D map" in third.title
    assert third.image is image
    assert third.mask is None


def test_titles_fit_their_panels(case):
    volume, scaled, _ = case
    name = "a class whose name has very many words 100 %"
    large = np.zeros((256, 200, 200), np.uint8)
    for affine in (STACK, PATIENT, np.diag([1e-3, 1, 1, 1])):
        for figure in (panels(volume, scaled, affine, name), panels(large, 0 * large.astype(np.float32), affine, name)):
            for panel in figure:
                lines = panel.title.split("\n")
                assert len(lines) <= 2
                for line in lines:
                    assert TextPath((0, 0), line, size=8.5).get_extents().width < 72 * (PANEL - 0.1), line


def test_voxel_sizes_by_hand():
    np.testing.assert_allclose(voxel_sizes(STACK), [0.5, 0.25, 0.1])
    np.testing.assert_allclose(voxel_sizes(PATIENT), [10, 2, 2])


def test_draw_takes_rows_of_several_shapes_and_without_panels(case, tmp_path):
    volume, scaled, mask = case
    rows = [("one", panels(volume, scaled, STACK, "$x$", mask)), ("nothing here", [])]
    draw(tmp_path / "a.png", rows, "Grad-CAM, 4 × 4 × 4 cells")
    rows.append(("two", panels(volume[:, :, :5], scaled[:, :, :5], PATIENT, "$x$")))
    draw(tmp_path / "b.png", rows, "Grad-CAM, 2 × 2 × 2 cells: too coarse to read")
    with Image.open(tmp_path / "a.png") as small, Image.open(tmp_path / "b.png") as large:
        assert small.width == large.width > 1000
        assert large.height > small.height
        assert len(small.convert("RGB").getcolors(1 << 20)) > 500
