"""The answer to a study: a few sentences, and what each choice costs."""

from __future__ import annotations

from collections.abc import Sequence

from rescan.paths import EXTERNAL
from rescan.reporting.text import words
from rescan.reporting.text.choosing import told_apart
from rescan.reporting.text.references import baselines, constant, repeated_labels
from rescan.reporting.text.verdict_words import VERDICTS
from rescan.reporting.text.words import capitalized, change, interval, landis_koch, metric, number, percent
from rescan.reporting.text.yaml_line import flow
from rescan.results.audit_report import AuditReport
from rescan.results.choice import preferred
from rescan.results.comparison import Comparison
from rescan.results.metrics_file import Difference, Estimate, Metrics
from rescan.study import Study


def answer(
    study: Study,
    arms: Sequence[Metrics],
    comparison: Sequence[Comparison],
    published: Sequence[Comparison],
    claims: Sequence[Comparison],
    audit: AuditReport | None,
    *,
    phantom: bool,
) -> list[str]:
    """Say what the study's results are: the first sentence is the answer, in short.

    Args:
        study: The study.
        arms: The results of the arms that have some.
        comparison: The rows of comparison.csv.
        published: The comparisons with published numbers.
        claims: Those of published claims.
        audit: The audit, if there is one.
        phantom: Whether the images are phantoms.
    """
    sentences = []
    scores = {arm.arm: score for arm in arms if (score := arm.estimate(study.metric)) and score.value is not None}
    scored = [arm for arm in arms if arm.arm in scores]
    if not scored:
        first = ["No arm has test results yet."]
    elif study.metric == "quadratic_kappa":
        first = _of_grades(scored, scores, audit)
    elif study.data.multilabel:
        first = _of_labels(scored, scores)
    else:
        first = _of_classes(scored, scores)
    if best := preferred(study.metric, scored):
        others = [arm.arm for arm in scored if arm is not best]
        first[1:1] = filter(None, [told_apart(best.arm, others, comparison)])
    sentences += first
    sentences += _of_external(study, arms)
    sentences += [tally(published)] if published else []
    return sentences + of_claims(claims, phantom=phantom)


def tally(published: Sequence[Comparison]) -> str:
    """How many published numbers have each verdict; "" without any number."""
    verdicts = [row.verdict for row in published]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in verdicts)
    return f"Of {words.several(len(verdicts), 'published number')}: {counts}." if counts else ""


def caution(study: Study, *, phantom: bool) -> str:
    """What must be known before any number of a study is read; "" at full scale, where the file is run as it is."""
    made_of = "synthetic phantoms and a small recipe" if phantom else "real data, small recipe"
    beside = "published numbers are lines to look at" if study.published else "not compared with published numbers"
    of_scale = {
        "demo": f"Demo: {made_of}; not compared with published numbers.",
        "small": f"Small: the real data with small networks, trained briefly; {beside}.",
    }
    in_file = ", ".join(f"{key}: {flow(value)}" for key, value in study.changes.items())
    changed = f"Set for this run, against the study file: {in_file}." if in_file else ""
    return " ".join(filter(None, (of_scale.get(study.scale), changed)))


def _of_external(study: Study, arms: Sequence[Metrics]) -> list[str]:
    """A sentence for each external data set: the first metric of the arm that validation prefers."""
    sentences = []
    for name in study.data.external:
        part = f"{EXTERNAL}/{name}"
        values = {
            arm.arm: value for arm in arms if (value := arm.estimate(study.metric, part)) and value.value is not None
        }
        if not values:
            continue
        arm = _preferred(study.metric, [arm for arm in arms if arm.arm in values])[0]
        scores, changes = arm.scores(part), _changes(arm, name)
        lower = [
            other.arm
            for other in arms
            if (change := _changes(other, name).get(study.metric)) and change.high is not None and change.high < 0
        ]
        home = ""
        if study.metric in changes:
            change = changes[study.metric]
            home = f", {words.signed(change.value)} {interval(change)} against the test part at home".rstrip()
        others = f"; shown to be lower than at home for {len(lower)} of {words.several(len(values), 'arm')}"
        sentences.append(
            f"On {name}, external data of {words.several(scores.n if scores else 0, 'sample')}: {metric(study.metric)} "
            f"{number(values[arm.arm].value, 2)} {interval(values[arm.arm])} of {arm.arm}{home}"
            f"{others if len(values) > 1 else ''}."
        )
    return sentences


def _changes(arm: Metrics, name: str) -> dict[str, Difference]:
    return arm.external[name].metrics if name in arm.external else {}


def of_claims(claims: Sequence[Comparison], *, phantom: bool) -> list[str]:
    """A sentence for each published claim, on the test part and out of fold."""
    on = ", judged here on phantoms" if phantom else ""
    judgments: dict[tuple[str, str, str], list[str]] = {}
    for row in claims:
        what = f"paired difference of {metric(row.metric)}" if row.part == "test" else words.part(row.part, "", "")
        if row.difference is not None:
            judgment = f"{what} {change(row)}: {row.verdict}"
        else:
            judgment = f"{'' if row.part == 'test' else f'{what}: '}{row.verdict} ({row.reason})"
        judgments.setdefault((row.arm, row.against, row.metric), []).append(judgment)
    return [
        f"The published claim that {better} scores better than {than}{on}: {'; '.join(parts)}."
        for (better, than, _), parts in judgments.items()
    ]


def _of_classes(scored: Sequence[Metrics], scores: dict[str, Estimate]) -> list[str]:
    """Test accuracy of the arm that validation prefers, next to that of always giving the most frequent answer."""
    arm, subject = _preferred("accuracy", scored)
    always, value = constant(scored), scores[arm.arm]
    beside = f"; always answering “{always[0]}” would be right for {percent(always[1])}" if always else ""
    accuracies = f"{subject} is right on {percent(value.value)} of {_test_samples(arm)}"
    if value.low is not None:
        accuracies += f" (95 % interval {100 * value.low:.1f}–{percent(value.high)})"
    accuracies += f", {_runs(arm)}"
    doubt = []
    if always and (weak := _not_above(scores, always[1])):
        doubt = [f"Not shown to be better than that constant answer: {', '.join(weak)}."]
    return [f"{accuracies}{beside}.", *doubt, *_beside_baselines(scored, scores, "accuracy")]


def _of_labels(scored: Sequence[Metrics], scores: dict[str, Estimate]) -> list[str]:
    """Mean AUROC over the labels of the arm that validation prefers, and the labels that it tells worst and best."""
    arm, subject = _preferred("auroc", scored)
    own = scores[arm.arm]
    labels = sorted((of.value, label) for label, of in own.classes.items() if of.value is not None)
    of_labels = [f"{label} {number(value, 2)}" for value, label in dict.fromkeys((labels[0], labels[-1]))]
    area = f"a test AUROC of {number(own.value, 2)} {interval(own)}, the mean over {len(own.classes)} labels"
    return [f"{subject} has {area}, on {_test_samples(arm)}, {_runs(arm)}; by label from {' to '.join(of_labels)}."]


def _of_grades(scored: Sequence[Metrics], scores: dict[str, Estimate], audit: AuditReport | None) -> list[str]:
    """Quadratic kappa of the arm that validation prefers, next to that of metadata, repeated labels, one answer."""
    arm, subject = _preferred("quadratic_kappa", scored)
    value = scores[arm.arm]
    kappas = (
        f"{subject} agrees with the labels of {_test_samples(arm)} with a quadratic kappa of "
        f"{number(value.value, 2)} {interval(value)}: {landis_koch(value.value)}; {_runs(arm)}."
    )
    beside, bar = [], 0.0
    if audit and (metadata := audit.confounds.quadratic_kappa):
        beside.append(f"file metadata alone reach {number(metadata.value, 2)} {interval(metadata)}, cross-validated")
        bar = max(bar, metadata.value)
    if (repeated := repeated_labels(audit)) is not None:
        beside.append(f"the labels of identical images agree with {number(repeated, 2)}")
    if always := constant(scored):
        beside.append(f"always answering “{always[0]}” has 0, and is right for {percent(always[1])}")
    sentences = [kappas, *([f"{capitalized('; '.join(beside))}."] if beside else [])]
    if weak := _not_above(scores, bar):
        sentences.append(f"Not shown to be better than {'metadata alone' if bar else 'chance'}: {', '.join(weak)}.")
    return sentences + _beside_baselines(scored, scores, "quadratic_kappa")


def _beside_baselines(scored: Sequence[Metrics], scores: dict[str, Estimate], name: str) -> list[str]:
    """What a confound predicts without the image, and which arms are not shown to be better."""
    sentences = []
    for column, metrics in baselines(scored).items():
        value = metrics[name].value if name in metrics else None
        if value is not None:
            reached = percent(value) if name == "accuracy" else number(value, 2)
            weak = ", ".join(_not_above(scores, value))
            doubt = f"; not shown to be better: {weak}" if weak else ""
            sentences.append(f"The {words.known_column(column)} alone reaches {reached}{doubt}.")
    return sentences


def _preferred(name: str, scored: Sequence[Metrics]) -> tuple[Metrics, str]:
    """The arm that validation prefers, and the subject of a sentence on it; without validation scores the first."""
    if len(scored) == 1:
        return scored[0], scored[0].arm
    if (arm := preferred(name, scored)) is None:
        first = scored[0]
        return first, f"None of {len(scored)} arms has validation scores to be preferred by; the first, {first.arm},"
    return arm, f"Of {len(scored)} arms, validation prefers {arm.arm}: it"


def _not_above(scores: dict[str, Estimate], bar: float) -> list[str]:
    """The arms whose interval does not lie above a value."""
    return [arm for arm, score in scores.items() if score.low is None or score.low <= bar]


def _test_samples(arm: Metrics) -> str:
    test = arm.scores()
    return words.several(test.n if test else 0, "test sample")


def _runs(arm: Metrics) -> str:
    return f"mean over {len(arm.runs)} runs" if len(arm.runs) > 1 else "one run"


def costs(study: Study, comparison: Sequence[Comparison]) -> list[str]:
    """A sentence for each pair of arms that was compared: what the choice changes in the first metric."""
    of_ablations = {arm for ablation in study.ablations.values() for arm in ablation.arms}  # have sentences elsewhere
    sentences = []
    for row in comparison:
        if row.kind not in ("arms", "leak") or row.arm in of_ablations:
            continue
        if row.metric != study.metric or row.level != "image" or row.endpoint or row.verdict == "not run":
            continue
        if row.difference is None:
            sentences.append(f"{row.arm}: not comparable with {row.against} ({row.reason}).")
            continue
        if row.kind == "leak":
            what = f"Relatives of test samples in training ({row.arm} less {row.against}) are worth"
            choice = f"{what} {change(row)} of {metric(study.metric)}"
        else:
            choice = f"{row.arm} changes test {metric(study.metric)} by {change(row)} against {row.against}"
        sentences.append(f"{choice}: {words.change_verdict(row.verdict)}.")
    return sentences
