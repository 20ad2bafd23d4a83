from __future__ import annotations

import contextlib
import threading
import time
import types

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_files import read_table, write_known

from rescan.data.gray_levels import of_store, take
from rescan.errors import RescanError
from rescan.files import write_table
from rescan.paths import Paths
from rescan.results.packed_store import LeftOut, PackedStore
from rescan.study import Run
from rescan.training import loader
from rescan.training.loader import DEPTH, cut, loading, read_items

OTHERS = {"others": {"source": {"path": "y"}, "layout": "class_folders"}}


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name == "loader"]


@given(st.integers(1, 60), st.integers(1, 20))
def test_cut_keeps_every_item_in_order_and_leaves_none_alone(count, size):
    batches = cut(np.arange(count), size)
    assert np.concatenate(batches).tolist() == list(range(count))
    assert all(len(batch) == size for batch in batches[:-1])
    assert len(batches[-1]) <= size + 1
    assert len(batches[-1]) > 1 or size == 1 or count == 1


def test_batches_are_the_stores_rows(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 2), dtype=np.uint8)
    np.save(tmp_path / "images.npy", array)
    stored = np.load(tmp_path / "images.npy", mmap_mode="r")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with loading(stored, [np.array([5, 0, 5]), np.array([2])]) as batches:
        first, second = batches
    assert first.dtype == torch.uint8
    np.testing.assert_array_equal(first.numpy(), array[[5, 0, 5]].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(second.numpy(), array[[2]].transpose(0, 3, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert not loader_threads()


def test_what_is_made_of_a_batch_knows_its_number():
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    with loading(
        images, cut(np.arange(4), 2), prepare=lambda batch, number: (number, batch.flatten().tolist())
    ) as made:
        assert list(made) == [(0, [0, 1]), (1, [2, 3])]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rows_are_written_as_the_gray_levels_that_they_are(dtype):
    images = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (6, 4, 5, 1)).astype(dtype)
    levels = np.empty((3, 4, 5, 1), np.uint8 if dtype == np.uint8 else np.float32)
    take(images, np.array([5, 0, 5]), levels)
    assert np.array_equal(levels, of_store(images[[5, 0, 5]]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_batches_for_a_gpu_are_gathered_in_pinned_memory_and_prepared_in_the_thread(monkeypatch, dtype):
    """The CPU stands for the GPU, whose streams do nothing."""
    order, empty = [], torch.empty
    stream = types.SimpleNamespace(wait_event=lambda _: order.append("waited"))
    ready = types.SimpleNamespace(record=lambda _: order.append("recorded"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "Event", lambda: ready)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: order.append("kept"))
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: empty(shape, dtype=dtype) if pin_memory else 0)
    images = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (6, 4, 5, 3)).astype(dtype)
    batches = [np.array([5, 0, 5]), np.array([2])]
    threads = set()

    def prepare(batch, number):
        threads.add(threading.current_thread().name)
        assert not torch.is_grad_enabled()
        return batch.float() + number

    made = loader._on_gpu(images, batches, torch.device("cpu"), prepare)
    received = list(loader._received(loader.ahead(made, 2, "loader")))
    assert threads == {"loader"}
    assert sorted(order) == ["kept"] * 2 + ["recorded"] * 2 + ["waited"] * 2
    for number, (batch, rows) in enumerate(zip(received, batches)):
        assert torch.equal(batch, loader.gray_levels(images[rows]).movedim(-1, 1).float() + number)


def test_the_thread_ends_when_the_reader_leaves():
    images = np.zeros((100, 2, 2, 1), np.uint8)
    with loading(images, cut(np.arange(100), 1)) as batches:
        next(batches)
        time.sleep(0.2)  # the queue is full now, and the thread waits
        assert loader_threads()
    assert not loader_threads()


def test_only_a_few_batches_are_cut_ahead():
    class Counting(np.ndarray):
        cuts = 0

        def __getitem__(self, rows):
            Counting.cuts += 1
            return np.zeros((len(rows), 2, 2, 1), np.uint8)

    images = np.zeros((100, 2, 2, 1), np.uint8).view(Counting)
    with loading(images, cut(np.arange(100), 1)) as batches:
        next(batches)
        time.sleep(0.3)
        assert Counting.cuts <= DEPTH + 2


def test_what_fails_in_the_thread_is_raised():
    with (
        pytest.raises(IndexError),
        loading(np.zeros((3, 2, 2, 1), np.uint8), [np.array([0]), np.array([9])]) as batches,
    ):
        list(batches)
    assert not loader_threads()


def leave_out(samples):
    """Write down that the store could not prepare some samples."""
    path = "data/demo/toy/small/preparation.json"
    left_out = [LeftOut(sample=sample, problem="damaged") for sample in samples]
    PackedStore.read(path).model_copy(update={"left_out": left_out}).write(path)


def test_items_of_a_run(make_study, make_store):
    study = make_study(data={"extra": OTHERS}, training_samples="leak_free")
    splits = make_store(study)
    relative = splits.loc[splits["sample"] == "test/a/000.png", "group"].item()
    splits.loc[splits["sample"] == "train/b/000.png", ["group", "linked"]] = [relative, 1]
    write_table("results/demo/toy/splits.csv", splits)
    write_known(Paths("demo", "toy"), splits)
    items = read_table("data/demo/toy/small/items.csv")
    place = items.index[items["sample"] == "validation/c/001.png"]  # an image that could not be prepared
    items.loc[place, "sample"] = "others/1.png"
    write_table("data/demo/toy/small/items.csv", items)
    leave_out(["validation/c/001.png"])

    images, used = read_items(Run(study, "plain", 0, 0))
    assert images.shape == (33, 64, 64, 1)
    assert list(used) == ["item", "sample", "group", "patient", "eye", "study", "target", "part", "origin", "digest"]
    expected = set(splits["sample"]) - {"train/b/000.png", "validation/c/001.png"}
    assert set(used["sample"]) == expected
    assert used.loc[used["sample"] == "test/c/000.png", "target"].item() == 2
    row = used[used["sample"] == "train/c/000.png"].iloc[0]
    assert abs(float(images[row["item"]].mean()) - 200) < 5
    assert used["patient"].iloc[0] == "000"  # text, not a number


@pytest.mark.parametrize(("part", "label"), [("train", "b"), ("validation", None)])
def test_a_part_or_class_without_images(make_study, make_store, part, label):
    study = make_study(data={"extra": OTHERS})
    splits = make_store(study)
    dropped = (splits["part"] == part) & ((splits["label"] == label) if label else True)
    items = read_table("data/demo/toy/small/items.csv")
    write_table(
        "data/demo/toy/small/items.csv",
        items.assign(sample=splits["sample"].where(~dropped, "others/" + splits["sample"])),
    )
    leave_out(splits.loc[dropped, "sample"])
    with pytest.raises(RescanError, match=f"no training image of class '{label}'" if label else "no validation image"):
        read_items(Run(study, "plain", 0, 0))


def test_finer_gray_levels_come_as_floating_point():
    levels = (np.arange(240) * 257 + 128).astype(np.uint16).reshape(2, 8, 15, 1)
    with loading(levels, [np.array([1, 0])]) as batches:
        (batch,) = list(batches)
    assert batch.dtype == torch.float32
    assert batch.shape == (2, 1, 8, 15)
    wanted = torch.arange(240).reshape(2, 1, 8, 15).flip(0) + 128 / 257
    assert torch.allclose(batch, wanted.float(), atol=1e-4)


def test_volumes_come_with_their_channel_first():
    volumes = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5, 1)
    with loading(volumes, [np.array([1])]) as batches:
        (batch,) = list(batches)
    assert batch.shape == (1, 1, 3, 4, 5)
    assert np.array_equal(batch[0, 0].numpy(), volumes[1, ..., 0])
