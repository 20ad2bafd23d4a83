"""The table of a study's arms, with references for their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rescan.reporting.text import arm_words, words
from rescan.reporting.text.references import baselines, constant, repeated_labels
from rescan.reporting.text.words import Quantity, Value, landis_koch, number
from rescan.results.audit_report import AuditReport
from rescan.results.metrics_file import Estimate, Metrics
from rescan.study import Study

UNORDERED = ("accuracy", "runs", "seed_sd", "macro_f1", "auroc", "loss")  # the columns
GRADED = ("quadratic_kappa", "landis_koch", "accuracy", "macro_f1", "auroc", "read_from", "runs", "seed_sd")
SEVERAL = ("auroc", "auprc", "macro_f1", "sensitivity", "specificity", "runs", "seed_sd")  # of labels, means
TITLES = {
    "landis_koch": "Landis–Koch",
    "read_from": "Read from",
    "runs": "Runs",
    "seed_sd": "SD over seeds",
    "macro_f1": "Macro F1",
}


@dataclass(frozen=True)
class ArmsRow:
    """A row.

    Attributes:
        name: The arm, or the reference.
        cells: A quantity or a text per column; None where unknown.
        notes: Lines below the name.
        link: The id of the arm's section; "" if it has none.
        strong: What must stand beside the first number.
        reference: Whether it is a reference, or a second score of the arm above.
        of: That arm.
    """

    name: str
    cells: Sequence[Quantity | str | None]
    notes: Sequence[str] = ()
    link: str = ""
    strong: str = ""
    reference: bool = False
    of: str = ""


@dataclass(frozen=True)
class ArmsTable:
    """The titles of the columns, and the rows: arms, then references."""

    columns: Sequence[str]
    rows: Sequence[ArmsRow]


def arms_table(
    study: Study, arms: Mapping[str, Metrics], missing: Sequence[str], audit: AuditReport | None
) -> ArmsTable:
    """Make the table.

    Args:
        study: The study.
        arms: The results of the arms that have some, by the ids of their sections.
        missing: The arms that have none.
        audit: The audit, if there is one.
    """
    columns = list(GRADED if study.data.ordered else SEVERAL if study.data.multilabel else UNORDERED)
    if (
        not study.data.multilabel
        and any(arm.head != "classification" for arm in arms.values())
        and "read_from" not in columns
    ):
        columns.append("read_from")
    endpoint = _endpoint(study)
    titles = {**TITLES, "auroc": f"AUROC, {words.spaced(endpoint)}" if endpoint else "AUROC"}
    titles[columns[0]] = f"Test {words.metric(columns[0])}"
    rows = []
    for link, arm in arms.items():
        test, reads = arm.scores(), arm_words.reads(study, arm.arm)
        metrics = dict(test.metrics) if test else {}
        if endpoint:
            of_endpoint = arm.scores(endpoint=endpoint)
            metrics = _with_area(metrics, of_endpoint.metrics.get("auroc") if of_endpoint else None)
        cells = _cells(columns, arm, metrics)
        rows.append(ArmsRow(arm.arm, cells, [reads] if reads else [], link, arm_words.note(arm)))
        if apart := arm.scores("out_of_fold"):
            metrics = _with_area(apart.metrics, None) if endpoint else apart.metrics
            notes = [f"{apart.n:,} {words.noun(study)}s"]
            rows.append(
                ArmsRow(f"{arm.arm}, out of fold", _cells(columns, arm, metrics), notes, reference=True, of=arm.arm)
            )
    rows += [ArmsRow(arm, ["not run", *[""] * (len(columns) - 1)]) for arm in missing]
    rows += _references(study, list(arms.values()), audit, columns)
    return ArmsTable([titles.get(name, words.title(name)) for name in columns], rows)


def _endpoint(study: Study) -> str | None:
    """The endpoint whose AUROC stands in the table."""
    names = list(study.data.endpoints)
    return "referable" if "referable" in names else names[-1] if names else None


def _with_area(metrics: Mapping[str, Estimate], area: Estimate | None) -> dict[str, Estimate]:
    """Metrics with an endpoint's area in place of the classes'."""
    others = {name: metric for name, metric in metrics.items() if name != "auroc"}
    return {**others, "auroc": area} if area else others


def _cells(columns: Sequence[str], arm: Metrics, metrics: Mapping[str, Estimate]) -> list[Quantity | str | None]:
    first = metrics.get(columns[0])
    texts = {
        "landis_koch": landis_koch(first.value if first else None),
        "read_from": "linear neuron" if arm.head == "linear" else arm.head,
        "runs": str(len((first and first.runs) or arm.runs)),
        "seed_sd": number(first.seed_sd if first else None),
    }
    return [texts[name] if name in texts else metrics.get(name) for name in columns]


def _references(
    study: Study, arms: Sequence[Metrics], audit: AuditReport | None, columns: Sequence[str]
) -> list[ArmsRow]:
    """References for the scores: file metadata, repeated labels, one constant answer."""
    rows = []

    def add(name: str, metrics: Mapping[str, Quantity], *notes: str) -> None:
        kappa = metrics["quadratic_kappa"].value if "quadratic_kappa" in metrics else None
        cells: dict[str, Quantity | str] = {**metrics, "landis_koch": landis_koch(kappa or None)}
        rows.append(ArmsRow(name, [cells.get(column, "–") for column in columns], notes, reference=True))

    if study.data.ordered and audit:
        if metadata := audit.confounds.quadratic_kappa:
            features = ", ".join(audit.confounds.features or ())
            note = f"{features}; cross-validated on all labeled samples"
            add("File metadata alone", {"quadratic_kappa": metadata}, note)
        if (repeated := repeated_labels(audit)) is not None:
            identical = audit.identical
            note = f"{identical.conflicting_pairs:,} of {identical.pairs:,} pairs have different labels"
            add("Labels of identical images", {"quadratic_kappa": Value(repeated)}, note)
    for part in ("test", "out_of_fold"):
        where = "" if part == "test" else f", {words.part(part, '', '')}"
        for column, metrics in baselines(arms, part).items():
            note = "the class that is the most frequent with it in training"
            add(f"{words.column(column)} alone{where}", metrics, note)
    if always := constant(arms):
        name, share = always
        f1 = 2 * share / (1 + share) / len(study.data.classes)
        values = {"accuracy": Value(share), "macro_f1": Value(f1), "quadratic_kappa": Value(0.0)}
        add(f"Always “{name}”", values)
    return rows
