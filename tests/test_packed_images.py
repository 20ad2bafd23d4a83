"""Images that travel: as they are where there is room, else as JPEG of the best quality that fits."""

import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from tests import packed_images


@pytest.fixture
def folder(tmp_path):
    """Forty images of smooth noise, two of them the same, and a table: 1.5 MiB as PNG."""
    folder = tmp_path / "eyes"
    (folder / "train").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(40):
        image = Image.fromarray(random.integers(256, size=(16, 16, 3), dtype=np.uint8)).resize(
            (128, 128), Image.BICUBIC
        )
        image.resize((128, 128), Image.BICUBIC).save(folder / f"train/{number}.png")
    (folder / "train/1.png").write_bytes((folder / "train/0.png").read_bytes())
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id_code", "diagnosis"), (0, 1)])
    return folder


def packed(folder, most):
    said = packed_images.pack(folder, folder.parent / "out.zip", most)
    with zipfile.ZipFile(folder.parent / "out.zip") as archive:
        return said, {name: archive.read(name) for name in archive.namelist()}


def test_files_that_fit_are_as_they_were(folder):
    said, contents = packed(folder, 10)
    assert said.endswith("40 images as they are")
    assert contents == {
        path.relative_to(folder.parent).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_files_that_do_not_are_jpeg_of_the_best_quality_that_fits_and_the_table_is_as_it_was(folder, monkeypatch):
    monkeypatch.setattr(packed_images, "MIB", 2**17)  # of an eighth
    said, contents = packed(folder, 2)
    images = {name: content for name, content in contents.items() if name.endswith(".jpg")}
    assert sum(map(len, contents.values())) <= 2**18
    assert len(images) == 40
    assert Image.open(io.BytesIO(images["eyes/train/7.jpg"])).size == (128, 128)
    assert images["eyes/train/0.jpg"] == images["eyes/train/1.jpg"]
    assert contents["eyes/train.csv"] == (folder / "train.csv").read_bytes()
    quality = int(said.split()[-1])
    better = min(other for other in packed_images.QUALITIES if other > quality)
    assert sum(len(packed_images.encoded(path, better)) for path in folder.rglob("*.png")) > 2**18 - 41 * 256


def test_what_does_not_fit_at_all_is_said(folder):
    with pytest.raises(ValueError, match="40 images need more than 0 MiB even as JPEG of quality 75"):
        packed_images.pack(folder, folder.parent / "out.zip", 0)
