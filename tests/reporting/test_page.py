"""The page: whole, self-contained, honest about what did not run, and safe with hostile names."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from rescan.catalogue import METRICS
from rescan.evaluation import claims, paired, verdict
from rescan.paths import Paths
from rescan.reporting.figures import grids
from rescan.reporting.page import album
from rescan.reporting.page.data_view import FIGURES
from rescan.reporting.page.glossary import glossary
from rescan.reporting.page.report import report
from rescan.reporting.text import words
from rescan.reporting.text.verdict_words import OF_CLAIMS, VERDICTS
from rescan.results.metrics_file import Finding, Metrics
from rescan.results.posttraining import Posttraining
from rescan.results.source import SourceReport

WORDS_OF_JUDGMENT = {  # and what one might call the same
    *VERDICTS,
    *(
        "equal",
        "same",
        "better",
        "worse",
        "confirmed",
        "refuted",
        "rejected",
        "unclear",
        "undecided",
        "failed",
        "passed",
    ),
    *("not reproduced", "not supported", "not contradicted", "not confirmed"),
}
HOSTILE = "<script>alert(1)</script>"  # a class of the tree
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
        if not {"style", "script"} & set(self.open):
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
        for shade, name in enumerate(FIGURES):
            grids.grid(
                [("", [np.full((8, 8), 20 * shade, np.uint8)], [])], f"{Paths('full', study.name).explore}/{name}.png"
            )
        report(study)
        return Page(Paths("full", study.name).page)


def test_it_needs_nothing_from_outside(page, full_tree):
    """It links to files beside it, which are there, but shows nothing of them."""
    folder = full_tree[0] / "results/full" / full_tree[1].name
    links = [link for link in page.all("href") if not link.startswith(("data:", "#"))]
    assert all(reference.startswith("data:") for reference in [*page.all("src"), *page.all("srcset")])
    assert links[0] == "../../index.html"
    assert len(links) > 10
    assert all((folder / link).is_file() for link in links[1:])
    assert not {"iframe", "object", "form"} & set(page.tags)
    assert page.tags.count("script") == 1
    # Forest; figures of two arms, of which the curves are equal; Grad-CAM.
    assert page.text.count("The same as “resnet18: curves”") == 1
    assert page.tags.count("img") == len(FIGURES) + 1 + 2 * 7 - 1 + 1


def test_links_lead_somewhere_and_ids_are_unique(page):
    targets = page.all("id")
    assert len(targets) == len(set(targets))
    assert {reference[1:] for reference in page.all("href") if reference.startswith("#")} <= set(targets)


def test_every_word_of_scores_verdicts_findings_and_parts_is_in_the_glossary():
    """What the page may call something, from the records that name it."""
    findings = get_args(Finding.model_fields["finding"].annotation)
    metrics = [words.metric(name) for name in METRICS if not name.startswith("f1")]
    terms = {term.strip().lower() for names, _ in glossary() for term in names.split(",")}
    assert {
        word.lower() for word in (*metrics, *VERDICTS, *OF_CLAIMS, *findings, "out of fold", "interval", "margin")
    } <= terms


def test_verdicts_are_given_in_words_of_the_vocabulary_alone():
    for module in (claims, paired, verdict):
        source = ast.parse(inspect.getsource(module))
        strings = {
            node.value for node in ast.walk(source) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        used = {word for word in strings if re.fullmatch(r"(not )?[a-z]+", word)} & WORDS_OF_JUDGMENT
        assert used
        assert used <= {*VERDICTS, *OF_CLAIMS}


def test_the_glossary_is_that_of_the_docs(page):
    docs = (Path(__file__).parents[2] / "docs/glossary.md").read_text("utf-8")
    terms = re.findall(r"^\*\*(.+?)\.\*\*", docs, re.MULTILINE)
    assert {"Study", "Arm", "Phantom"} <= set(terms)
    text = page.text[page.text.index("The words of this page Study") :]
    positions = [text.index(f" {term} ") for term in terms]
    assert positions == sorted(positions)
    assert "described by one file, studies/<study>.yaml :" in text


def test_hostile_names_are_text(page):
    assert HOSTILE in page.text
    assert "Four classes <b>of</b> slices" in page.text
    assert "b" not in page.tags


def test_it_opens_with_the_answer(page, full_tree):
    accuracy = metrics_of(full_tree, "resnet18").estimate("accuracy")
    sentence = f"Of 2 arms, validation prefers resnet18: it is right on {100 * accuracy.value:.1f} % of "
    assert page.text.index(sentence) < page.text.index("Data and audit Local")
    assert "Not shown to be better than that constant answer: vgg19." in page.text
    row = next(row for row in page.rows if row[0] == "resnet18")
    assert row[1] == text_of(accuracy)
    assert row[2:4] == ["2", f"{accuracy.seed_sd:.3f}"]
    assert "collapsed in 2 of 2 runs" in next(row for row in page.rows if row[0] == "vgg19")[1]


def test_every_published_number_has_its_row(page, full_tree):
    _, study = full_tree
    for entry in study.published:
        row = next(row for row in page.rows if row[0] == entry.arm and len(row) == 8)
        assert f"{entry.value:.4f}" in row[2]
        assert entry.who in row[2]
    assert "Of 3 published numbers: 2 not comparable, 1 not run." in page.text


def test_what_did_not_run_is_listed(page):
    assert ["absent", "not run", *[""] * 5] in page.rows
    assert "Arm: absent Not run." in page.text
    assert re.search(r"Grad-CAM Not run\.", page.text)  # vgg19 has no maps
    assert re.search(r"Can the maps be believed\?.* 0\.050 \(0\.010–0\.090\) Blurring what the map marks", page.text)


def test_audit_and_warnings_stand_beside_the_numbers(page):
    for text in (
        f"train/{HOSTILE}: 38 files, 99 expected",
        "train/glioma/broken.jpg : truncated",
        "5 pairs beside the identical ones, 2 of them mirrored or turned. 3 groups of copies in all, ",
        "the largest of 3 samples; 2 with mixed labels.",
        "0.0 % in the same orientation, 1.2 % with mirrored and turned copies",
        "Balanced accuracy 0.310 (0.250–0.370) from bytes, cross-validated by group on the labeled samples;",
    ):
        assert text in page.text
    answer = page.text[: page.text.index("Against the published numbers")]
    assert "patients unknown" in answer
    assert ["glioma", "30", "8", "20", "58"] in page.rows
    assert ["all", "120", "32", "80", "232"] in page.rows


def test_maps_stand_beside_their_references(page):
    rows = [row for row in page.rows if len(row) == 2 and row[1].startswith("0.")]
    assert [row[1] for row in rows] == [f"{v:.3f} ({v - 0.05:.3f}–{v + 0.05:.3f})" for v in (0.4, 0.3, 0.2, 0.1)]


def test_how_to_run_it_again(page, full_tree):
    folder, study = full_tree
    config = f"'studies=[{study.file}]' 'sources={{tumors: {study.data.source.path}}}'"
    assert f"snakemake --cores 2 --config scale=full {config}" in page.text
    assert study.file == str(folder / "tumors.yaml")
    assert "resnet18: rescan 0.1.0, torch 1.12.1" in page.text
    assert ["conv1", "64 × 24 × 24", "3,136"] in page.rows


def test_at_small_published_numbers_are_lines_to_look_at(small_tree, monkeypatch):
    folder, study = small_tree
    monkeypatch.chdir(folder)
    report(study.model_copy(update={"changes": {"recipe.network.encoder": "resnet18"}}))
    page = Page(Paths("small", study.name).page)
    beside = "Small: the real data with small networks, trained briefly; published numbers are lines to look at."
    assert f"{beside} Set for this run: recipe.network.encoder: resnet18." in page.text
    (row,) = [row for row in page.rows if "0.8125" in "".join(row)]
    assert row[-2] == "not comparable"
    assert row[-1].startswith("small recipe")
    assert "How well do networks" in page.text
    assert "published numbers: " not in page.text  # their verdicts are no answer here


@pytest.mark.parametrize(
    ("kind", "data"), [("phantom", "synthetic phantoms and a small recipe"), ("path", "real data, small recipe")]
)
def test_a_demo_is_never_compared_with_published_numbers(demo_tree, monkeypatch, kind, data):
    folder, study = demo_tree
    monkeypatch.chdir(folder)
    source = SourceReport.read(Paths("demo", study.name).source)
    source.model_copy(update={"kind": kind}).write(Paths("demo", study.name).source)
    report(study)
    page = Page(Paths("demo", study.name).page)
    assert f"Demo: {data}; not compared with published numbers." in page.text
    assert "0.8125" not in page.text
    assert "Against the published numbers" not in page.text
    accuracy = float(next(row for row in page.rows if row[0] == "resnet18")[1].split()[0])
    assert f"validation prefers resnet18: it is right on {100 * accuracy:.1f} % of" in page.text


def test_nothing_ran(full_tree, tmp_path, monkeypatch):
    _, study = full_tree
    monkeypatch.chdir(tmp_path)
    report(study)
    page = Page(Paths("full", study.name).page)
    for text in (
        "No arm has test results yet.",
        "Download: not run.",
        "Split: not run.",
        "Audit: not run.",
        "Exploration: not run.",
    ):
        assert text in page.text
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
    report(study)
    assert "Arm: resnet18" in Page(Paths("full", study.name).page).text


@pytest.fixture(scope="module")
def retina(graded):
    folder, study = graded
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        report(study)
        return Page(Paths("full", study.name).page)


def metrics_of(tree, arm):
    folder, study = tree
    return Metrics.read(folder / Paths("full", study.name).arm(arm).metrics)


def text_of(estimate):
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def row_of(page, name, cells=9):
    return next(row for row in page.rows if row[0].startswith(name) and len(row) == cells)


def test_grades_open_with_quadratic_kappa_its_word_and_the_references(retina, graded):
    metrics = metrics_of(graded, "multitask")
    test = metrics.scores().metrics
    row = row_of(retina, "multitask")
    assert row[1:5] == [
        text_of(test["quadratic_kappa"]),
        "almost perfect",
        text_of(test["accuracy"]),
        text_of(test["macro_f1"]),
    ]
    referable = metrics.scores(endpoint="referable").metrics["auroc"]
    assert row[5:] == [text_of(referable), "linear neuron", "4", f"{test['quadratic_kappa'].seed_sd:.3f}"]
    out_of_fold = metrics.scores("out_of_fold")
    row = row_of(retina, f"multitask, out of fold{out_of_fold.n} images")
    assert row[1] == text_of(out_of_fold.metrics["quadratic_kappa"])
    assert (row[5], row[7]) == ("–", "2")  # ranked metrics are not pooled; one value per seed
    notes = "bytes; cross-validated on all labeled samples"
    assert row_of(retina, "File metadata alone") == [
        f"File metadata alone{notes}",
        "0.410 (0.300–0.500)",
        "moderate",
        *["–"] * 6,
    ]
    assert row_of(retina, "Labels of identical images")[0].endswith("1 of 3 pairs have different labels")
    assert row_of(retina, "Labels of identical images")[1:3] == ["0.780", "substantial"]
    assert row_of(retina, "Always “no DR”")[1:5] == ["0.000", "–", "0.200", "0.067"]
    assert row_of(retina, "ensemble")[0] == "ensembletrimmed mean of multitask and lr_bug"
    assert row_of(retina, "cuts")[0] == "cutsreads the models of multitask"
    arms = [arm for arm in graded[1].arms if arm != "absent"]
    of_validation = {
        arm: kappa.value for arm in arms if (kappa := metrics_of(graded, arm).estimate("quadratic_kappa", "validation"))
    }
    preferred = max(of_validation, key=of_validation.get)
    kappa = metrics_of(graded, preferred).estimate("quadratic_kappa")
    assert f"Of 6 arms, validation prefers {preferred}: it agrees with the labels of " in retina.text
    assert f"with a quadratic kappa of {kappa.value:.2f} ({kappa.low:.3f}–{kappa.high:.3f}): " in retina.text
    assert (
        "File metadata alone reach 0.41 (0.300–0.500), cross-validated; the labels of identical images" in retina.text
    )
    assert "Not shown to be better than metadata alone: simple." in retina.text


def test_what_each_choice_costs(retina, graded):
    folder, study = graded
    table = pd.read_csv(folder / Paths("full", study.name).comparison)
    rows = table[(table["kind"] == "arms") & (table["metric"] == "quadratic_kappa") & (table["arm"] == "lr_bug")]
    row = rows.iloc[0]
    numbers = [f"{row[name]:.2f}".replace("-", "−") for name in ("difference", "difference_low", "difference_high")]
    change = f"{numbers[0]} ({numbers[1]} to {numbers[2]})"
    assert f"lr_bug changes test quadratic kappa by {change} against multitask: lower." in retina.text
    assert re.search(r"cuts changes test quadratic kappa by \S+ \(\S+ to \S+\) against multitask: no diff", retina.text)
    assert "absent changes" not in retina.text


def test_heads_endpoints_and_posttraining_of_an_arm(retina, graded):
    metrics = metrics_of(graded, "multitask")
    for head, name in (("linear", "linear neuron on all heads (the arm's own)"), ("ordinal", "ordinal head")):
        for part in ("test", "validation"):
            scores = metrics.heads[head][part]
            assert [name, part, *[text_of(metric) for metric in scores.metrics.values()]] in retina.rows
    test = metrics.scores(endpoint="any_disease").metrics
    rows = [row for row in retina.rows if len(row) == 5 and row[1] == text_of(test["sensitivity"])]
    assert rows[0][0] == "sensitivity"
    f1 = test["macro_f1"].classes["any_disease"]
    assert ["F1", text_of(f1)] in [row[:2] for row in retina.rows]
    folder, study = graded
    arm = Paths("full", study.name).arm("multitask")
    *weights, bias = Posttraining.read(folder / arm.posttraining).linear.whole
    terms = zip(weights, ("class", "regression", "ordinal sum"))
    formula = " + ".join(f"{weight:.2f} × {name}" for weight, name in terms) + f" − {-bias:.2f}"
    assert f"Linear neuron: grade = {formula}. The arm is read from it. Fitted on the training part's" in retina.text
    assert "optimized for quadratic kappa on the validation part's predictions (a validation image" in retina.text
    assert f"{arm}/submission.csv" in retina.text
    assert "Its networks are those of multitask and lr_bug: see the maps there." in retina.text


def test_binary_accuracy_of_one_hot_outputs_is_no_accuracy(retina):
    assert "always answering “none” would give (5 − 1) / 5 = 80.0 %." in retina.text
    assert any(row[0] == "binary accuracy of the one-hot outputs (no accuracy)" for row in retina.rows)


def test_published_numbers_of_an_endpoint_are_compared_with_it(retina, graded):
    rows = [row for row in retina.rows if len(row) == 8 and row[0] == "multitask"]
    accuracy = metrics_of(graded, "multitask").scores(endpoint="referable").metrics["accuracy"]
    assert [row[1] for row in rows] == ["quadratic kappa", "accuracy,referable"]
    assert float(rows[1][3].split()[0]) == pytest.approx(accuracy.value, abs=0.001)


def test_unlabeled_and_extra_samples_are_counted_beside(retina):
    assert ["all", "98", "92", "100", "290", "10"] in retina.rows
    assert "Samples of fold 0, beside 6 without a label." in retina.text
    assert "Extra source more_eyes: Local copy" in retina.text
    assert "their labels repeat with a quadratic kappa of 0.780 (substantial)" in retina.text
    assert "Labels of all copies repeat with a quadratic kappa of 0.700." in retina.text
    assert "Extra samples related to the study's own more_eyes: 2." in retina.text
    assert "Quadratic kappa 0.410 (0.300–0.500) (moderate), balanced accuracy 0.310" in retina.text


def test_an_audit_without_kappa_does_not_break_the_page(graded, tmp_path, monkeypatch):
    folder, study = graded
    paths = Paths("full", study.name)
    (tmp_path / paths.audit).parent.mkdir(parents=True)
    audit = json.loads((folder / paths.audit).read_text())
    for place in (audit["identical"], audit["confounds"]):
        del place["quadratic_kappa"]
    (tmp_path / paths.audit).write_text(json.dumps(audit))
    monkeypatch.chdir(tmp_path)
    report(study)
    assert "3 pairs, 1 with conflicting labels." in Page(Paths("full", study.name).page).text


def test_each_study_has_a_page_of_its_own(graded, full_tree, tmp_path, monkeypatch):
    for folder, study in (graded, full_tree):
        shutil.copytree(folder / Paths("full", study.name).results, tmp_path / Paths("full", study.name).results)
    monkeypatch.chdir(tmp_path)
    for _, study in (graded, full_tree):
        report(study)
    first, second = (Page(Paths("full", study.name).page) for _, study in (graded, full_tree))
    assert "Grades of eyes" in first.text
    assert "Four classes" not in first.text
    assert "Four classes" in second.text


def test_a_page_stays_within_its_limit(full_tree, tmp_path, monkeypatch):
    folder, study = full_tree
    shutil.copytree(folder / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(album, "LIMIT", 250_000)
    report(study)
    path = Path(Paths("full", study.name).page)
    page, linked = Page(path), [link for link in Page(path).all("href") if link.endswith(".png")]
    assert path.stat().st_size <= 250_000
    assert f"{len(linked)} figures would make this page larger than 0.25 MB and are linked." in page.text
    assert len(linked) > 5
    assert all((path.parent / link).is_file() for link in linked)
    assert page.tags.count("img") > 1  # what stands first is in it


def test_long_lists_are_cut(full_tree, tmp_path, monkeypatch):
    folder, study = full_tree
    shutil.copytree(folder / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    path = Path(Paths("full", study.name).audit)
    audit = json.loads(path.read_text())
    audit["unreadable"] = [{"sample": f"train/{number:05d}.jpg", "problem": "truncated"} for number in range(5000)]
    path.write_text(json.dumps(audit))
    report(study)
    page = Page(Paths("full", study.name).page)
    assert "5,000 files, left out" in page.text
    assert "train/00199.jpg" in page.text
    assert "train/00200.jpg" not in page.text
    assert "and 4,800 more" in page.text
