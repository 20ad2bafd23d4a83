from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from dicom_files import deadly_dicom
from sample_files import write_manifest, write_source
from sklearn.metrics import cohen_kappa_score

from rescan.data.audit.audit import audit
from rescan.errors import RescanError
from rescan.results.audit_report import GROUPS
from rescan.results.manifest import MANIFEST, DroppedSamples


@pytest.fixture
def write_data(write_data):
    """The same, with what the index says of dropped labels."""

    def write(rows, dropped=None, unlisted=()):
        paths = write_data(rows)
        DroppedSamples(labels=dropped or {}, unlisted=list(unlisted)).write(paths.dropped)
        return paths

    return write


def rows(images, part="", start=0, **more):
    """Alternately cats and dogs."""
    return [
        (f"{index + start:03d}.png", ("cat", "dog")[index % 2], image, {"published_part": part, **more})
        for index, image in enumerate(images)
    ]


def run(paths, study, processes=1):
    audit(study, processes)
    return json.loads(Path(paths.audit).read_text()), GROUPS.read(paths.groups).set_index("sample")


def test_lists_bad_files_with_reasons_and_describes_good_ones(write_data, study, textures):
    good = textures(4)
    bad = [("e.jpg", "cat", b"", {}), ("t.jpg", "dog", b"text", {}), ("gone.jpg", "dog", None, {})]
    paths = write_data([*rows(good), *bad])
    report, groups = run(paths, study(), processes=2)
    assert report["samples"] == 7
    assert {entry["sample"]: entry["problem"] for entry in report["unreadable"]} == {
        "e.jpg": "empty file",
        "t.jpg": "not an image",
        "gone.jpg": "no such file",
    }
    assert report["classes"] == {"all": {"cat": 2, "dog": 2}}
    assert "3 samples cannot be read and are left out" in report["warnings"]
    first = groups.loc["000.png"]
    assert (first["width"], first["height"], first["mode"], first["problem"]) == (100, 80, "L", "")
    content = Path("raw/000.png").read_bytes()
    assert first["bytes"] == len(content)
    assert first["sha256"] == hashlib.sha256(content).hexdigest()
    assert groups.loc["e.jpg", "problem"] == "empty file"
    assert groups["group"].nunique() == 7


@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_that_ends_its_decoders_process_is_listed_too(write_data, study, textures, processes):
    paths = write_data([*rows(textures(3)), ("deadly.dcm", "cat", deadly_dicom(), {}), *rows(textures(2, 1), start=9)])
    report, groups = run(paths, study(), processes)
    assert [entry["sample"] for entry in report["unreadable"]] == ["deadly.dcm"]
    assert groups["problem"].str.len().gt(0).sum() == 1


def test_identical_images_and_conflicting_labels(write_data, study, textures):
    images = textures(10)
    color = cv2.cvtColor(images[0], cv2.COLOR_GRAY2RGB)
    copies = [("a.png", "cat", images[0], {}), ("b.png", "dog", color, {})]
    report, groups = run(write_data([*rows(images), *copies]), study())
    # 000 is a cat: 000–a agree and are the same bytes, 000–b and a–b are the same pixels and conflict.
    assert report["identical"] == {
        "byte_pairs": 1,
        "pairs": 3,
        "groups": 1,
        "conflicting_pairs": 2,
        "conflicting_groups": 1,
        "label_agreement": pytest.approx(1 / 3),
        "pairs_with_unlabeled": 0,
    }
    assert groups["conflict"].sum() == 3
    assert len(set(groups.loc[["000.png", "a.png", "b.png"], "group"])) == 1
    assert report["mixed_label_groups"] == [["000.png", "a.png", "b.png"]]
    assert report["near_duplicates"]["pairs"] == 0
    assert report["largest_group"]["size"] == 3


def test_copies_of_several_patients_are_named_if_labels_agree(write_data, study, textures):
    """With other labels they are among the mixed ones; of one patient, or an unknown one, they are usual."""
    images = textures(10)
    copies = [
        ("a.png", "cat", cv2.convertScaleAbs(images[0], alpha=0.8), {"patient": "other"}),
        ("b.png", "cat", images[0], {"patient": ""}),
        ("c.png", "cat", images[1], {"patient": "other"}),  # 001 is a dog
        ("d.png", "cat", images[2], {"patient": "p2"}),
        ("e.png", "cat", images[4], {"patient": ""}),
    ]
    own = [
        (name, label, image, {"patient": f"p{number}"}) for number, (name, label, image, _) in enumerate(rows(images))
    ]
    report, _ = run(write_data([*own, *copies]), study())
    assert report["several_patient_groups"] == [["000.png", "a.png", "b.png"]]
    assert report["mixed_label_groups"] == [["001.png", "c.png"]]
    assert "1 groups of near-duplicates with one label are of several patients" in report["warnings"]


GRADES = ["none", "mild", "severe"]


def test_how_well_grades_repeat(write_data, study, textures):
    images = textures(12)
    grades = {0: (0, 0), 1: (0, 1), 2: (1, 1), 3: (2, 2), 4: (2, 0), 5: (1, 2, 2)}
    copies = [
        (f"{image}_{n}.png", GRADES[k], images[image], {}) for image, ks in grades.items() for n, k in enumerate(ks)
    ]
    near = [("near.png", "mild", cv2.convertScaleAbs(images[3], alpha=0.7), {})]
    others = [(f"{index}.png", GRADES[index % 3], images[index], {}) for index in range(6, 12)]
    paths = write_data([*copies, *near, *others])
    report, _ = run(paths, study({"classes": GRADES, "ordered": True}))
    pairs = [pair for ks in grades.values() for pair in itertools.permutations(ks, 2)]
    assert report["identical"]["pairs"] == len(pairs) // 2 == 8
    assert report["identical"]["groups"] == 6
    assert report["identical"]["conflicting_pairs"] == 4
    assert report["identical"]["conflicting_groups"] == 3
    expected = cohen_kappa_score(*zip(*pairs), weights="quadratic")
    assert report["identical"]["quadratic_kappa"] == pytest.approx(expected)
    pairs += [(2, 1), (1, 2)] * 2  # the near-duplicate and the two copies of 3
    assert report["copies"]["pairs"] == len(pairs) // 2
    assert report["copies"]["conflicting_groups"] == 4
    assert report["copies"]["label_agreement"] == 4 / 10
    expected = cohen_kappa_score(*zip(*pairs), weights="quadratic")
    assert report["copies"]["quadratic_kappa"] == pytest.approx(expected)
    report, _ = run(write_data(others), study({"classes": GRADES, "ordered": True}))
    assert report["identical"]["quadratic_kappa"] is report["identical"]["label_agreement"] is None


def test_samples_without_a_label_and_of_extra_sources(write_data, study, textures):
    images = textures(40)
    unlabeled = {"published_part": "unlabeled"}
    extra = {"published_part": "extra", "origin": "more"}
    paths = write_data(
        [
            *rows(images[:30]),
            ("u0.png", "", images[0], unlabeled),
            ("u1.png", "", images[0], unlabeled),
            ("u2.png", "", images[30], unlabeled),
            ("u3.png", "", b"", unlabeled),
        ]
    )
    Path("elsewhere").mkdir()
    manifest = MANIFEST.read(paths.manifest)
    added = {
        "e0": (images[0], "dog"),
        "e1": (cv2.convertScaleAbs(images[2], alpha=0.7), "cat"),
        "e2": (images[31], "dog"),
    }
    for name, (image, label) in added.items():
        cv2.imwrite(f"elsewhere/{name}.png", image)
        row = {"sample": f"more/{name}", "path": f"{name}.png", "label": label, **extra}
        manifest = pd.concat([manifest, pd.DataFrame([row])])
    MANIFEST.write(paths.manifest, manifest.fillna(""))
    write_source(paths, extra={"more": "elsewhere"}, manifest=manifest)
    layout = {"source": {"path": "elsewhere"}, "layout": "class_folders"}
    report, groups = run(paths, study({"extra": {"more": layout}}))
    assert report["samples"] == 37
    assert report["unreadable"] == [{"sample": "u3.png", "problem": "empty file"}]
    assert report["classes"] == {"all": {"cat": 15, "dog": 15}}
    assert report["unlabeled"] == 3
    assert report["extra"] == {"more": {"cat": 1, "dog": 2}}
    assert report["linked_extra"] == {"more": 2}
    # Nothing of labels is said of them, nor of the part that they are in.
    assert report["identical"]["pairs"] == report["copies"]["pairs"] == 0
    assert report["identical"]["pairs_with_unlabeled"] == 2
    assert report["mixed_label_groups"] == []
    assert groups["conflict"].sum() == 0
    assert report["linked_test"] == {}
    related = ["000.png", "u0.png", "u1.png", "more/e0"]
    assert len(set(groups.loc[related, "group"])) == 1
    assert groups.loc["002.png", "group"] == groups.loc["more/e1", "group"]
    assert any(
        warning.startswith("2 samples of the extra source more have a relative") for warning in report["warnings"]
    )


def test_groups_across_a_published_split(write_data, study, textures):
    images = textures(40)
    test = [
        ("copy.png", "cat", cv2.convertScaleAbs(images[0], alpha=0.7), {"published_part": "test"}),
        ("mirrored.png", "cat", np.ascontiguousarray(np.fliplr(images[2])), {"published_part": "test"}),
        *rows(textures(6, seed=1), "test", start=500),
    ]
    report, groups = run(write_data([*rows(images, "train"), *test]), study())
    assert report["near_duplicates"] == {"pairs": 2, "groups": 2, "mirrored_pairs": 1}
    assert report["linked_test"] == {
        "n": 8,
        "same_orientation": 1 / 8,
        "any_orientation": 2 / 8,
        "classes": {
            "cat": {"n": 5, "same_orientation": 1 / 5, "any_orientation": 2 / 5},
            "dog": {"n": 3, "same_orientation": 0, "any_orientation": 0},
        },
    }
    assert groups.loc["mirrored.png", "group"] == groups.loc["002.png", "group"]
    assert "class 'dog' has only 3 groups in part 'test'" in report["warnings"]
    assert not any("in part 'train'" in warning for warning in report["warnings"])


def test_group_by_says_which_relations_make_groups(write_data, study, textures):
    images = textures(6)
    paths = write_data(
        [
            *rows(images, patient="", part="train"),
            ("a.png", "cat", images[0], {"patient": "p", "published_part": "train"}),
            ("b.png", "dog", textures(1, seed=9)[0], {"patient": "p", "published_part": "test"}),
        ]
    )
    related = ["000.png", "a.png", "b.png"]
    for group_by, expected in ((["patient", "near_duplicate"], 1), (["patient"], 2), (["near_duplicate"], 2)):
        report, groups = run(paths, study(group_by=group_by))
        assert groups.loc[related, "group"].nunique() == expected
        assert report["patients_in_both_parts"] == 1
        assert report["patients_known"] is False


def test_chained_group_stops_the_run_and_names_it(write_data, study):
    # A ramp from one texture to another: neighbors are alike, the ends are not.
    rng = np.random.default_rng(3)
    ends = [cv2.GaussianBlur(rng.normal(size=(80, 100)).astype(np.float32), (0, 0), 3) for _ in range(2)]
    ramp = [np.cos(angle) * ends[0] + np.sin(angle) * ends[1] for angle in np.linspace(0, np.pi, 90)]
    images = [np.clip(128 + 250 * image, 0, 255).astype(np.uint8) for image in ramp]
    paths = write_data(rows(images))
    with pytest.raises(RescanError, match=r"pets: group g000000 holds 90 near-duplicate.*000\.png.*split\.group_by"):
        audit(study(), 1)
    report, _ = run(paths, study(group_by=["patient"]))
    assert any("holds 90 near-duplicate images" in warning for warning in report["warnings"])


def test_large_group_of_copies_is_only_a_warning(write_data, study, textures):
    images = [cv2.convertScaleAbs(textures(1)[0], alpha=0.5 + index / 50) for index in range(12)]
    patient = [(f"p{index}.png", "cat", image, {"patient": "p"}) for index, image in enumerate(textures(15, seed=2))]
    report, _ = run(write_data([*rows(images), *patient]), study())
    large = [warning for warning in report["warnings"] if "near-duplicate images, more than" in warning]
    assert len(large) == 1  # a patient's 15 images are no chain
    assert "holds 12" in large[0]


def test_constant_images_are_counted(write_data, study, textures):
    black = [np.zeros((40, 40), np.uint8)] * 2
    report, groups = run(write_data([*rows(textures(4)), *rows(black, start=500)]), study())
    assert report["constant"] == ["500.png", "501.png"]
    assert "2 images are constant (500.png, 501.png)" in report["warnings"]
    assert groups.loc["500.png", "group"] == groups.loc["501.png", "group"]


def test_a_class_without_a_readable_file_is_an_error(write_data, study, textures):
    write_data([("a.png", "cat", textures(1)[0], {}), ("b.png", "dog", b"", {})])
    with pytest.raises(RescanError, match=r"none of the 1 files of class 'dog' can be read .*b\.png: empty file"):
        audit(study(), 1)
    write_data([("a.png", "cat", textures(1)[0], {})])
    with pytest.raises(RescanError, match="class 'dog' has no sample"):
        audit(study(), 1)


def test_metadata_baseline_finds_a_confound_and_nothing_else(write_data, study):
    rng = np.random.default_rng(0)

    def noise(confounded):
        sizes = [60 + 20 * (index % 2) if confounded else int(rng.integers(50, 90)) for index in range(80)]
        return [rng.integers(0, 255, (size, size), dtype=np.uint8) for size in sizes]

    report, _ = run(write_data(rows(noise(confounded=True))), study())
    assert report["confounds"]["balanced_accuracy"] == 1
    assert report["confounds"]["features"]["width"] == 1
    assert any("file metadata alone" in warning for warning in report["warnings"])
    report, _ = run(write_data(rows(noise(confounded=False))), study())
    assert report["confounds"]["low"] < 0.5 < report["confounds"]["high"]
    assert not any("file metadata alone" in warning for warning in report["warnings"])


def test_metadata_baseline_without_variation(write_data, study):
    same = [np.full((40, 40), 7, np.uint8)] * 4
    report, _ = run(write_data(rows(same)), study())
    assert report["confounds"] == {"warnings": []}


def test_what_is_dropped_and_how_classes_lie_in_subgroups(write_data, study, textures):
    images = textures(24)
    samples = rows(images, eye="left")
    paths = write_data([*samples, ("u.png", "", textures(1, seed=2)[0], {"published_part": "unlabeled"})], {"bird": 3})
    manifest = MANIFEST.read(paths.manifest)
    cats = manifest["label"] == "cat"
    manifest["fov"] = np.where(cats, "3mm", "6mm")
    manifest.loc[:3, "fov"] = ["6mm", "6mm", "3mm", ""]
    manifest["sex"] = ""
    MANIFEST.write(paths.manifest, manifest.fillna(""))
    report, groups = run(paths, study())
    assert report["dropped"] == {"bird": 3}
    assert report["volumes"] == 0
    assert (groups["depth"] == 0).all()
    assert report["subgroups"] == {
        "eye": {"left": {"cat": 12, "dog": 12}},
        "fov": {
            "3mm": {"cat": 11, "dog": 0},
            "6mm": {"cat": 1, "dog": 11},
            "unknown": {"cat": 0, "dog": 1},
        },
    }
    assert report["attributes"]["fov"]["balanced_accuracy"] > 0.9
    assert "fov" in report["confounds"]["features"]
    assert any(warning.startswith("the field of view alone predicts the label") for warning in report["warnings"])


def test_volumes_are_called_so(write_data, study, textures):
    planes = textures(8)
    constant = np.full((80, 100), 7, np.uint8)
    stacks = [*planes, planes[1], constant]
    files = [
        (f"{number:02d}/{depth}.png", None, np.roll(plane, depth), {})
        for number, plane in enumerate(stacks)
        for depth in range(17)
    ]
    paths = write_data(files)
    scans = [{"path": f"{number:02d}", "label": ("cat", "dog")[number % 2]} for number in range(len(stacks))]
    scans[8]["label"] = "cat"
    manifest = pd.DataFrame([{"sample": scan["path"], **scan} for scan in scans])
    write_manifest(paths, manifest)
    write_source(paths, manifest=manifest.assign(published_part=""))
    report, groups = run(paths, study())
    assert report["samples"] == report["volumes"] == 10
    # The rows of the B-scans are the depth.
    assert (groups[["depth", "height", "width"]] == [80, 17, 100]).all(axis=None)
    assert report["constant"] == ["09"]
    assert "1 volumes are constant (09)" in report["warnings"]
    assert not [warning for warning in report["warnings"] if "B-scans" in warning]
    for depth in (15, 16):
        Path(f"raw/03/{depth}.png").unlink()
    MANIFEST.write(paths.manifest, MANIFEST.read(paths.manifest).assign(fov="6mm"))
    report, _ = run(paths, study())
    assert "1 volumes of field of view '6mm' do not have 17 B-scans as the others (03)" in report["warnings"]
    assert "1 pairs of identical volumes have different labels" in report["warnings"]


def test_values_that_differ_only_in_how_they_are_written_are_said(write_data, study, textures):
    """And their patients are one group, so that they stay on one side of every split."""
    images = textures(8)
    more = [
        ("müller1", "Kyoto"),
        ("Müller1", "kyoto"),
        ("7", "osaka"),
        ("007", "osaka "),
        ("8", ""),
        ("", ""),
        ("", ""),
    ]
    written = [row for image, (patient, site) in zip(images, more) for row in rows([image], patient=patient, site=site)]
    named = [(f"{place}.png", "cat", image, values) for place, (_, _, image, values) in enumerate(written)]
    named.append(("7.png", "dog", images[7], {"patient": "9"}))
    report, groups = run(write_data(named), study())
    words = "differ only in case, blanks, the form of letters or zeros before a number, and count as different"
    side = "they stay on one side of every split"
    assert f"patient: '007' and '7', 'Müller1' and 'müller1' {words}; {side}; write them alike" in report["warnings"]
    assert f"site: 'Kyoto' and 'kyoto', 'osaka' and 'osaka ' {words}; write them alike" in report["warnings"]
    assert groups["group"].tolist() == [f"g{number:06d}" for number in (0, 0, 1, 1, 2, 3, 4, 5)]


def test_a_patient_with_an_outsize_share_is_named(write_data, study, textures):
    patients = ["nan"] * 24 + [f"p{number}" for number in range(14)] + [""] * 2
    images = [(*row[:3], {**row[3], "patient": patient}) for row, patient in zip(rows(textures(40)), patients)]
    warnings = run(write_data(images), study())[0]["warnings"]
    assert "patient 'nan' has 24 of 40 samples, most others 1 or fewer; look whether it is one patient" in warnings
    assert "the patient of 2 of 40 samples is unknown; each counts as one of its own" in warnings
    equal = [(*row[:3], {**row[3], "patient": f"p{number % 4}"}) for number, row in enumerate(images)]
    assert not [warning for warning in run(write_data(equal), study())[0]["warnings"] if "look whether" in warning]
