from __future__ import annotations

import numpy as np
import pytest
from dicom_files import lookup_table, write_dicom

from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.sample import prepare_image, stages_of
from rescan.study import Preparation

pytestmark = pytest.mark.filterwarnings("ignore")
DEEP = np.random.default_rng(0).integers(0, 4096, (20, 24)).astype(np.uint16)
WINDOWS = {
    "WindowCenter": [2000, 500],
    "WindowWidth": [1001, 301],
    "WindowCenterWidthExplanation": ["BONE", "SOFT"],
}
SAME_SIZE = {"name": "resize", "size": [20, 24]}


def prepared(path, *steps, **options):
    return prepare_image(path, Preparation(steps=list(steps), **{"channels": "gray", **options}))[0][..., 0]


def scaled(values, low, high):
    return ((values.astype(float) - low) / (high - low) * 255).clip(0, 255)


def test_a_file_is_shown_as_it_asks_where_no_step_makes_gray_levels(tmp_path):
    write_dicom(tmp_path / "a", DEEP, 12, **WINDOWS)
    assert abs(prepared(tmp_path / "a", SAME_SIZE) - scaled(DEEP, 1499.5, 2499.5)).max() <= 0.5
    fine = prepared(tmp_path / "a", "patches", dtype="uint16")
    expected = scaled(DEEP, 1499.5, 2499.5)[:10, :12]
    assert abs(fine / 257 - expected).max() <= 0.01
    stages = stages_of(tmp_path / "a", Preparation(steps=[SAME_SIZE], channels="gray"))
    np.testing.assert_array_equal(stages[0][1], stages[1][1])
    color = prepare_image(tmp_path / "a", Preparation(steps=["clahe", SAME_SIZE]))[0]
    assert color.shape == (20, 24, 3)


def test_a_window_of_the_file_by_its_name(tmp_path):
    write_dicom(tmp_path / "a", DEEP, 12, **WINDOWS)
    soft = prepared(tmp_path / "a", {"name": "file_window", "explanation": "soft"}, SAME_SIZE)
    assert abs(soft - scaled(DEEP, 349.5, 649.5)).max() <= 0.5
    with pytest.raises(CannotPrepare, match=r"no window called 'LUNG' \(it has: 'BONE', 'SOFT'\)"):
        prepared(tmp_path / "a", {"name": "file_window", "explanation": "LUNG"})
    write_dicom(tmp_path / "a", DEEP, 12)
    with pytest.raises(CannotPrepare, match=r"no window \(it has: none\)"):
        prepared(tmp_path / "a", "file_window")
    write_dicom(tmp_path / "a", (DEEP // 16).astype(np.uint8))
    np.testing.assert_array_equal(prepared(tmp_path / "a", "file_window"), DEEP // 16)


def test_a_window_of_the_study_wins_and_means_the_same_for_inverse_files(tmp_path):
    write_dicom(tmp_path / "a", DEEP, 12, **WINDOWS)
    write_dicom(tmp_path / "b", 4095 - DEEP, 12, PhotometricInterpretation="MONOCHROME1", **WINDOWS)
    for name in "ab":
        own = prepared(tmp_path / name, {"name": "window", "low": 100, "high": 3000})
        assert abs(own - scaled(DEEP, 100, 3000)).max() <= 0.5
    clip = {"name": "clip_percentiles", "low": 0, "high": 100}
    np.testing.assert_array_equal(prepared(tmp_path / "a", clip), prepared(tmp_path / "b", clip))


def test_percentiles_do_not_count_padding(tmp_path):
    pixels = DEEP.clip(1000, 2000)
    pixels[:10] = 0
    pixels[10, 0], pixels[10, 1] = 1000, 2000
    padded = np.where(pixels == 0, np.uint16(4000), pixels)
    write_dicom(tmp_path / "a", padded, 12, PixelPaddingValue=4000)
    clipped = prepared(tmp_path / "a", {"name": "clip_percentiles", "low": 0, "high": 100})
    assert (clipped[:10] == 0).all()
    assert abs(clipped[10:] - scaled(pixels[10:], 1000, 2000)).max() <= 0.5


def test_a_table_of_interest_wins_over_a_window(tmp_path):
    table = lookup_table(np.arange(4096) ** 2 // 4096, 0, 12)
    write_dicom(tmp_path / "a", DEEP, 12, VOILUTSequence=[table], **WINDOWS)
    expected = (DEEP.astype(int) ** 2 // 4096) / 4095 * 255
    assert abs(prepared(tmp_path / "a", SAME_SIZE) - expected).max() <= 0.5


def test_a_mask_may_be_dicom_of_one_bit_s_depth(tmp_path):
    write_dicom(tmp_path / "a", DEEP, 12, **WINDOWS)
    mask = (DEEP > 2000).astype(np.uint8)
    write_dicom(tmp_path / "m", mask, 1)
    found = prepare_image(tmp_path / "a", Preparation(steps=[SAME_SIZE], channels="gray"), tmp_path / "m")[1]
    np.testing.assert_array_equal(found, mask * 255)
