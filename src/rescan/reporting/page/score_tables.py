"""The tables of one arm's scores: by head, endpoint, level, class, subgroup and part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rescan.catalogue import READERS
from rescan.reporting.text import arm_words, words
from rescan.reporting.text.words import Quantity
from rescan.results.metrics_file import Estimate, Metrics, Scores
from rescan.results.posttraining import Posttraining
from rescan.study import Study

BY_LEVEL = ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "sensitivity", "specificity", "auroc")
BY_RULE = ("accuracy", "kappa", "sensitivity", "specificity", "auroc")  # where studies or patients have several images
RULES = {"majority": "by majority", "consistent": "of one label only, by majority"}
TURNED_AROUND = ("specificity", "npv", "auroc")  # of one of two classes: sensitivity, PPV and AUROC of the other
LONG = 8  # rows; longer tables of subgroups are folded
ENDPOINT = ("auroc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "macro_f1", "kappa", "mcc", "auprc")
OF_TWO_CLASSES = {"f1": "F1", "kappa": "kappa, quadratic or not"}  # what these metrics are of an endpoint
MAJORITY = (
    "By majority: what most images are called; a tie goes to the mean probability. The truth is what most images' "
    "labels say; studies and patients whose labels tie are left out. Intervals are over patients."
)
SUBGROUPS = (
    "Where a subgroup lacks a class, only what is defined without it is shown. Many subgroups are compared: some "
    "differ by chance."
)
LABELS = (
    "Each label against its absence; n: images that have it. Means over the labels stand in the other tables. A metric "
    "is undefined where the part lacks images with the label, or without it."
)
ENDPOINTS = (
    "Two answers each: at least this grade, or below it. Sensitivity, specificity, PPV, NPV and AUROC are of those at "
    "least this grade."
)


@dataclass(frozen=True)
class Heading:
    """The head of a column of numbers, and what stands below it in small."""

    title: str
    note: str = ""


@dataclass(frozen=True)
class ScoreRow:
    """A row.

    Attributes:
        texts: What stands in the columns of texts, the row's name first.
        cells: Counts and quantities; None for what does not apply.
        note: What stands behind the name in small.
        reference: Whether the other rows are compared with this one.
    """

    texts: tuple[str, ...]
    cells: Sequence[int | Quantity | None]
    note: str = ""
    reference: bool = False


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores.

    Attributes:
        title: Stands above it.
        texts: The heads of the columns of texts.
        numbers: The heads of the columns of numbers.
        rows: Its rows.
        captions: Stand below it.
        folded: Whether the reader opens it.
        stacked: Whether intervals stand below their values.
    """

    title: str
    texts: tuple[str, ...]
    numbers: Sequence[Heading]
    rows: Sequence[ScoreRow]
    captions: Sequence[str] = ()
    folded: bool = False
    stacked: bool = True


def score_tables(study: Study, metrics: Metrics, fitted: Posttraining | None) -> list[ScoreTable]:
    """The tables of an arm that apply to it, in the order of the page."""
    tables = [
        _by_head(metrics),
        _by_endpoint(metrics),
        _by_level(study, metrics),
        _by_class(metrics),
        *_subgroups(study, metrics),
        _by_part(study, metrics, fitted),
    ]
    return [table for table in tables if table is not None]


def _headings(names: Sequence[str], *, n: bool = False) -> list[Heading]:
    return [*([Heading("n")] if n else []), *(Heading(words.metric(name)) for name in names)]


def _by_head(metrics: Metrics) -> ScoreTable | None:
    """A row per part and head: how the same networks score when another head is read."""
    entries = [
        (part, head, scores[part].metrics, number == 0)
        for part in ("test", "validation")
        for number, (head, scores) in enumerate(metrics.heads.items())
        if part in scores
    ]
    if not entries:
        return None
    names = list(entries[0][2])
    rows = [
        ScoreRow((READERS[head].title, part), [scores.get(name) for name in names], "(the arm's own)" if own else "")
        for part, head, scores, own in entries
    ]
    return ScoreTable("By head", ("Read from", "Part"), _headings(names), rows)


def _by_endpoint(metrics: Metrics) -> ScoreTable | None:
    """A column per endpoint, part and level, a row per metric."""
    headings: list[Heading] = []
    columns: list[Mapping[str, Quantity]] = []
    for name, endpoint in metrics.endpoints.items():
        for part in ("test", "validation"):
            for level, scores in endpoint.parts.get(part, {}).items():
                if part == "test" or level == "image":
                    where = words.part(part, level, "image")
                    headings.append(Heading(words.spaced(name), f"≥ {endpoint.lowest}; {where}, n = {scores.n:,}"))
                    columns.append(_with_f1(scores, name))
    if not columns:
        return None
    names = [name for name in ENDPOINT if any(name in column for column in columns)]
    rows = [
        ScoreRow((OF_TWO_CLASSES.get(name, words.metric(name)),), [column.get(name) for column in columns])
        for name in names
    ]
    return ScoreTable("Endpoints", ("Metric",), headings, rows, [ENDPOINTS])


def _with_f1(scores: Scores, endpoint: str) -> Mapping[str, Quantity]:
    """The metrics of an endpoint, with the F1 of its positive answers."""
    macro = scores.metrics.get("macro_f1")
    own = macro.classes.get(endpoint) if macro else None
    return {**scores.metrics, **({"f1": own} if own else {})}


def _by_level(study: Study, metrics: Metrics) -> ScoreTable | None:
    """A row per level of the test part, and out of fold, where patches, eyes or patients differ from samples."""
    test = metrics.parts.get("test", {})
    if "image" not in test or len({scores.n for scores in test.values()}) < 2:
        return None
    by_rule = any(scores.majority or scores.consistent for scores in test.values())
    columns = dict.fromkeys([study.metric, *(BY_RULE if by_rule else BY_LEVEL)])
    names = [name for name in columns if name in test["image"].metrics]
    rows = []
    for part in ("test", "out_of_fold", "validation", "train") if by_rule else ("test", "out_of_fold"):
        for level, whole in metrics.parts.get(part, {}).items():
            for rule, scores in _by_rule(whole):
                texts = (level.replace("image", words.noun(study)) + rule, words.part(part, "", ""))
                rows.append(ScoreRow(texts, [scores.n, *(scores.metrics.get(name) for name in names)]))
    captions = [MAJORITY] if by_rule else []
    if metrics.positive_class and ("sensitivity" in names or "specificity" in names):
        captions.append(f"The positive class is “{metrics.positive_class}”: sensitivity is its share that is found.")
    return ScoreTable("By level", ("Level", "Part"), _headings(names, n=True), rows, captions)


def _by_rule(scores: Scores) -> list[tuple[str, Scores]]:
    """A level's scores, and those of other rules, each with what tells it apart."""
    others = [(f", {text}", other) for rule, text in RULES.items() if (other := getattr(scores, rule))]
    if scores.consistent and scores.consistent.n == scores.n:  # all have one label
        others.pop()
    return [(", by mean probability" if others else "", scores), *others]


def _by_class(metrics: Metrics) -> ScoreTable | None:
    """A row per class: its items and those metrics that have a value per class."""
    test = metrics.scores()
    same = TURNED_AROUND if metrics.positive_class else ()
    of_classes = {
        name: metric for name, metric in (test.metrics if test else {}).items() if metric.classes and name not in same
    }
    if not of_classes:
        return None
    confusion, labels = metrics.confusion.get("test"), metrics.label_counts.get("test", {})
    if confusion:
        labels = {name: round(sum(row)) for name, row in zip(metrics.classes, confusion)}
    rows = [
        ScoreRow((name,), [labels.get(name), *(metric.classes.get(name) for metric in of_classes.values())])
        for name in metrics.classes
    ]
    headings = [Heading("n"), *(Heading(words.metric(name).replace("macro ", "")) for name in of_classes)]
    if metrics.label_counts:
        return ScoreTable("By label, test", ("Label",), headings, rows, [LABELS])
    return ScoreTable("By class, test", ("Class",), headings, rows)


def _subgroups(study: Study, metrics: Metrics) -> list[ScoreTable]:
    """For the test part, and out of fold: subgroups by how images were taken, then folded those by other columns."""
    tables = []
    for part, level, columns in (
        ("test", "image", metrics.subgroups),
        ("test", "study", metrics.subgroups_of_studies),
        ("out_of_fold", "image", metrics.subgroups_out_of_fold),
    ):
        for acquisition in (True, False):
            own = {name: of for name, of in columns.items() if words.is_of_acquisition(name) == acquisition}
            whole = metrics.scores(part, level)
            if own and whole:
                by = words.listed([words.known_column(name) for name in own])
                title = f"By {by}, {words.part(part, level, 'image')}"
                names, rows = _subgroup_rows(study, own, whole)
                folded = not acquisition or len(rows) > LONG
                heads = ("Subgroup", "")
                tables.append(ScoreTable(title, heads, _headings(names, n=True), rows, [SUBGROUPS], folded))
    return tables


def _subgroup_rows(
    study: Study, columns: Mapping[str, Mapping[str, Scores]], whole: Scores
) -> tuple[list[str], list[ScoreRow]]:
    """The metrics that subgroups have, and a row per subgroup, after that of all; a column's name stands once."""
    entries = [("All", "", whole)]
    for name, values in columns.items():
        titles = [words.column(name), *[""] * (len(values) - 1)]
        entries += [(title, value, scores) for title, (value, scores) in zip(titles, values.items())]
    of_subgroups = {name for _, _, scores in entries[1:] for name in scores.metrics}
    names = [name for name in dict.fromkeys([study.metric, *BY_LEVEL]) if name in of_subgroups]
    rows = [
        ScoreRow((title, value), [scores.n, *(scores.metrics.get(name) for name in names)], reference=number == 0)
        for number, (title, value, scores) in enumerate(entries)
    ]
    return names, rows


def _by_part(study: Study, metrics: Metrics, fitted: Posttraining | None) -> ScoreTable | None:
    """A column per part and level, a row per metric: all that is known."""
    columns: dict[str, Mapping[str, Estimate]] = {
        words.part(part, level, "image"): scores.metrics
        for part, levels in metrics.parts.items()
        for level, scores in levels.items()
    }
    if not columns:
        return None
    names = dict.fromkeys(name for column in columns.values() for name in column)
    order = {study.metric: -1, "one_hot_accuracy": 1}  # the first metric; and last what is no accuracy
    rows = [
        ScoreRow((words.metric(name),), [column.get(name) for column in columns.values()])
        for name in sorted(names, key=lambda name: order.get(name, 0))
    ]
    caption = arm_words.parts_caption(study, metrics, fitted)
    headings = [Heading(title) for title in columns]
    return ScoreTable("All metrics, every part", ("Metric",), headings, rows, [caption], folded=True, stacked=False)
