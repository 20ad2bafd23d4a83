"""Flags of images that are unlike the training images, by hand, and in the tables of `predict`."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from dicom_files import write_dicom
from sample_files import make_range, model_header

from rescan.data.gray_statistics import as_vectors, gray_statistics
from rescan.data.index import Files
from rescan.errors import RescanError
from rescan.flags import flags_of, known_range
from rescan.log import logger
from rescan.preparation.sample import Prepared
from rescan.results.training_range import Gaussian, write_range
from rescan.study import Recipe

RECIPE = Recipe.model_validate(
    {"preparation": "p", "network": {"encoder": "resnet18"}, "stages": {"main": {"epochs": 1, "optimizer": "adam"}}}
)
FILE = "training_range.safetensors"
ALIKE = np.zeros((1, 4), np.float32)


def image(low=70, high=130, source=(35, 36)):
    """Wide gray stripes: mean (low + high) / 2, standard deviation (high − low) / 2."""
    stripes = np.where(np.arange(64) // 8 % 2, high, low).astype(np.uint8)
    return Prepared([np.tile(stripes, (64, 1))[..., None]], None, None, None, None, source)


def flags(sample, vectors=ALIKE, path="a.png", **changes):
    return flags_of(make_range(**changes), [Files(path)], [sample], vectors)[0]


def like(*images):
    """The distribution of the gray levels of such images: what is beside them lies beyond the limit."""
    center = as_vectors(gray_statistics([one for image in images for one in image.items])).mean(axis=0)
    return Gaussian(center, np.eye(6, dtype=np.float32), np.full(6, 1e-6, np.float32))


def test_an_image_like_the_training_images_has_no_flag():
    assert flags(image(), picture=like(image())) == ""


def test_each_fault_has_a_sentence_with_both_numbers():
    known = {"picture": like(image()), "limit": 0.1}
    gray = "gray levels outside those of the training images (mean 200, training 90 to 110)"
    assert flags(image(170, 230), **known) == gray
    contrast = flags(image(99, 101), **known)
    assert contrast.startswith("contrast outside that of the training images (standard deviation of gray levels 1, tr")
    noise = np.random.default_rng(0).integers(0, 200, (64, 64, 1)).astype(np.uint8)
    rough = flags(image()._replace(items=[noise]), **known).split("; ")
    assert [text.split()[0] for text in rough] == ["contrast", "detail"]
    assert rough[1].startswith("detail of 1 pixels outside that of the training images (mean difference 4")
    together = flags(image(72, 132), **known)
    assert together.startswith(
        "gray levels, contrast and detail together unlike those of the training images (distance 0.1"
    )
    assert "limit 0.1 by 20 images held out, 99.9 % of the training images below 3)" in together
    size = "size 64 × 1,064, training 30 to 40 × 36 (height × width)"
    assert flags(image(source=(64, 1064)), sizes={"height": (30, 40), "width": (36, 36)}) == size
    assert flags(image(170, 230, source=(8, 8)), **known).split("; ")[0] == gray


def test_a_source_a_little_larger_or_smaller_is_none():
    assert flags(image(source=(24, 50))) == ""
    assert "size 23 × 36" in flags(image(source=(23, 36)))
    assert "size 35 × 51" in flags(image(source=(35, 51)))
    assert flags(image(source=(9, 9)), sizes={}) == ""
    assert "size 9 × 35 × 36, training 20 × 30 to 40" in flags(
        image(source=(9, 35, 36)), sizes={"depth": (20, 20), "height": (30, 40), "width": (30, 40)}
    )


def test_a_volume_of_other_millimeters():
    volume = image()._replace(items=[np.zeros((2, 3, 4, 1), np.uint8)], affine=np.diag([1.5, 2, 0.5, 1]))
    assert flags(volume, extents={"depth": (3, 3), "height": (5, 6), "width": (2, 2)}) == ""
    text = flags(volume, extents={"depth": (3, 3), "height": (1, 1.5), "width": (2, 2)})
    assert text.startswith("measures 3 × 6 × 2, training 3 × 1 to 1.5 × 2 (depth × height × width), in mm")


def test_the_distance_is_that_from_the_gaussian():
    """Along a component of variance 1, with 1 beside: 8 / √2; along another direction 8 / √1."""
    text = flags(image(), np.float32([[8, 0, 0, 0]]))
    whole = "farther from the training images in feature space than 99.5 % of images like them (distance 5.66, "
    assert text == f"{whole}limit 3.5 by 20 images held out, 99.9 % of the training images below 3)"
    assert "distance 8," in flags(image(), np.float32([[0, 0, 0, 8]]))
    assert flags(image(), np.float32([[3, 0, 0, 0]])) == ""
    assert "distance nan" in flags(image(), np.float32([[np.nan, 0, 0, 0]]))
    assert flags(image(), np.float32([[8, 0, 0, 0]]), features=None) == ""
    with pytest.raises(RescanError, match="is of vectors of 4 numbers, the network's have 3; delete it and run infer"):
        flags(image(), np.zeros((1, 3), np.float32))


def test_a_device_that_the_training_did_not_have(tmp_path):
    write_dicom(tmp_path / "a.dcm", np.zeros((20, 20), np.uint16), Manufacturer="Acme", ManufacturerModelName="X 1")
    path = tmp_path / "a.dcm"
    assert flags(image(), path=path) == ""
    assert flags(image(), path=path, devices=["Acme X 1", "Other"]) == ""
    assert flags(image(), path=path, devices=["Other"]) == "device Acme X 1 is not among those of training"
    text = flags(image(), path=path, devices=["Other"], other_devices=3)
    assert text == "device Acme X 1 is not among the common ones of training"
    assert flags(image(), path=tmp_path / "none.png", devices=["Other"]) == ""


def test_a_range_that_is_missing_is_said_and_one_of_another_network_refused(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(logger, "propagate", True)
    model, header = str(tmp_path / "model.safetensors"), model_header(RECIPE, ["a", "b"], (1, 60, 60))
    with caplog.at_level(logging.WARNING):
        assert known_range(model, header) is None
    assert "no image is flagged as unlike the training images; run infer again" in caplog.text
    write_range(tmp_path / FILE, make_range())
    assert known_range(model, header).header == make_range().header
    write_range(tmp_path / FILE, make_range(seed=1))
    with pytest.raises(RescanError, match="is of seed 1, the network of 0; delete it and run infer again"):
        known_range(model, header)
