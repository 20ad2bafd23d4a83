"""Reading study files: differences, merging, faults, fingerprints."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescan.errors import RescanError
from rescan.study import Settings, Study, file, read
from rescan.study.file import check, read_yaml
from rescan.study.keys import recipe_key, result_key, study_key
from rescan.study.merge import merge
from rescan.study.schema import schema

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
MINIMAL = """
title: A study
data:
  source: {path: somewhere}
  layout: class_folders
  classes: [no, yes]
preparations:
  small: {steps: [{name: resize, size: [64, 64]}]}
recipe:
  preparation: small
  network: {encoder: resnet18, weights: none}
  stages: {main: {epochs: 5, optimizer: {name: adam, lr: 1e-4}}}
arms:
  base: {}
  other: {network: {encoder: vgg19}}
"""


def load(path, scale, **settings):
    return file.load(path, Settings(scale, **settings))


nested = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "mine") -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return path

    return write


def test_an_arm_is_a_difference_from_the_recipe(write):
    study = load(write(MINIMAL), "full")
    assert study.name == "mine"
    assert study.arms["other"].network.encoder == "vgg19"
    assert study.arms["other"].stages == study.arms["base"].stages
    assert study.arms["base"].stages["main"].optimizer == {"name": "adam", "lr": 1e-4, "weight_decay": 0.0}


def test_yaml_1_2_keeps_no_a_class_and_1e_4_a_number(write):
    study = load(write(MINIMAL), "full")
    assert study.data.classes == ["no", "yes"]
    assert study.arms["base"].stages["main"].optimizer["lr"] == 0.0001


def test_merging_follows_the_rules():
    base = {"optimizer": {"name": "sgd", "lr": 1, "momentum": 0.9}, "list": [1, 2], "keep": 1, "gone": 2}
    assert merge(base, {"optimizer": {"name": "adam", "lr": 2}})["optimizer"] == {"name": "adam", "lr": 2}
    assert merge(base, {"optimizer": {"lr": 2}})["optimizer"] == {"name": "sgd", "lr": 2, "momentum": 0.9}
    assert merge(base, {"list": [3]})["list"] == [3]
    assert "gone" not in merge(base, {"gone": None})
    assert merge(base, {})["keep"] == 1


def test_a_difference_keeps_the_order_of_stages_which_is_part_of_the_fingerprint(write):
    stages = "{first: {epochs: 1, optimizer: adam}, second: {epochs: 2, optimizer: adam}}"
    text = MINIMAL.replace("{main: {epochs: 5, optimizer: {name: adam, lr: 1e-4}}}", stages)
    study = load(
        write(text.replace("base: {}", "base: {stages: {first: {epochs: 9}, third: {epochs: 1, optimizer: adam}}}")),
        "full",
    )
    assert list(study.arms["base"].stages) == ["first", "second", "third"]
    turned = "{second: {epochs: 2, optimizer: adam}, first: {epochs: 1, optimizer: adam}}"
    keys = [recipe_key(load(write(text.replace(stages, order)), "full"), "base") for order in (stages, turned)]
    assert keys[0] != keys[1]


def test_the_head_that_chooses_an_epoch_is_part_of_the_fingerprint(write):
    def key(keep, head):
        changed = f"base: {{keep: {keep}, posttrain: {{head: {head}}}}}"
        return recipe_key(load(write(GRADED.replace("base: {}", changed)), "full"), "base")

    assert key("last", "classification") == key("last", "regression")
    assert key("{best: loss}", "classification") == key("{best: loss}", "regression")
    assert key("{best: accuracy}", "classification") != key("{best: accuracy}", "regression")


@given(nested, nested)
def test_merging_is_idempotent_and_an_empty_difference_changes_nothing(base, difference):
    once = merge(base, difference)
    assert merge(once, difference) == once
    if isinstance(base, dict):
        assert merge(base, {}) == base


def test_demo_is_a_block_of_differences_and_full_ignores_it(write):
    text = MINIMAL + "demo: {recipe: {stages: {main: {epochs: 1}}}, data: {phantom: {name: brain_mri, samples: 40}}}\n"
    assert load(write(text), "demo").arms["base"].stages["main"].epochs == 1
    assert load(write(text), "full").arms["base"].stages["main"].epochs == 5
    assert load(write(text), "full").data.phantom is None
    assert load(write(text), "demo").data.phantom["samples"] == 40


def test_a_local_source_wins_over_the_phantom(write):
    text = MINIMAL + "demo: {data: {phantom: brain_mri}}\n"
    study = load(write(text), "demo", source="/here")
    assert study.data.source.path == "/here"
    assert study.data.phantom is None


def test_other_weights_make_published_numbers_not_comparable(write):
    path = write(MINIMAL + "published: [{arm: base, metric: accuracy, value: 0.9, who: me}]\n")
    assert load(path, "full").published[0].not_comparable is None
    assert load(path, "full", weights="none").published[0].not_comparable is None
    assert load(path, "full", weights="imagenet").published[0].not_comparable == (
        "run with weights=imagenet, the study says none"
    )


GRADED = """
title: Grades
data:
  source: {path: somewhere}
  layout: class_folders
  classes: [none, mild, severe]
  ordered: true
  endpoints: {any: mild}
  extra: {others: {source: {path: elsewhere}, layout: class_folders}}
preparations:
  small: {steps: [{name: resize, size: [64, 64]}]}
recipe:
  preparation: small
  network: {encoder: resnet18, weights: none, heads: {classification: {}, regression: {}}}
  stages:
    main: {epochs: 5, optimizer: adam, losses: {classification: focal, regression: mse}}
arms:
  base: {}
  pretrained: {stages: {main: {samples: [others]}}}
  turned: {models: base, inference: {copies: 2, augmentation: {rotation: 90}}}
  both: {ensemble: {members: [turned, pretrained]}, posttrain: {head: regression}}
  alone: {network: {heads: {regression: null}}, stages: {main: {losses: {regression: null}}}, against: pretrained}
demo: {data: {phantom: fundus, extra: {others: {phantom: {name: fundus, layout: eyepacs}}}}}
"""


def test_an_arm_that_reads_anothers_models_is_a_difference_from_it(write):
    study = load(write(GRADED), "full")
    assert recipe_key(study, "turned") == recipe_key(study, "base")
    assert result_key(study, "turned") != result_key(study, "base")
    assert study.models("turned") == [("turned", "base", 0, 0)]
    assert study.models("both") == [("turned", "base", 0, 0), ("pretrained", "pretrained", 0, 0)]
    assert study.runs("both") == [(0, 0)]
    assert load(write(GRADED), "full", seeds=[3, 4], folds=2).runs("both") == [(0, 3), (0, 4)]
    assert (study.base("base"), study.base("turned"), study.base("both")) == (None, "base", "turned")
    assert study.base("alone") == "pretrained"
    assert list(study.arms["alone"].network.heads) == ["classification"]
    assert study.arms["alone"].stages["main"].losses == {
        "classification": {"name": "focal", "gamma": 2.0, "alpha": 0.25, "label_smoothing": 0.0, "weight": 1.0}
    }


def test_what_reads_a_model_in_another_way_does_not_retrain_it(write):
    study = load(write(GRADED), "full")
    other = load(write(GRADED.replace("  base: {}", "  base: {posttrain: {head: regression}, folds: 1}")), "full")
    assert recipe_key(other, "base") == recipe_key(study, "base")
    assert result_key(other, "base") != result_key(study, "base")
    assert result_key(other, "both") != result_key(study, "both")


def test_extra_data_are_there_only_if_an_arm_that_is_run_trains_on_them(write):
    path = write(GRADED)
    assert list(load(path, "full").data.extra) == ["others"]
    assert load(path, "full", arms=["base", "turned"]).data.extra == {}
    assert load(path, "demo").data.extra["others"].phantom["layout"] == "eyepacs"
    real = load(path, "demo", source="/here", extra_sources={"others": "/there"})
    assert (real.data.extra["others"].source.path, real.data.extra["others"].phantom) == ("/there", None)


def test_real_images_are_not_trained_beside_phantoms(write):
    text = GRADED.replace(", against: pretrained", "")
    study = load(write(text), "demo", source="/here")
    assert list(study.arms) == ["base", "turned", "alone"]  # an ensemble of what is left out is left out too
    assert study.data.extra == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ordered: true", "ordered: false", "endpoints need ordered classes"),
        ("  ordered: true\n  endpoints: {any: mild}\n", "", "regression and ordinal heads are for grades"),
        ("endpoints: {any: mild}", "endpoints: {any: none}", "no class above the first"),
        ("samples: [others]", "samples: [otters]", "no data.extra 'otters'; did you mean 'others'?"),
        ("models: base", "models: bas", "needs arm 'bas', which is not run"),
        ("models: base, inf", "models: base, normalization: unit, inf", "may differ from it in posttrain, inference"),
        ("members: [turned, pretrained]", "members: [both]", "has no models of its own"),
        ("copies: 2, ", "", "copies and augmentation belong together"),
        ("head: regression", "head: ordinal", "the network has no head 'ordinal'"),
        ("head: regression", "head: regression, cuts: [2.0, 1.0]", "cuts must rise"),
        ("members: [turned, pretrained]", "members: [turned, alone]", "its members need the same heads"),
        ("against: pretrained", "posttrain: {head: linear}", "head linear needs two heads or more"),
        ("base: {}", "base: {validation: test, training_samples: leak_free}", "trains on all other samples"),
        ("optimizer: adam", "optimizer: {name: sgd, nesterov: true}", "nesterov needs a momentum"),
        (
            "classification: focal",
            "classification: {name: focal, label_smoothing: 2.0}",
            "label_smoothing must be below 1",
        ),
        ("head: regression", "head: regression, cuts: [1.0]", "1 cuts, but these classes need 2"),
        ("head: regression", "head: classification, cuts: optimized", "cuts are for head regression or linear"),
        ("regression: mse", "regression: focal", "'focal' is no loss of this head; known: mae, mse"),
        (", regression: mse", "", "no stage has a loss for head 'regression'"),
        ("regression: {}}", "}", "a loss for head 'regression', which the network lacks"),
        ("against: pretrained", "against: pretraine", "no arm 'pretraine' is run; did you mean 'pretrained'?"),
        ("base: {}", "base: {validation: test, posttrain: {head: linear}}", "there is no validation part to fit on"),
    ],
)
def test_what_does_not_fit_together_is_refused(write, old, new, message):
    assert old in GRADED
    with pytest.raises(RescanError) as caught:
        load(write(GRADED.replace(old, new)), "full")
    assert message in str(caught.value)


def test_all_faults_are_said_at_once_with_key_path_and_nearest_name(write):
    text = (
        MINIMAL.replace("layout: class_folders", "layout: class_foldrs")
        .replace("epochs: 5", "epochs: 0, batchsize: 3")
        .replace("encoder: vgg19", "encoder: vg19")
        .replace("preparation: small", "preparation: smal")
        + "published: [{arm: bas, metric: accuracy, value: 1, who: me}]\n"
    )
    with pytest.raises(RescanError) as caught:
        load(path := write(text), "full")
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    said = [line[len(f"{path}: ") :] for line in lines]
    assert "data.layout: no layout 'class_foldrs'; did you mean 'class_folders'?" in said
    assert "recipe.stages.main.epochs: input should be greater than 0, not 0" in said
    assert "recipe.stages.main.batchsize: unknown key; did you mean 'batch_size'?" in said
    assert "arms.other.network.encoder: no encoder 'vg19'; did you mean 'vgg19'?" in said
    assert "recipe.preparation: no preparation 'smal'; did you mean 'small'?" in said
    assert "published: no arm 'bas'; did you mean 'base'?" in said
    assert len(said) == len(set(said)) == 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size: [64, 64]", "size: 64", "size must be like"),
        ("encoder: resnet18", "encodr: resnet18", "did you mean 'encoder'?"),
        ("classes: [no, yes]", "classes: [no, no]", "a class is named twice"),
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
        ("base: {}", "base: 3", "valid dict"),
    ],
)
def test_bad_values_are_refused(write, old, new, message):
    with pytest.raises(RescanError) as caught:
        load(write(MINIMAL.replace(old, new)), "full")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "a: 1\na: 2", "\ttitle: x"])
def test_what_is_no_mapping_is_said_in_one_line(write, text):
    with pytest.raises(RescanError) as caught:
        load(write(text), "full")
    assert len(str(caught.value).splitlines()) == 1


def test_a_fault_in_the_demo_block_is_named_there(write):
    with pytest.raises(RescanError, match=r"demo\.recipe\.stages\.main\.epochs: input should be greater than 0"):
        check([write(MINIMAL + "demo: {recipe: {stages: {main: {epochs: -1}}}}\n")])


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(RescanError, match="cannot be read"):
        load(tmp_path / "no.yaml", "full")


def test_fingerprints_follow_what_training_depends_on(write):
    study = load(write(MINIMAL), "full")
    title = load(write(MINIMAL.replace("A study", "Another title")), "full")
    more = load(write(MINIMAL + "  third: {normalization: unit}\n"), "full")
    longer = load(write(MINIMAL.replace("epochs: 5", "epochs: 6")), "full")
    larger = load(write(MINIMAL.replace("[64, 64]", "[32, 32]")), "full")
    key = recipe_key(study, "base")
    assert recipe_key(title, "base") == recipe_key(more, "base") == key
    assert recipe_key(longer, "base") != key
    assert recipe_key(larger, "base") != key
    assert recipe_key(study, "other") != key
    assert study_key(study, "data.layout", "split.test") == study_key(title, "data.layout", "split.test")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("scale", ["demo", "full"])
def test_shipped_studies_are_sound_and_survive_json(path, scale, tmp_path):
    study = load(path, scale)
    (tmp_path / "study.json").write_text(study.model_dump_json())
    assert read(tmp_path / "study.json") == study
    assert isinstance(study, Study)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_schema_takes_the_shipped_studies(path):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema())
    jsonschema.Draft202012Validator.check_schema(validator.schema)
    assert [error.message for error in validator.iter_errors(read_yaml(path))] == []
    assert not validator.is_valid({**read_yaml(path), "titel": "x"})


VOLUMES = """
title: Volumes
data:
  source: {path: somewhere}
  layout: {name: table, file: labels.csv}
  classes: [normal, abnormal]
  labels: {NOR: normal, DCM: abnormal, HCM: abnormal}
preparations:
  volume:
    reads: volume
    channels: gray
    steps:
      - {name: resample, millimeters: [0, 2, 2]}
      - {name: pad_volume, size: [16, 64, 64]}
      - {name: window, low: -100, high: 300}
  projection:
    reads: volume
    channels: gray
    steps: [{name: clip_percentiles}, {name: project}, {name: resize, size: [64, 64]}]
autoencoders:
  compressed: {preparation: volume, encoder: cnn5_3d, epochs: 3, batch_size: 2}
recipe:
  preparation: volume
  network: {encoder: cnn5_3d, weights: none}
  normalization: unit
  augmentation: {rotation: 10}
  stages: {main: {epochs: 5, optimizer: {name: adam, lr: 1e-4}}}
arms:
  scratch: {augmentation: {tilt: 3, flip_depth: 0.5}}
  pretrained: {network: {weights: compressed}, stages: {main: {trainable: {from_block: 2}}}}
  flat: {preparation: projection, network: {encoder: resnet18}, normalization: imagenet}
claims: [{better: scratch, than: flat, who: a study}]
gradcam: {beside: flat}
tasks:
  five:
    data: {classes: [NOR, DCM, HCM], labels: {NOR: NOR, DCM: DCM, HCM: HCM}}
    demo: {split: {seeds: [5]}}
demo: {split: {seeds: [3, 4]}}
"""


def test_volumes_projections_and_autoencoders_fit_together(write):
    study = load(write(VOLUMES), "full")
    assert {name: given.dimensions for name, given in study.preparations.items()} == {"volume": 3, "projection": 2}
    assert study.start_weights("scratch", 0, 1) is None
    assert (
        study.start_weights("pretrained", 2, 1)
        == "results/full/mine/autoencoders/compressed/fold2_seed1/encoder.safetensors"
    )
    assert study.arms["pretrained"].stages["main"].trainable.from_block == 2
    trained = study.recipe_of("autoencoders/compressed")
    assert (trained.network.encoder, trained.stages["autoencoder"].epochs, trained.keep.best) == ("cnn5_3d", 3, "loss")
    window = study.preparations["volume"].steps[2]
    assert (window["low"], window["high"]) == (-100.0, 300.0)


def test_an_autoencoder_is_part_of_what_its_arms_depend_on(write):
    study = load(write(VOLUMES), "full")
    other = load(write(VOLUMES.replace("epochs: 3", "epochs: 4")), "full")
    changed = {arm for arm in study.arms if recipe_key(study, arm) != recipe_key(other, arm)}
    assert changed == {"pretrained"}
    assert recipe_key(study, "autoencoders/compressed") != recipe_key(other, "autoencoders/compressed")
    leaky = load(write(VOLUMES.replace("epochs: 3", "epochs: 3, samples: all")), "full")
    assert recipe_key(leaky, "autoencoders/compressed") != recipe_key(study, "autoencoders/compressed")
    assert leaky.learns_from_all("autoencoders/compressed")
    window = "- {name: window, low: -100, high: 300}"
    two = VOLUMES.replace(
        "  projection:", f"  other: {{reads: volume, channels: gray, steps: [{window[2:]}]}}\n  projection:"
    )
    two = two.replace("compressed: {preparation: volume", "compressed: {preparation: other")
    one, changed = (
        load(write(text), "full") for text in (two, two.replace("[{name: window, low: -100", "[{name: window, low: 0"))
    )
    assert recipe_key(one, "pretrained") != recipe_key(changed, "pretrained")
    assert recipe_key(one, "scratch") == recipe_key(changed, "scratch")
    assert not study.learns_from_all("autoencoders/compressed")


def test_only_what_the_arms_that_are_run_need_is_kept(write):
    study = load(write(VOLUMES), "full", arms=["scratch"])
    assert study.autoencoders == {}
    assert study.gradcam.beside is None
    assert [claim.than for claim in study.claims] == ["flat"]  # listed as not run


def test_a_task_is_a_difference_from_the_whole_file(write):
    study = load(write(VOLUMES), "demo", task="five")
    assert study.name == "mine-five"
    assert study.data.labels == {"NOR": "NOR", "DCM": "DCM", "HCM": "HCM"}
    assert study.split.seeds == [5]
    assert load(write(VOLUMES), "full", task="five").split.seeds == [0]
    assert load(write(VOLUMES), "demo").split.seeds == [3, 4]
    published = "published: [{arm: scratch, metric: accuracy, value: 0.9, who: me}]\n"
    assert len(load(write(VOLUMES + published), "full").published) == 1
    assert load(write(VOLUMES + published), "full", task="five").published == []  # of other classes
    with pytest.raises(RescanError, match="no task 'fiv'; did you mean 'five'"):
        load(write(VOLUMES), "demo", task="fiv")


def test_labels_may_be_numbers(write):
    numbered = VOLUMES.replace("{NOR: normal, DCM: abnormal, HCM: abnormal}", "{0: normal, 1: abnormal, 2: abnormal}")
    assert load(write(numbered), "full").data.labels == {"0": "normal", "1": "abnormal", "2": "abnormal"}


def test_weights_given_for_all_leave_autoencoders_and_3d_networks_alone(write):
    study = load(write(VOLUMES), "full", weights="imagenet")
    assert {arm: recipe.network.weights for arm, recipe in study.arms.items()} == {
        "scratch": "none",
        "pretrained": "compressed",
        "flat": "imagenet",
    }
    fixed = VOLUMES + "published: [{arm: flat, metric: accuracy, value: 0.9, who: me}]\n"
    for network in ("{encoder: cnn5}", "{encoder: resnet18, norm: group, weights: none}"):
        study = load(write(fixed.replace("{encoder: resnet18}", network)), "full", weights="imagenet")
        assert study.arms["flat"].network.weights == "none"
        assert study.published[0].not_comparable is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "encoder: resnet18}, norm",
            "encoder: cnn5_3d}, norm",
            "arms: flat: preparation projection makes images, cnn5_3d",
        ),
        (
            "preparation: projection, network: {encoder: resnet18}",
            "network: {encoder: resnet18}",
            "makes volumes, resnet18",
        ),
        (
            "    channels: gray\n    steps:\n      - {name: resample",
            "    steps:\n      - {name: resample",
            "volumes are gray; add channels: gray",
        ),
        ("{name: project}, ", "", "2: resize: is for images; project the volume first|1: resize: is for images"),
        ("{name: project}", "{name: project}, {name: project}", "project: is for volumes"),
        ("{name: project}", "{name: patches}", "patches: cuts images, once; project the volume first"),
        (
            "{name: resize, size",
            "{name: patches}, {name: crop_center}, {name: resize, size",
            "must stand before patches",
        ),
        (
            "{encoder: cnn5_3d, weights: none}",
            "{encoder: cnn5_3d}",
            "cnn5_3d has no ImageNet weights; use weights: none",
        ),
        ("weights: compressed", "weights: compresed", "no weights 'compresed'; did you mean 'compressed'"),
        (
            "weights: compressed",
            "weights: compressed, norm: group",
            "norm is group, but that of autoencoder compressed is batch",
        ),
        (
            "encoder: resnet18}",
            "encoder: resnet18, weights: imagenet, norm: group}",
            "ImageNet weights need norm: batch",
        ),
        ("{tilt: 3, flip_depth: 0.5}", "{shear: 3}", "augmentation: shear is not for volumes"),
        ("encoder: resnet18}, norm", "encoder: resnet18}, augmentation: {tilt: 3}, norm", "tilt is not for images"),
        ("HCM: abnormal", "HCM: abnormall", "labels: HCM: no class 'abnormall'; did you mean 'abnormal'"),
        ("NOR: normal, ", "", "none becomes class 'normal'"),
        ("{name: project}", "{name: project, slab: middle}", "slab must be one of all, superficial, deep"),
        ("millimeters: [0, 2, 2]", "millimeters: [0, -2, 2]", "millimeters must be positive"),
        ("than: flat", "than: flatt", "no arm 'flatt'; did you mean 'flat'"),
        ("beside: flat", "beside: flatt", "no arm 'flatt'; did you mean 'flat'"),
        ("from_block: 2", "from_block: 0", "from_block"),
        (
            "{network: {weights: compressed}, stages",
            "{training_samples: leak_free, network: {weights: compressed}, stages",
            "leak_free, but autoencoder compressed learns from all of them",
        ),
        (
            "{tilt: 3, flip_depth: 0.5}",
            "{tilt: 3}, inference: {copies: 2, augmentation: {crop_and_pad: 0.1}}",
            "augmentation: crop_and_pad is not for volumes",
        ),
        ("encoder: resnet18}, norm", "encoder: cnn5, weights: imagenet}, norm", "cnn5 has no ImageNet weights"),
        ("low: -100", "low: 300", "window: low, 300, is not below high, 300"),
        ("{name: clip_percentiles}", "{name: clip_percentiles, high: 101}", "percentiles lie between 0 and 100"),
        ("beside: flat", "beside: scratch", "beside: arm scratch has no image for each sample"),
        (
            "preparation: volume, encoder",
            "preparation: volumes, encoder",
            "no preparation 'volumes'; did you mean 'volume'",
        ),
    ],
)
def test_volumes_that_do_not_fit_are_refused(write, old, new, message):
    assert old in VOLUMES
    with pytest.raises(RescanError, match=message):
        load(write(VOLUMES.replace(old, new, 1)), "full")


ABLATIONS = (
    MINIMAL.replace("epochs: 5", "steps: 50").replace("none}", "none, neck: {name: flatten}, hidden: [9]}")
    + """
ablations:
  deeper:
    question: another encoder
    of: other
    arms: {two: {network: {encoder: resnet34}}}
  batch_size: {question: another batch size, vary: stages.main.batch_size, values: [8, 64]}
  dropout: {question: dropout, vary: [network.dropout, network.neck.dropout], values: [0.5]}
"""
)


def test_an_ablation_s_arms_are_differences_from_its_base(write):
    study = load(write(ABLATIONS), "full")
    assert list(study.arms) == ["base", "other", "deeper_two", "batch_size_8", "batch_size_64", "dropout_0.5"]
    assert study.arms["deeper_two"].network.encoder == "resnet34"
    assert study.arms["deeper_two"].against == "other"
    assert study.arms["batch_size_64"].stages["main"].batch_size == 64
    assert study.arms["batch_size_64"].stages["main"].optimizer == study.arms["base"].stages["main"].optimizer
    network = study.arms["dropout_0.5"].network
    assert (network.dropout, network.neck["dropout"]) == (0.5, 0.5)
    assert study.ablations["batch_size"].arms == {"batch_size_8": "8", "batch_size_64": "64"}
    assert (study.ablations["deeper"].base, study.ablations["batch_size"].base) == ("other", "base")


def test_run_may_name_ablations_and_those_without_their_base_are_not_asked(write):
    study = load(write(ABLATIONS + "run: [base, batch_size]\n"), "full")
    assert list(study.arms) == ["base", "batch_size_8", "batch_size_64"]
    assert list(study.ablations) == ["batch_size"]
    assert list(load(write(ABLATIONS), "full", arms=["base", "batch_size_8"]).ablations["batch_size"].arms) == [
        "batch_size_8"
    ]
    assert load(write(ABLATIONS), "full", arms=["base", "other"]).ablations == {}
    with pytest.raises(RescanError, match="deeper_two: against: no arm 'other' is run"):
        load(write(ABLATIONS), "full", arms=["deeper_two"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("values: [8, 64]}", "values: []}", r"ablations.batch_size: needs arms, or vary and values"),
        (
            "vary: stages.main.batch_size",
            "vary: stages.main.batchsize",
            r"ablations.batch_size.*batchsize: unknown key",
        ),
        ("encoder: resnet34", "encoder: resnet35", r"ablations.deeper.arms.two.network.encoder: no encoder 'resnet35'"),
        (
            "vary: stages.main.batch_size, values: [8",
            "vary: stages.main.steps, values: [8",
            "arm batch_size_8 must be trained for as many steps as base",
        ),
        ("steps: 50", "epochs: 50", "must be trained for as many steps"),
        ("steps: 50", "steps: 50, epochs: 3", "needs epochs or steps, not both"),
        ("question: another encoder", "questions: another encoder", "ablations.deeper.question: missing"),
    ],
)
def test_ablations_that_compare_unequal_budgets_or_are_faulty_are_refused(write, old, new, message):
    text = ABLATIONS[: ABLATIONS.index("  dropout:")]
    assert old in text
    with pytest.raises(RescanError, match=message):
        load(write(text.replace(old, new, 1)), "full")


def test_a_binary_head_is_for_two_classes(write):
    binary = MINIMAL.replace("weights: none}", "weights: none, heads: {binary: {}}}")
    binary = binary.replace("lr: 1e-4}}}", "lr: 1e-4}, losses: {binary: binary_cross_entropy}}}")
    assert load(write(binary), "full").arms["base"].head == "binary"
    with pytest.raises(RescanError, match="a binary head tells two classes apart, not 3"):
        load(write(binary.replace("[no, yes]", "[no, yes, maybe]")), "full")
