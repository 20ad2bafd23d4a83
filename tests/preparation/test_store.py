"""A damaged store ends in one line that names the file, the fault and the step that makes it anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_files import write_items, write_store

from rescan.errors import RescanError
from rescan.files import sha256
from rescan.preparation.store import check_store, digest_of, open_beside, open_store
from rescan.results.packed_store import PackedStore

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
        ("images", IMAGES[:3], r"its shape is \[3, 6, 5, 1\], not \[4, 6, 5, 1\] as in preparation\.json"),
        ("images", np.array([{"a": 1}]), r"not a whole \.npy array \(.*Python objects.*\)"),
        ("masks", IMAGES[..., 0] > 3, "holds bool values, not uint8"),
        ("masks", IMAGES[:, :-1, :, 0], r"its shape is \[4, 5, 5\], not \[4, 6, 5\] as in preparation\.json"),
    ],
)
def test_another_array_than_the_store_s(store, name, array, fault):
    np.save(store / f"{name}.npy", array)
    with pytest.raises(RescanError, match=rf"/{name}\.npy: {fault}; delete it and run preprocess again$"):
        open_all(store)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("2,c,", "4,c,", r"its items are not the 4 that preparation\.json is about"),
        ("3,d,0,1,0ae590e8269fbeb7,,\n", "", r"its items are not the 4 that preparation\.json is about"),
        ("2,c,0,", "2,b,0,", "sample 'b' has more items than 1, or is left out"),
        ("2,c,0,", "2,c,1,", "line 4: patch 1 is not that of 1 items of each sample"),
        ("2,c,0,0,b22e643d4c80f767", "2,c,0,0,0000", r"its digests are not those that preparation\.json is about"),
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


@pytest.mark.parametrize("shift", [1, -1])
def test_images_that_are_shifted_by_one_row(store, shift):
    np.save(store / "images.npy", np.roll(IMAGES, shift, axis=0))
    fault = r"/images\.npy: row 0 is not the image of '007' in items\.csv; delete it and run preprocess again$"
    with pytest.raises(RescanError, match=fault):
        open_store(store)


def test_items_that_are_shifted_by_one_row(store):
    shifted = ITEMS.assign(sample=np.roll(ITEMS["sample"], 1))
    digests = [digest_of(image) for image in IMAGES]
    write_items(store, shifted.assign(digest=np.roll(digests, 1)))
    with pytest.raises(RescanError, match=r"/items\.csv: its digests are not those that preparation\.json is about"):
        open_store(store)


def test_few_rows_are_compared_when_a_store_is_opened_and_all_on_demand(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), dtype=np.uint8)
    write_store(tmp_path, images, pd.DataFrame({"sample": [f"s{number}" for number in range(300)]}))
    check_store(tmp_path)
    images[1, 3, 3] ^= 1
    np.save(tmp_path / "images.npy", images)
    open_store(tmp_path)
    with pytest.raises(RescanError, match=r"/images\.npy: row 1 is not the image of 's1' in items\.csv"):
        check_store(tmp_path)


def test_files_beside_are_compared_with_their_checksums(store):
    about = PackedStore.read(store / "preparation.json")
    beside = {name: sha256(store / name) for name in ("items.csv", "masks.npy")}
    about.model_copy(update={"beside": beside}).write(store / "preparation.json")
    open_all(store)
    check_store(store)
    masks = np.load(store / "masks.npy")
    np.save(store / "masks.npy", masks ^ 1)
    open_store(store)
    for check in (open_all, check_store):
        with pytest.raises(RescanError, match=r"/masks\.npy: is not as preparation\.json says; delete it and"):
            check(store)
    (store / "masks.npy").unlink()
    with pytest.raises(RescanError, match=r"/masks\.npy: no such file; run preprocess first"):
        open_beside(store, "masks")


def test_masks_that_items_have_must_be_there(store):
    (store / "masks.npy").unlink()
    with pytest.raises(RescanError, match=r"/masks\.npy: no such file; run preprocess first"):
        open_store(store)
