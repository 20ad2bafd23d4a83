"""What the page offers for a paper: methods, tables, citations, checklists and the command, of whole result trees."""

from __future__ import annotations

import csv
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from rescan.paths import Paths
from rescan.reporting.checklists.checklist_answers import explainability, updating
from rescan.reporting.checklists.claim_2024 import CLAIM
from rescan.reporting.checklists.items import filled
from rescan.reporting.checklists.tripod_ai import TRIPOD
from rescan.reporting.page.paper_view import paper_view, write_paper
from rescan.reporting.page.study_view import study_view
from rescan.reporting.tables.decision_exports import decision_tables
from rescan.reporting.text import recipe_words
from rescan.reporting.text.arm_words import parts_caption
from rescan.reporting.text.citations import citations
from rescan.reporting.text.methods import PAST, methods, past
from rescan.reporting.text.rerun import rerun
from rescan.reporting.text.run_facts import run_facts
from rescan.results.comparison import read_comparison
from rescan.results.decisions import AtPoint, Decisions, PointLevel, PointScores
from rescan.results.metrics_file import read_metrics
from rescan.results.posttraining import Fits, FittedPoint
from rescan.study import Settings
from rescan.study.file import load

STUDIES = Path(__file__).parents[2] / "studies"
PARTS_OF = {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}  # of TRIPOD+AI's items
TRIPOD_ITEMS = [
    f"{number}{part}"
    for number in range(1, 28)
    for part in ("abcdefg"[: PARTS_OF[number]] if number in PARTS_OF else [""])
]
VERSIONS = {"numpy": "1.26.0", "pandas": "2.2.0"}


@pytest.fixture
def tumors(full_tree, monkeypatch):
    """The study of a tree, in its folder."""
    folder, study = full_tree
    monkeypatch.chdir(folder)
    return study


@pytest.fixture
def grades(graded, monkeypatch):
    """The same of grades."""
    folder, study = graded
    monkeypatch.chdir(folder)
    return study


def facts(study):
    arms = [arm for arm in study.arms if arm != "absent"]
    return run_facts(study, [read_metrics(study, arm) for arm in arms])


def table(study, name):
    with Path(Paths(study.scale, study.name).tables, f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_first_table_says_what_collapsed_and_leaves_empty_what_is_unknown(tumors):
    view = study_view(tumors)
    first = view.table.rows[0]
    row = replace(first, strong="collapsed in 1 of 1 runs", cells=["–", *first.cells[1:]])
    metrics = [read_metrics(tumors, first.name)]
    write_paper(tumors, paper_view(tumors, metrics, replace(view.table, rows=[row, *view.table.rows[1:]]), []))
    rows = table(tumors, "arms")
    assert [row["caution"] for row in rows] == [
        "collapsed in 1 of 1 runs",
        *(row.strong for row in view.table.rows[1:]),
    ]
    assert "" in rows[0].values()
    assert "–" not in {value for row in rows for value in row.values()}


def test_every_score_of_every_arm_is_in_the_tables(tumors):
    write_paper(tumors, study_view(tumors).paper)
    scores, classes = table(tumors, "scores"), table(tumors, "classes")
    for arm in ("resnet18", "vgg19"):
        metrics = read_metrics(tumors, arm)
        for part, levels in metrics.parts.items():
            for level, whole in levels.items():
                own = [row for row in scores if (row["arm"], row["part"], row["level"]) == (arm, part, level)]
                assert {row["metric"] for row in own if not row["rule"]} == {*whole.metrics}
                for row in own:
                    metric = whole.metrics[row["metric"]]
                    numbers = [float(row[name]) if row[name] else None for name in ("value", "value_low", "value_high")]
                    assert numbers == [metric.value, metric.low, metric.high]
                    assert int(row["n"]) == whole.n
                for name, metric in whole.metrics.items():
                    of = [row for row in classes if (row["arm"], row["part"], row["metric"]) == (arm, part, name)]
                    assert [float(row["value"]) if row["value"] else None for row in of] == [
                        of_class.value for of_class in metric.classes.values()
                    ]


def test_comparisons_and_published_numbers_are_in_the_tables(tumors):
    write_paper(tumors, study_view(tumors).paper)
    rows = read_comparison(Paths(tumors.scale, tumors.name).comparison)
    published = [row for row in rows if row.kind == "published"]
    assert [row["verdict"] for row in table(tumors, "published")] == [row.verdict for row in published]
    assert [float(row["published"]) for row in table(tumors, "published")] == [row.published for row in published]
    paired = [row for row in rows if row.kind == "arms"]
    assert [row["difference_low"] for row in table(tumors, "comparison")] == [
        "" if row.difference_low is None else repr(float(row.difference_low)) for row in paired
    ]


def test_calibration_and_referral_are_in_the_tables(tumors):
    write_paper(tumors, study_view(tumors).paper)
    confidence = read_metrics(tumors, "vgg19").confidence
    rows = [row for row in table(tumors, "calibration") if row["arm"] == "vgg19" and row["part"] == "test"]
    assert {row["outcome"] for row in rows} == {*confidence.calibration["test"]}
    for row in rows:
        of = getattr(confidence.calibration["test"][row["outcome"]], row["probabilities"])
        for name in ("ece", "brier", "slope", "intercept"):
            value = getattr(of, name).value
            assert row[name] == ("" if value is None else repr(value))
    kept = [row for row in table(tumors, "referral") if row["arm"] == "vgg19" and row["part"] == "test"]
    assert [float(row["accuracy"]) for row in kept] == [one.value for one in confidence.referral["test"][""].accuracy]


def test_operating_points_are_in_the_tables(tumors):
    at = AtPoint(value=0.9, low=0.8, high=0.95, runs=[0.9])
    level = PointLevel(n=9, groups=7, confusion=[[5, 1], [1, 2]], metrics={"sensitivity": at})
    numbers = {"threshold": 0.25, "scale": "probability", "prevalence": None, "predicts": False, "problem": ""}
    point = PointScores(name="youden", of="glioma", parts={"test": {"image": level}}, **numbers)
    metrics = read_metrics(tumors, "vgg19").model_copy(update={"decisions": Decisions(points=[point])})
    first = decision_tables([metrics])[0]
    about = ("vgg19", "glioma", "youden", 0.25, "probability", None, "test", "image", 9, 7)
    counts = [("found", 2), ("missed", 1), ("false alarms", 1), ("rightly not called", 5)]  # as the page calls them
    assert [*first.rows] == [(*about, "sensitivity", at), *((*about, *count) for count in counts)]


def test_endpoints_and_heads_of_grades_are_in_the_tables(grades):
    write_paper(grades, study_view(grades).paper)
    assert {row["endpoint"] for row in table(grades, "endpoints")} == {"any_disease", "referable"}
    assert {row["head"] for row in table(grades, "heads")} >= {"classification", "regression", "ordinal"}
    assert {row["arm"] for row in table(grades, "scores")} == {arm for arm in grades.arms if arm != "absent"}


def test_the_page_links_to_files_that_are_there(tumors):
    view = study_view(tumors).paper
    write_paper(tumors, view)
    folder = Path(Paths(tumors.scale, tumors.name).page).parent / view.folder
    names = {path.name for path in folder.iterdir()}
    assert {f"{one.name}{suffix}" for one in view.tables for suffix in (".csv", ".tex")} <= names
    lists = {f"{one.checklist.name}{suffix}" for one in view.checklists for suffix in (".csv", ".tex", ".md")}
    assert {"methods.txt", "cite.txt", "cite.bib"} | lists <= names


def test_methods_tell_what_was_run_and_nothing_of_an_arm_that_was_not(tumors):
    text = "\n".join(methods(facts(tumors), VERSIONS))
    for words in (
        "The training part had 120 images in 117 groups",
        "the test part had 80 images",
        "Patients were unknown; groups of near-duplicates stood for them.",
        "3 pairs of identical images (1 with different labels), 5 pairs of near-duplicates and 1 unreadable file",
        "2 arms were run: resnet18 and vgg19.",
        "all layers were trained",
        "Adam, learning rate 0.0001",
        "Arm vgg19 collapsed in 2 of 2 runs.",
        "1 fold and 2 seeds (0, 1)",
        "PyTorch 1.12.1",
        "Results were evaluated with numpy 1.26.0 and pandas 2.2.0.",
    ):
        assert words in text
    assert "absent" not in text


def test_methods_name_the_operating_points_the_tests_and_the_method_of_the_maps(tumors):
    run = facts(tumors)
    at = {"threshold": Fits(whole=0.25, crossfit=[0.2] * 5), "resampled": [0.2, 0.3], "having": 9, "lacking": 30}
    point = FittedPoint(name="sensitivity_95", of="glioma", kind="class", number=0, scale="probability", **at)
    fitted = {arm: of.model_copy(update={"points": [point]}) for arm, of in run.fitted.items()}
    maps = {arm: of.model_copy(update={"method": "hirescam", "layer": "layer2"}) for arm, of in run.maps.items()}
    assert maps
    run = replace(run, fitted=fitted, maps=maps)
    text = "\n".join(methods(run, VERSIONS))
    for words in (
        "Arm vgg19: Operating points: sensitivity_95 of glioma 0.25; fitted on the validation part's predictions",
        "Their p were those of ",
        "Holm's method adjusted those of arms against their references in accuracy.",
        "HiResCAM maps of arm resnet18 were computed (layer2, ",
        "by deletion and insertion of blurred blocks",
    ):
        assert words in text
    assert "Grad-CAM" not in text
    assert "no other update" not in updating(run)
    assert "sensitivity_95 of glioma 0.25" in updating(run)
    assert explainability(run).startswith("HiResCAM of resnet18")
    caption = parts_caption(tumors, read_metrics(tumors, "vgg19"), fitted["vgg19"])
    assert "nothing but the temperature" not in caption


def test_an_arm_is_no_difference_from_one_that_was_not_run(tumors):
    """vgg19 alone is told in full, though it is written as a difference from resnet18."""
    alone = run_facts(tumors, [read_metrics(tumors, "vgg19")])
    text = "\n".join(methods(alone, VERSIONS))
    assert "resnet18" not in text
    assert "Arm vgg19 was built and trained as follows:" in text


def test_methods_of_nothing_say_so(tumors):
    assert methods(run_facts(tumors, []), VERSIONS) == ["No arm has been run yet."]


def test_recipes_are_told_in_the_past():
    present = re.compile(rf"\b({'|'.join(PAST)})\b")
    for file in STUDIES.glob("*.yaml"):
        study = load(file, Settings("full"))
        for arm in study.arms:
            for sentence in recipe_words.sentences(study, arm).values():
                assert not present.search(past(sentence))


@pytest.mark.parametrize(
    ("checklist", "numbers"),
    [
        (CLAIM, [str(number) for number in range(1, 45)]),
        (
            TRIPOD,
            TRIPOD_ITEMS,
        ),
    ],
    ids=["claim", "tripod"],
)
def test_a_checklist_has_all_of_its_items_and_what_the_run_knows(tumors, checklist, numbers):
    """44 items of CLAIM (2024 update); 27 items of TRIPOD+AI in 52 parts."""
    done = filled(checklist, facts(tumors))
    assert [item.number for item in done.items] == numbers
    assert len(done.answered) + len(done.open) == len(numbers)
    answers = {item.topic: item.answer for item in done.items}
    assert answers["funding"] == ""
    assert answers["limitations"] == ""
    whole = " ".join(answers.values())
    assert "120 images" in whole
    assert "resnet18" in whole
    assert all(item.where for item in done.answered)
    assert not any(filled(checklist, run_facts(tumors, [])).answered)


def test_study_data_and_rescan_are_cited(tumors):
    texts = {citation.what: citation.text for citation in citations(tumors, phantom=False)}
    assert texts["The study"] == "Someone et al. 2024"
    assert "local copy" in texts["Its data"]
    assert re.search(r"Rescan contributors.*Version \d", texts["Rescan"])
    entries = [citation.bibtex for citation in citations(tumors, phantom=False)]
    for entry in entries:
        assert entry.count("{") == entry.count("}")
        assert re.match(r"@(misc|software)\{[A-Za-z0-9_-]+,\n", entry)
    assert "Its data" in {citation.what for citation in citations(tumors, phantom=True) if not citation.bibtex}


def test_addresses_of_kaggle_data_are_cited():
    study = load(STUDIES / "brain_tumor.yaml", Settings("full"))
    data = next(citation for citation in citations(study, phantom=False) if citation.what == "Its data")
    assert study.data.source.kaggle_dataset in data.text
    assert f"\\url{{https://www.kaggle.com/datasets/{study.data.source.kaggle_dataset}}}" in data.bibtex


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mura", Settings("demo")),
        ("mura", Settings("demo", seeds=[3, 4], arms=["baseline"])),
        ("octa500", Settings("demo", folds=2)),
        ("octa500", Settings("demo", task="multiclass")),
        ("brain_tumor", Settings("full", weights="none", seeds=[7])),
        ("mura", Settings("demo", seeds=[3], changes={"recipe.stages.main.optimizer.lr": 1e-4, "title": "12"})),
        ("octa500", Settings("demo", task="multiclass", changes={"arms.octa2d": {"augmentation": None}})),
    ],
)
def test_the_command_gives_this_very_study(name, settings, tmp_path, monkeypatch):
    """Read back as Snakemake reads --config, it resolves to the study that was run; it sets only what is needed."""
    from rescan.workflow.plan import Plan

    monkeypatch.chdir(tmp_path)
    study = load(STUDIES / f"{name}.yaml", settings)
    again = rerun(study, run_facts(study, []))
    assert again.exact
    entries = dict(entry.split("=", 1) for entry in shlex.split(again.command.split("--config ")[1]))
    config = {key: _yaml(value) for key, value in entries.items()}
    plan = Plan(config, STUDIES.parent, tmp_path)
    assert plan.studies[study.name] == study
    wanted = {"scale", "studies"} | {key for key in ("seeds", "folds", "arms", "weights") if getattr(settings, key)}
    wanted |= {"set"} if settings.changes else set()
    assert {*config} <= wanted | {"sources"}


def _yaml(text):
    from ruamel.yaml import YAML

    if text.startswith("{"):  # as Snakemake reads it: texts only
        return YAML(typ="base", pure=True).load(text)
    return YAML(typ="safe", pure=True).load(text)


def test_a_study_file_that_has_changed_is_no_exact_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a folder" / "own.yaml"
    file.parent.mkdir()
    text = (STUDIES / "mura.yaml").read_text("utf-8")
    file.write_text(text, "utf-8")
    study = load(file, Settings("demo"))
    assert rerun(study, run_facts(study, [])).exact
    assert shlex.quote(f"studies=['{file}']") in rerun(study, run_facts(study, [])).command
    file.write_text(text.replace("title: MURA", "title: another"), "utf-8")
    assert not rerun(study, run_facts(study, [])).exact
    file.unlink()
    assert not rerun(study, run_facts(study, [])).exact
