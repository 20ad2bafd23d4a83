"""Where prepared pixels come from: spots that are drawn at known places are found again where they are said to be."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from dicom_files import write_dicom
from PIL import Image
from scipy.ndimage import center_of_mass

from rescan import catalogue
from rescan.data.index import Files
from rescan.preparation.placement import placement
from rescan.preparation.sample import prepare
from rescan.study import Preparation

SPOT = (61.0, 93.0)  # row and column, in the file
STEPS = {
    "crop_brain": [{"name": "crop_brain", "threshold": 45, "margin": 3}],
    "crop_gray": [{"name": "crop_gray"}],
    "crop_circle": [{"name": "crop_circle"}],
    "resize": [{"name": "resize", "size": [80, 56]}],
    "resize that enlarges": [{"name": "resize", "size": [300, 400]}],
    "resize that pads": [{"name": "resize", "size": [64, 96], "keep_aspect": True}],
    "patches": [{"name": "patches", "grid": [1, 2]}],
    "crop_center": [{"name": "crop_center", "millimeters": [0, 100, 140]}],
    "all": [
        {"name": "crop_circle"},
        {"name": "resize", "size": [90, 90], "keep_aspect": True},
        {"name": "crop_gray"},
        {"name": "clahe"},
        {"name": "circle_mask", "fill": 0},
        {"name": "resize", "size": [70, 120], "keep_aspect": True},
        {"name": "patches", "grid": [2, 2]},
    ],
}


def disc_with_a_spot(height=150, width=170, spot=SPOT):
    """A gray disc on black, with a bright spot; and the spot alone."""
    rows, columns = np.mgrid[:height, :width]
    disc = np.hypot(rows - 72, columns - 84) < 60
    bright = np.exp(-((rows - spot[0]) ** 2 + (columns - spot[1]) ** 2) / (2 * 2.5**2))
    return np.where(disc, 90 + 160 * bright, 0).round().astype(np.uint8)


def found_again(files, steps, **options):
    """Where the spot is in the file, by the item in which it is brightest and by its placement."""
    preparation = Preparation.model_validate({"steps": steps, "channels": "gray", **options})
    items = [item[..., 0].astype(float) for item in prepare(files, preparation).items]
    place = placement(files, preparation)
    assert len(place.items) == len(items)
    item, affine = max(zip(items, place.items), key=lambda pair: pair[0].max())
    row, column = center_of_mass(np.where(item > 0.75 * item.max(), item - 0.75 * item.max(), 0))
    world = affine @ [0, row, column, 1]
    return np.linalg.solve(place.source.affine, world)[1:3], place.source.shape


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_a_spot_is_where_it_was(steps, tmp_path):
    Image.fromarray(disc_with_a_spot()).save(tmp_path / "a.png")
    place, shape = found_again(Files(tmp_path / "a.png", extent=(1, 150, 170)), steps)
    np.testing.assert_allclose(place, SPOT, atol=0.75)
    assert shape == (1, 150, 170)


def test_every_operator_that_moves_pixels_says_where_to():
    for record in catalogue.OPERATORS.values():
        assert record.of_scans or record.keeps_grid or callable(record.place_of), record.name
    moving = {name for name, record in catalogue.OPERATORS.items() if record.place}
    assert moving <= {step["name"] for steps in STEPS.values() for step in steps}  # each is tried above


def test_a_file_that_is_decoded_at_a_half_of_its_size_keeps_its_own_grid(tmp_path):
    large = cv2.resize(disc_with_a_spot(), (170 * 25, 150 * 25), interpolation=cv2.INTER_LINEAR)
    Image.fromarray(large).save(tmp_path / "a.jpg", quality=95)
    steps = [{"name": "crop_circle"}, {"name": "resize", "size": [200, 200]}]
    place, shape = found_again(Files(tmp_path / "a.jpg"), steps, decode="scaled")
    assert shape == (1, 3750, 4250)
    np.testing.assert_allclose(place, (np.array(SPOT) + 0.5) * 25 - 0.5, atol=12)  # half of a pixel that was drawn


def test_arrays_and_dicom_files_lie_where_png_files_do(tmp_path):
    pixels = disc_with_a_spot()
    write_dicom(tmp_path / "a.dcm", pixels)
    for files in (Files(tmp_path / "a.dcm"), Files(Path("array 0"), array=pixels)):
        np.testing.assert_allclose(found_again(files, STEPS["all"])[0], SPOT, atol=0.75)


def test_a_pixel_of_a_projection_is_of_the_whole_depth():
    volume = np.repeat(disc_with_a_spot()[None], 5, axis=0)
    steps = [{"name": "project"}, {"name": "resize", "size": [75, 85]}]
    preparation = Preparation.model_validate({"reads": "volume", "steps": steps, "channels": "gray"})
    place = placement(Files(Path("array 0"), array=volume, extent=(10.0, 150.0, 340.0)), preparation)
    edges = place.items[0] @ np.array([[-0.5, -0.5, -0.5, 1], [0.5, 74.5, 84.5, 1]]).T
    inside = np.linalg.solve(place.source.affine, edges)[:3].T
    np.testing.assert_allclose(inside, [[-0.5] * 3, [4.5, 149.5, 169.5]], atol=1e-9)
