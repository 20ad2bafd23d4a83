"""Reading study files: YAML, what of a file a study keeps, what is refused."""

import pytest

from rescan.errors import RescanError
from rescan.study import Settings, file


def test_yaml_1_2_keeps_no_a_class_and_1e_4_a_number(load, minimal):
    study = load(minimal, "full")
    assert study.data.classes == ["no", "yes"]
    assert study.arms["base"].stages["main"].optimizer["lr"] == 0.0001


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size: [64, 64]", "size: 64", "size must be like"),
        ("encoder: resnet18", "encodr: resnet18", "did you mean 'encoder'?"),
        ("classes: [no, yes]", "classes: [Yes, yes]", "classes: 'Yes' and 'yes' differ only in case"),
        ("classes: [no, yes]", "classes: [no, no]", "a class is named twice"),
        ("classes: [no, yes]", 'classes: [no, "y\\nes"]', "classes: 'y\\nes' holds a line break"),
        ("classes: [no, yes]", 'classes: [no, " "]', "classes: ' ' is empty; give it another name"),
        ("classes: [no, yes]", "classes: [no]", "at least 2 items"),
        ("source: {path: somewhere}", "source: {}", "exactly one of"),
        ("source: {path: somewhere}", "source: {url: 'https://x'}", "belong together"),
        ("title: A study", "titel: A study", "did you mean 'title'?"),
        ("base: {}", "base: {augmentation: {sheer: 1}}", "did you mean 'shear'?"),
        ("base: {}", "base: {augmentation: {zoom: 2}}", "zoom needs two numbers"),
        ("base: {}", "base: {augmentation: {flip_vertical: 2}}", "number in [0, 1]"),
        ("base: {}", "base: {augmentation: {crop_and_pad: 0.5}}", "crop_and_pad must be below 0.5"),
        ("base: {}", "base: {network: {neck: {name: avg, dropout: 1.0}}}", "dropout must be below 1"),
        ("base: {}", "base: {network: {neck: {name: avg, dropuot: 0.5}}}", "did you mean 'dropout'?"),
        ("[{name: resize,", "[{name: enhance, sigma: 0}, {name: resize,", "sigma must be above 0"),
        ("base: {}", "base: {keep: {best: acuracy}}", "'accuracy'"),
        ("base: {}", "base: 3", "should be a mapping"),
    ],
)
def test_bad_values_are_refused(load, minimal, old, new, message):
    with pytest.raises(RescanError) as caught:
        load(minimal.replace(old, new), "full")
    assert message in str(caught.value)


def test_labels_may_be_numbers(load, volumes):
    numbered = volumes.replace("{NOR: normal, DCM: abnormal, HCM: abnormal}", "{0: normal, 1: abnormal, 2: abnormal}")
    assert load(numbered, "full").data.labels == {"0": "normal", "1": "abnormal", "2": "abnormal"}


def test_only_what_the_arms_that_are_run_need_is_kept(load, volumes):
    study = load(volumes, "full", arms=["scratch"])
    assert study.autoencoders == {}
    assert study.gradcam.beside is None
    assert [claim.than for claim in study.claims] == ["flat"]  # listed as not run


def test_extra_data_are_there_only_if_an_arm_that_is_run_trains_on_them(load, graded):
    assert list(load(graded, "full").data.extra) == ["others"]
    assert load(graded, "full", arms=["base", "turned"]).data.extra == {}
    assert load(graded, "demo").data.extra["others"].phantom["layout"] == "eyepacs"
    real = load(graded, "demo", source="/here", extra_sources={"others": "/there"})
    assert (real.data.extra["others"].source.path, real.data.extra["others"].phantom) == ("/there", None)


def test_real_images_are_not_trained_beside_phantoms(load, graded):
    text = graded.replace(", against: pretrained", "")
    study = load(text, "demo", source="/here")
    assert list(study.arms) == ["base", "turned", "alone"]  # an ensemble of what is left out is left out too
    assert study.data.extra == {}


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "a: 1\na: 2", "\ttitle: x"])
def test_what_is_no_mapping_is_reported_in_one_line(load, text):
    with pytest.raises(RescanError) as caught:
        load(text, "full")
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(RescanError, match="cannot be read"):
        file.load(tmp_path / "no.yaml", Settings("full"))
