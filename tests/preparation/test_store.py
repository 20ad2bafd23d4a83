"""A damaged store ends in one line that names the file, the fault and the step that makes it anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_files import write_store

from rescan.errors import RescanError
from rescan.preparation.store import open_beside, open_store

IMAGES = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5, 1)
ITEMS = pd.DataFrame({"sample": ["007", "b", "c", "d"], "mask": [1, 0, 0, 1]})


@pytest.fixture
def store(tmp_path):
    write_store(tmp_path, IMAGES, ITEMS, masks=IMAGES[..., 0])
    return tmp_path


def open_all(store):
    open_store(store)
    open_beside(store, "masks")


def test_a_whole_store_opens(store):
    images, items = open_store(store)
    assert (images == IMAGES).all()
    assert items["sample"].tolist() == ["007", "b", "c", "d"]
    assert items["mask"].tolist() == [1, 0, 0, 1]
    assert (open_beside(store, "masks") == IMAGES[..., 0]).all()
    assert open_beside(store, "affines") is None


@pytest.mark.parametrize("name", ["images.npy", "items.csv", "preparation.json"])
def test_a_missing_file(store, name):
    (store / name).unlink()
    with pytest.raises(RescanError, match=rf"/{name}: no such file; run preprocess first$"):
        open_all(store)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "items.csv", "preparation.json"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage"])
def test_a_file_that_is_not_whole(store, name, damage):
    content = (store / name).read_bytes()
    garbage = np.random.default_rng(0).bytes(200)
    (store / name).write_bytes({"empty": b"", "truncated": content[:-7], "garbage": garbage}[damage])
    with pytest.raises(RescanError, match=rf"^[^\n]*/{name}: [^\n]+; delete it and run preprocess again$"):
        open_all(store)


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("images", IMAGES.astype(np.float32), "holds float32 values, not uint8"),
        ("images", IMAGES[:3], r"its shape is \[3, 6, 5, 1\], not \[4, 6, 5, 1\]"),
        ("images", np.array([{"a": 1}]), r"not a whole \.npy array \(.*Python objects.*\)"),
        ("masks", IMAGES[..., 0] > 3, "holds bool values, not uint8"),
        ("masks", IMAGES[:, :-1, :, 0], r"its shape is \[4, 5, 5\], not \[4, 6, 5\]"),
    ],
)
def test_another_array_than_the_store_s(store, name, array, fault):
    np.save(store / f"{name}.npy", array)
    with pytest.raises(RescanError, match=rf"/{name}\.npy: {fault}; delete it and run preprocess again$"):
        open_all(store)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("2,c,", "4,c,", r"its items are not those of the 4 rows of images\.npy"),
        ("3,d,0,1,0,,\n", "", r"its items are not those of the 4 rows of images\.npy"),
        ("0,007,0,1", "0,007,0,2", "line 2: mask is 2, not a whole number from 0 to 1"),
        ("item,sample,", "item,name,", "the column 'sample' is missing"),
    ],
)
def test_rows_that_do_not_fit_the_store(store, old, new, fault):
    path = Path(store, "items.csv")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)[
        ["item", "sample", "patch", "mask", "digest", "low", "high"]
    ]
    text = frame.assign(low="", high="").to_csv(index=False)
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(RescanError, match=rf"/items\.csv: {fault}; delete it and run preprocess again$"):
        open_all(store)
