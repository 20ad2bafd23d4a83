"""The answer to a study: a few sentences, the table of its arms and references, and what each choice costs."""

from __future__ import annotations

from typing import Any

from rescan.reporting.text import words
from rescan.reporting.text.words import (
    change,
    difference,
    interval,
    landis_koch,
    metric,
    number,
    percent,
    spaced,
    title,
)
from rescan.results.audit_report import AuditReport
from rescan.study import Study

Found = dict[str, Any]
VERDICTS = ("reproduced", "lower", "higher", "inconclusive", "not comparable", "not run")
UNORDERED = ("accuracy", "runs", "seed_sd", "macro_f1", "auroc", "loss")  # the table's columns
GRADED = ("quadratic_kappa", "landis_koch", "accuracy", "macro_f1", "auroc", "read_from", "runs", "seed_sd")
TITLES = {
    "landis_koch": "Landis–Koch",
    "read_from": "Read from",
    "runs": "Runs",
    "seed_sd": "SD over seeds",
    "macro_f1": "Macro F1",
}


def constant(results: list[Found]) -> tuple[str, float] | None:
    """The most frequent class of the test part and the accuracy of always answering it."""
    for arm in results:
        if arm["confusion"] and arm["n"]:
            totals = [sum(row) for row in arm["confusion"]]
            most = max(range(len(totals)), key=totals.__getitem__)
            return arm["classes"][most], totals[most] / sum(totals)
    return None


def metadata_alone(audit: AuditReport | None) -> Found | None:
    """The quadratic kappa, with its interval, that the files' metadata alone reach, if the audit knows it."""
    kappa = audit.confounds.quadratic_kappa if audit else None
    return kappa.model_dump() if kappa else None


def repeated_labels(audit: AuditReport | None) -> float | None:
    """The quadratic kappa of identical images' labels, if there are any of grades."""
    return audit.identical.quadratic_kappa if audit else None


def alone(results: list[Found], part: str = "test") -> dict[str, Found]:
    """What the field of view, site and device predict by themselves: metrics by column, as the first arm has them."""
    known: Found = next((arm["baselines"] for arm in results if arm["baselines"]), {})
    return {name: parts[part]["metrics"] for name, parts in known.items() if part in parts}


def sentences(
    study: Study,
    results: list[Found],
    published: list[Found],
    claims: list[Found],
    audit: AuditReport | None,
    *,
    phantom: bool,
) -> list[str]:
    """Say what the study's results are."""
    said = []
    if study.scale == "demo":
        data = "synthetic phantoms and a small recipe" if phantom else "real data, small recipe"
        said.append(f"Demo: {data}; not compared with published numbers.")
    scored = [arm for arm in results if arm["test"].get(study.metric, {}).get("value") is not None]
    if not scored:
        said.append("No arm has test results yet.")
    elif study.metric == "quadratic_kappa":
        said += _of_grades(scored, audit)
    else:
        said += _of_classes(scored)
    verdicts = [row["verdict"] for row in published]
    tally = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in verdicts)
    if tally:
        said.append(f"Of {len(verdicts)} published number{'s' if len(verdicts) > 1 else ''}: {tally}.")
    return said + _of_claims(claims, ", judged here on phantoms" if phantom else "")


def _of_claims(claims: list[Found], on: str) -> list[str]:
    """A sentence for each published claim, on the test part and out of fold."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in claims:
        test = row["part"] == "test"
        what = f"paired difference of {metric(row['metric'])}" if test else words.part(row["part"], "", "")
        if row["difference"] is None:
            judged = f"{'' if test else f'{what}: '}{row['verdict']} ({row['reason']})"
        else:
            judged = f"{what} {change(row)}: {row['verdict']}"
        found.setdefault((row["arm"], row["against"], row["metric"]), []).append(judged)
    return [
        f"The published claim that {better} scores better than {than}{on}: {'; '.join(judged)}."
        for (better, than, _), judged in found.items()
    ]


def _of_classes(scored: list[Found]) -> list[str]:
    """Test accuracy of the arms, next to that of always giving the most frequent answer."""
    low, high = (choose(scored, key=lambda arm: arm["test"]["accuracy"]["value"]) for choose in (min, max))
    always = constant(scored)
    beside = f"; always answering “{always[0]}” would be right for {percent(always[1])}" if always else ""
    if len(scored) == 1:
        value = low["test"]["accuracy"]
        arms = f"{low['name']} is right on {percent(value['value'])} of {low['n']:,} test samples"
        if value.get("low") is not None:
            arms += f" (95 % interval {100 * value['low']:.1f}–{percent(value['high'])})"
        arms += f", {_runs(low)}"
    else:
        ends = [f"{percent(arm['test']['accuracy']['value'])} ({arm['name']})" for arm in (low, high)]
        arms = f"Test accuracy of {len(scored)} arms goes from {' to '.join(ends)}"
    weak = [arm["name"] for arm in scored if always and (arm["test"]["accuracy"].get("low") or 0) <= always[1]]
    doubt = [f"Not shown to be better than that constant answer: {', '.join(weak)}."] if weak else []
    return [f"{arms}{beside}.", *doubt, *_beside_alone(scored, "accuracy")]


def _beside_alone(scored: list[Found], name: str) -> list[str]:
    """What a confound predicts without the image, and which arms are not shown to be better."""
    said = []
    for column, metrics in alone(scored).items():
        if (value := metrics.get(name, {}).get("value")) is not None:
            reached = percent(value) if name == "accuracy" else number(value, 2)
            said.append(f"The {words.known_column(column)} alone reaches {reached}.")
            weak = [arm["name"] for arm in scored if (low := arm["test"][name].get("low")) is None or low <= value]
            if weak:
                said[-1] = f"{said[-1][:-1]}; not shown to be better: {', '.join(weak)}."
    return said


def _of_grades(scored: list[Found], audit: AuditReport | None) -> list[str]:
    """Quadratic kappa of the arms in words, next to that of file metadata, of repeated labels and of one answer."""
    values = {arm["name"]: arm["test"]["quadratic_kappa"] for arm in scored}
    low, high = (choose(scored, key=lambda arm: values[arm["name"]]["value"]) for choose in (min, max))
    named = [
        f"{number(values[arm['name']]['value'], 2)} ({arm['name']}, {landis_koch(values[arm['name']]['value'])})"
        for arm in (low, high)
    ]
    value = values[low["name"]]
    alone = (
        f"{low['name']} agrees with the labels of {low['n']:,} test samples with a quadratic kappa of "
        f"{number(value['value'], 2)} {interval(value)}: {landis_koch(value['value'])}; {_runs(low)}."
    )
    many = f"Test quadratic kappa of {len(scored)} arms goes from {' to '.join(named)}."
    said, beside, bar = [alone if len(scored) == 1 else many], [], 0.0
    if metadata := metadata_alone(audit):
        beside.append(f"File metadata alone reach {number(metadata['value'], 2)} {interval(metadata)}, cross-validated")
        bar = max(bar, metadata["value"])
    if (repeated := repeated_labels(audit)) is not None:
        beside.append(f"the labels of identical images agree with {number(repeated, 2)}")
    if always := constant(scored):
        beside.append(f"always answering “{always[0]}” has 0, and is right for {percent(always[1])}")
    if beside:
        said.append("; ".join(beside)[:1].upper() + "; ".join(beside)[1:] + ".")
    weak = [name for name, value in values.items() if value.get("low") is None or value["low"] <= bar]
    if weak:
        said.append(f"Not shown to be better than {'metadata alone' if bar else 'chance'}: {', '.join(weak)}.")
    return said + _beside_alone(scored, "quadratic_kappa")


def _runs(arm: Found) -> str:
    return f"mean over {len(arm['runs'])} runs" if len(arm["runs"]) > 1 else "one run"


def table(study: Study, results: list[Found], missing: list[str], audit: AuditReport | None) -> Found:
    """The table of the arms: `columns` (titles) and `rows`; each row has name, link, notes and cells.

    A cell is a metric with value, low and high, or a text. References, that no arm is trained for, come last.
    """
    columns = list(GRADED if study.data.ordered else UNORDERED)
    if any(arm["head"] != "classification" for arm in results) and "read_from" not in columns:
        columns.append("read_from")
    endpoint = _endpoint(study)
    titles = {**TITLES, "auroc": f"AUROC, {spaced(endpoint)}" if endpoint else "AUROC"}
    first = {columns[0]: f"Test {metric(columns[0])}"}
    rows = []
    for arm in results:
        notes = [arm["reads"]] if arm["reads"] else []
        rows.append(_row(arm["name"], notes, _cells(columns, arm, arm["test"], endpoint), link=arm["id"]))
        rows[-1]["strong"] = arm["note"]
        if apart := arm["out_of_fold"]:
            notes = [f"{apart['n']:,} {words.noun(study)}s"]
            cells = _cells(columns, {**arm, "endpoints": {}}, apart["metrics"], endpoint)
            rows.append(_row(f"{arm['name']}, out of fold", notes, cells, soft=True))
    rows += [_row(arm, [], ["not run", *[""] * (len(columns) - 1)]) for arm in missing]
    rows += _references(study, results, audit, columns)
    return {"columns": [{**titles, **first}.get(name, title(name)) for name in columns], "rows": rows}


def _row(name: str, notes: list[str], cells: list[Any], *, link: str = "", soft: bool = False) -> Found:
    return {"name": name, "link": link, "notes": notes, "strong": "", "cells": cells, "soft": soft}


def _endpoint(study: Study) -> str | None:
    """The endpoint whose AUROC stands in the table."""
    names = list(study.data.endpoints)
    return "referable" if "referable" in names else names[-1] if names else None


def _cells(columns: list[str], arm: Found, metrics: Found, endpoint: str | None) -> list[Any]:
    first = metrics.get(columns[0], {})
    texts = {
        "landis_koch": landis_koch(first.get("value")),
        "read_from": "linear neuron" if arm["head"] == "linear" else arm["head"],
        "runs": str(len(first.get("runs") or arm["runs"])),
        "seed_sd": number(first.get("seed_sd")),
    }
    found = {**metrics, **texts}
    if endpoint:
        parts = arm["endpoints"].get(endpoint, {}).get("parts", {}).get("test", {})
        found["auroc"] = parts.get("image", {}).get("metrics", {}).get("auroc")
    return [found.get(name) for name in columns]


def _references(study: Study, results: list[Found], audit: AuditReport | None, columns: list[str]) -> list[Found]:
    """What the arms are to be seen beside: file metadata, repeated labels, one constant answer."""
    rows = []

    def add(name: str, notes: list[str], values: Found) -> None:
        kappa = values.get("quadratic_kappa", {}).get("value")
        values["landis_koch"] = landis_koch(kappa or None)
        rows.append(_row(name, notes, [values.get(column, "–") for column in columns], soft=True))

    if study.data.ordered and audit and (metadata := metadata_alone(audit)):
        features = ", ".join(audit.confounds.features or [])
        notes = [f"{features}; cross-validated on all labeled samples"]
        add("File metadata alone", notes, {"quadratic_kappa": metadata})
    if study.data.ordered and audit and (repeated := repeated_labels(audit)) is not None:
        identical = audit.identical
        notes = [f"{identical.conflicting_pairs:,} of {identical.pairs:,} pairs have different labels"]
        add("Labels of identical images", notes, {"quadratic_kappa": {"value": repeated}})
    for part in ("test", "out_of_fold"):
        for column, metrics in alone(results, part).items():
            of = "" if part == "test" else f", {words.part(part, '', '')}"
            notes = ["the class that is the most frequent with it in training"]
            add(f"{words.column(column)} alone{of}", notes, dict(metrics))
    if always := constant(results):
        name, share = always
        f1 = 2 * share / (1 + share) / len(study.data.classes)
        values = {"accuracy": {"value": share}, "macro_f1": {"value": f1}, "quadratic_kappa": {"value": 0.0}}
        add(f"Always “{name}”", [], values)
    return rows


def costs(study: Study, comparison: list[Found]) -> list[str]:
    """A sentence for each pair of arms that was compared: what the choice changes in the first metric."""
    said = []
    asked = {arm for ablation in study.ablations.values() for arm in ablation.arms}  # said with their question
    for row in comparison:
        if row["kind"] not in ("arms", "leak") or row["arm"] in asked:
            continue
        if row["metric"] != study.metric or row["verdict"] == "not run":
            continue
        if row["difference"] is None:
            said.append(f"{row['arm']}: not comparable with {row['against']} ({row['reason']}).")
            continue
        if row["kind"] == "leak":
            what = f"Relatives of test samples in training ({row['arm']} less {row['against']}) are worth"
            choice = f"{what} {change(row)} of {metric(study.metric)}"
        else:
            choice = f"{row['arm']} changes test {metric(study.metric)} by {change(row)} against {row['against']}"
        said.append(f"{choice}: {difference(row['verdict'])}.")
    return said


def references(study: Study, results: list[Found], audit: AuditReport | None) -> list[tuple[str, float]]:
    """The same references as lines of the forest plot: label and value of the first metric."""
    beside = [
        (f"{words.known_column(name)} alone", metrics[study.metric]["value"])
        for name, metrics in alone(results).items()
        if metrics.get(study.metric, {}).get("value") is not None
    ]
    if not study.data.ordered:
        always = constant(results)
        return [*([(f"always “{always[0]}”", always[1])] if always else []), *beside]
    metadata, repeated = metadata_alone(audit), repeated_labels(audit)
    lines = [("file metadata alone", metadata["value"])] if metadata else []
    return [*lines, *([("labels of identical images", repeated)] if repeated is not None else []), *beside]
