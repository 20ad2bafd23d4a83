"""The page: whole, self-contained, honest about what did not run, and safe with hostile names."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from rescan.paths import Paths
from rescan.reporting import grids
from rescan.reporting.page import report

HOSTILE = "<script>alert(1)</script>"  # a class of the tree
EXPLORED = ("class_distribution", "samples_raw", "samples_prepared", "augmented", "groups", "tsne")
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Collects a page's tags, attributes and text; fails on a tag that is closed out of order."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.attributes, self.words, self.rows = [], [], [], [], []
        self.feed(Path(path).read_text("utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, attribute):
        return [value for name, value in self.attributes if name == attribute]


@pytest.fixture(scope="module")
def page(full_tree):
    folder, study = full_tree
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in EXPLORED:
            grids.grid([("", [np.zeros((8, 8), np.uint8)], [])], f"{Paths('full', study.name).explore}/{name}.png")
        report([study])
        return Page("results/full/index.html")


def test_it_needs_nothing_from_outside(page):
    references = [*page.all("src"), *page.all("href"), *page.all("srcset")]
    assert all(reference.startswith(("data:", "#")) for reference in references)
    assert not {"script", "iframe", "object", "form"} & set(page.tags)
    assert page.tags.count("img") >= 6 + 1 + 2 * 4 + 1


def test_links_lead_somewhere_and_ids_are_unique(page):
    targets = page.all("id")
    assert len(targets) == len(set(targets))
    assert {reference[1:] for reference in page.all("href") if reference.startswith("#")} <= set(targets)


def test_hostile_names_are_text(page):
    assert HOSTILE in page.text
    assert "Four classes <b>of</b> slices" in page.text
    assert "b" not in page.tags


def test_it_opens_with_the_answer(page, full_tree):
    folder, study = full_tree
    metrics = json.loads((folder / Paths("full", study.name).arm("resnet18") / "metrics.json").read_text())
    accuracy = metrics["parts"]["test"]["image"]["metrics"]["accuracy"]
    assert f"to {100 * accuracy['value']:.1f} % (resnet18)" in page.text
    assert page.text.index("Test accuracy of 2 arms goes from 25.0 % (vgg19)") < page.text.index("Data and audit Local")
    assert "Not shown to be better than that constant answer: vgg19." in page.text
    row = next(row for row in page.rows if row[0] == "resnet18")
    assert row[1] == f"{accuracy['value']:.3f} ({accuracy['low']:.3f}–{accuracy['high']:.3f})"
    assert row[2:4] == ["2", f"{accuracy['seed_sd']:.3f}"]
    assert "collapsed in 2 of 2 runs" in next(row for row in page.rows if row[0] == "vgg19")[1]


def test_every_published_number_has_its_row(page, full_tree):
    _, study = full_tree
    for entry in study.published:
        row = next(row for row in page.rows if row[0] == entry.arm and len(row) == 8)
        assert f"{entry.value:.4f}" in row[2]
        assert entry.who in row[2]
    assert "Of 3 published numbers: 2 not comparable, 1 not run." in page.text


def test_what_did_not_run_is_listed(page):
    assert ["absent", "not run"] in page.rows
    assert "Arm: absent Not run." in page.text
    assert re.search(r"Grad-CAM Not run\.", page.text)  # vgg19 has no maps


def test_audit_and_warnings_stand_beside_the_numbers(page):
    for said in (
        f"train/{HOSTILE}: 38 files, 99 expected",
        "train/glioma/broken.jpg : truncated",
        "5 pairs in 3 groups, 2 pairs of them mirrored or turned; largest group: 3 samples; groups of mixed labels: 1.",
        "0.0 % in the same orientation, 1.2 % with mirrored and turned copies",
        "Balanced accuracy 0.310 (0.250–0.370) from bytes; chance is 0.250.",
    ):
        assert said in page.text
    answer = page.text[: page.text.index("Against the published numbers")]
    assert "patients unknown" in answer
    assert ["glioma", "30", "8", "20", "58"] in page.rows
    assert ["all", "120", "32", "80", "232"] in page.rows


def test_maps_stand_beside_their_references(page):
    rows = [row for row in page.rows if len(row) == 2 and row[1].startswith("0.")]
    assert [row[1] for row in rows] == [f"{v:.3f} ({v - 0.05:.3f}–{v + 0.05:.3f})" for v in (0.4, 0.3, 0.2, 0.1)]


def test_how_to_run_it_again(page, full_tree):
    folder, study = full_tree
    named = f"'studies=[{study.file}]' 'seeds=[0, 1]' 'sources={{tumors: {study.data.source.path}}}' weights=none"
    assert f"snakemake --cores 2 --config scale=full {named}" in page.text
    assert study.file == str(folder / "tumors.yaml")
    assert "resnet18: rescan 0.1.0, torch 1.12.1" in page.text
    assert ["conv1", "64 × 24 × 24", "3,136"] in page.rows


@pytest.mark.parametrize(
    ("kind", "said"), [("phantom", "synthetic phantoms and a small recipe"), ("path", "real data, small recipe")]
)
def test_a_demo_is_never_compared_with_published_numbers(make_tree, tmp_path, monkeypatch, kind, said):
    monkeypatch.chdir(tmp_path)
    study = make_tree(tmp_path, "demo", kind)
    report([study])
    page = Page("results/demo/index.html")
    assert f"Demo: {said}; not compared with published numbers." in page.text
    assert "0.8125" not in page.text
    assert "Against the published numbers" not in page.text
    accuracy = float(next(row for row in page.rows if row[0] == "resnet18")[1].split()[0])
    assert f"25.0 % (vgg19) to {100 * accuracy:.1f} % (resnet18)" in page.text


def test_nothing_ran(full_tree, tmp_path, monkeypatch):
    _, study = full_tree
    monkeypatch.chdir(tmp_path)
    report([study])
    page = Page("results/full/index.html")
    for said in (
        "No arm has test results yet.",
        "Download: not run.",
        "Split: not run.",
        "Audit: not run.",
        "Exploration: not run.",
    ):
        assert said in page.text
    assert page.text.count("Arm: ") == 3
    assert "Of 3 published numbers: 3 not run." in page.text


@pytest.mark.parametrize(
    "lost",
    [
        "comparison.csv",
        "audit.json",
        "resnet18/posttraining.json",
        "resnet18/gradcam",
        "resnet18/fold0_seed0",
        "explore",
    ],
)
def test_any_part_may_be_missing(full_tree, tmp_path, monkeypatch, lost):
    folder, study = full_tree
    shutil.copytree(folder / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    path = Path(Paths("full", study.name).results, lost)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    report([study])
    assert "Arm: resnet18" in Page("results/full/index.html").text
