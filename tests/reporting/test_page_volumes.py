"""The page of a study of volumes: levels, subgroups, what the field of view says alone, claims, autoencoders."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from volume_tree import SKILL, samples

from rescan.paths import Paths
from rescan.reporting.page.report import report
from rescan.results.metrics_file import Estimate, Metrics
from rescan.study import Study


@pytest.fixture(scope="module")
def page(octa: tuple[Path, Study]) -> str:
    return (octa[0] / "results/demo/octa/index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def text(page: str) -> str:
    """The page's words, a blank between elements."""
    visible = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", visible)).split())


def of_arm(octa: tuple[Path, Study], arm: str) -> Metrics:
    return Metrics.read(octa[0] / Paths("demo", "octa").arm(arm).metrics)


def text_of(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def test_claims_are_judged_in_a_sentence_and_a_table(octa: tuple[Path, Study], text: str) -> None:
    table = pd.read_csv(octa[0] / Paths("demo", "octa").comparison).query("kind == 'claim'").set_index("part")
    test, pooled = table.loc["test"].iloc[0], table.loc["out_of_fold"]
    numbers = [f"{test[f'difference{end}']:.2f}" for end in ("", "_low", "_high")]
    rest = [f"{pooled[f'difference{end}']:.2f}" for end in ("", "_low", "_high")]
    assert (
        "The published claim that deep scores better than flat, judged here on phantoms: paired difference of balanced "
        f"accuracy +{numbers[0]} ({numbers[1]} to {numbers[2]}): supported; out of fold +{rest[0]} ({rest[1]} to "
        f"{rest[2]}): supported."
    ) in text
    assert "better than deep, judged here on phantoms: not run (no test result of seen)." in text
    assert "deep better than flat the text balanced accuracy test" in text
    assert "supported demo: phantoms and a small recipe; 2 seeds: their spread is known only roughly" in text
    assert "changes test balanced accuracy" not in text  # a claim is no choice


def test_what_the_field_of_view_says_alone_stands_beside_the_arms(octa: tuple[Path, Study], text: str) -> None:
    fov = of_arm(octa, "deep").baselines["fov"]
    value = fov["test"].metrics["accuracy"]
    arms = {name: of_arm(octa, name).parts["test"]["image"].metrics["accuracy"] for name in SKILL}
    unshown = [name for name, accuracy in arms.items() if accuracy.low <= value.value]
    assert "flat" in unshown
    assert (
        f"The field of view alone reaches {100 * value.value:.1f} %; not shown to be better: {', '.join(unshown)}."
        in text
    )
    assert f"Field of view alone the class that is the most frequent with it in training {text_of(value)}" in text
    pooled = fov["out_of_fold"].metrics["accuracy"]
    assert (
        f"Field of view alone, out of fold the class that is the most frequent with it in training {text_of(pooled)}"
        in text
    )


def test_levels_of_patches(octa: tuple[Path, Study], text: str) -> None:
    test = of_arm(octa, "patched").parts["test"]
    assert list(test) == ["patch", "image", "patient"]
    section = text[text.index("Arm: patched accuracy") :]
    for level, name, n in (
        ("patch", "patch", 160),
        ("image", "sample", 40),
        ("patient", "patient, by mean probability", 8),
    ):
        assert f"{name} test {n} {text_of(test[level].metrics['accuracy'])}" in section
    assert f"Test accuracy {text_of(test['image'].metrics['accuracy'])} on 40 samples." in section


def test_subgroups_by_field_of_view_are_open_and_the_others_folded(
    octa: tuple[Path, Study], page: str, text: str
) -> None:
    subgroups = of_arm(octa, "flat").subgroups
    assert "<h4>By field of view, test</h4>" in page
    assert "<details><summary>By sex, age and eye, test</summary>" in page
    assert "<details><summary>By sex, age and eye, out of fold</summary>" in page
    for value in ("3mm", "6mm"):
        scores = subgroups["fov"][value]
        accuracy, balanced = (text_of(scores.metrics[name]) for name in ("accuracy", "balanced_accuracy"))
        assert f"{value} {scores.n} {accuracy} {balanced}" in text


def test_dropped_labels_and_classes_by_field_of_view(text: str) -> None:
    assert "Labels of the source that the study drops: CNV (5 samples), OTHERS (96 samples)." in text
    counts = pd.crosstab(samples()["fov"], samples()["label"])
    for fov in ("3mm", "6mm"):
        normal, abnormal = counts.loc[fov, "normal"], counts.loc[fov, "abnormal"]
        assert f"{fov} {normal} {abnormal} {normal + abnormal}" in text
    assert "Samples of each class by sex" in text
    assert "Identical volumes 0 pairs." in text


def test_autoencoders_and_what_they_have_seen(page: str, text: str) -> None:
    section = text[text.index("Autoencoders own used by started") : text.index("Arm: deep accuracy")]
    own, leaky = section.split("leaky used by seen")
    assert "It has seen training samples only" in own
    assert "Fold 0, seed 0: validation mean squared error 0.0125 at epoch 2 of 3, of normalized images." in own
    assert "leak" not in own
    assert "It has seen the test part, without its labels: a leak" in leaky
    assert "the validation part was trained on" in leaky
    assert page.count('alt="own: Validation samples and what the autoencoder makes of them, equally brightened."') == 1


def test_a_browser_of_slices_brings_its_script_and_nothing_from_outside(page: str) -> None:
    assert page.count("<canvas") == 1
    assert page.count("<script>") == 1
    data = re.findall(r'<script type="application/json">(.*?)</script>', page, flags=re.DOTALL)
    assert [json.loads(one)["title"] for one in data] == ["s0 </script>"]
    links = re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert [link for link in links if not link.startswith('href="tables/')] == ['href="../../index.html"']
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_an_autoencoder_that_has_not_run(
    octa: tuple[Path, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report(octa[1])
    page = Path("results/demo/octa/index.html").read_text("utf-8")
    assert page.count("<p>Not run.</p>") >= 2
    assert "judged here on phantoms: not run (not compared yet)." in page
