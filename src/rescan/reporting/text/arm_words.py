"""Sentences about one arm: whose models it reads, what was fitted after the training, what its figures show."""

from __future__ import annotations

from collections import Counter

from rescan import catalogue
from rescan.reporting.text.words import listed, noun, number, percent, spaced
from rescan.results.metrics_file import Metrics
from rescan.results.posttraining import Posttraining, RunId
from rescan.study import Study

FITTED_ON = {
    "train": "the training part's predictions",
    "validation": "the validation part's predictions",
    "crossfit": "the validation part's predictions (a validation image is read with what was fitted without its fold)",
}

FAILURES = ("diverged", "collapsed", "unlike training")  # findings about runs
THRESHOLDS = {"half": "", "youden": ", where Youden's index is highest", "f1": ", where F1 is highest"}


def captions(study: Study, arm: str, run: RunId, runs: int) -> dict[str, str]:
    """The captions of an arm's figures, by file name; `run` is the one whose curves are drawn, of so many runs."""
    recipe = study.arms[arm]
    which = f" of fold {run.fold}, seed {run.seed}" if runs > 1 else ""
    mean = " (mean over the runs)" if runs > 1 else ""
    areas = f" The curves are those{which}; the areas, means over the runs." if runs > 1 else ""
    scores = "Loss, accuracy and quadratic kappa" if study.data.ordered else "Loss and accuracy"
    against = study.data.classes[study.positive] if study.positive is not None else "each class against all others"
    if study.data.multilabel:
        scores, against = "Loss and mean AUROC over the labels", "each label against its absence"
    stages = list(recipe.stages.values())
    differ = any(stage.losses != stages[0].losses for stage in stages)
    losses = " Each stage has its own losses, which do not compare." if differ else ""
    tested = " Validation is the test part here." if recipe.validation == "test" else ""
    of = f" of {recipe.models}'s training" if recipe.models else ""
    endpoints = ", ".join(f"{spaced(name)}: {lowest} or worse" for name, lowest in study.data.endpoints.items())
    return {
        "curves": f"{scores} over the epochs{of}{'; one line per run' if runs > 1 else ''}.{losses}{tested}",
        "losses": f"Training loss over the steps of the optimizer{of}, every step (faint) and smoothed.",
        "confusion": f"Confusion matrix, test: {noun(study)}s{mean} and share of the true class.",
        "grades": f"Grades as predicted on the line, test{which}, for each true grade: box 25–75 %, whiskers 5–95 %.",
        "endpoints": f"ROC, test: {endpoints}; area and 95 % interval.{areas}",
        "roc": f"ROC, test: {against}; area and 95 % interval.{areas}",
        "precision_recall": f"Precision and recall, test{which}; area and 95 % interval. Faint: all called positive.",
        "net_benefit": (
            f"Decision curve, test{mean}: true positives less false ones, weighted by the odds of the probability that "
            "one acts from. A model is of use where it lies above both others. Band: 95 % interval at each place."
        ),
        "features": f"t-SNE of the heads' inputs{which}: up to 5,000 items of the validation and test parts.",
    }


def reads(study: Study, arm: str) -> str:
    """Whose models an arm reads, or averages; "" if it has its own."""
    recipe = study.arms[arm]
    if recipe.ensemble:
        mean = "mean" if recipe.ensemble.combine == "mean" else "trimmed mean"
        return f"{mean} of {listed(recipe.ensemble.members)}"
    return f"reads the models of {recipe.models}" if recipe.models else ""


def note(metrics: Metrics) -> str:
    """What must stand beside an arm's headline number: how many of its runs diverged or failed otherwise."""
    failures: Counter[str] = Counter(finding.finding for finding in metrics.diagnosis)
    counts = {word: failures[word] for word in FAILURES if failures[word]}
    return ", ".join(f"{word} in {count} of {len(metrics.runs)} runs" for word, count in counts.items())


def batch_norm(metrics: Metrics) -> str:
    """The accuracies by batch norm's statistics; "" of networks without it."""
    found = metrics.batch_norm
    if found is None:
        return ""
    mean = " (the mean over runs)" if len(metrics.runs) > 1 else ""
    return (
        f"Batch norm, on {found.part} images: accuracy {number(found.eval_mode, 2)} as the network is used, "
        f"{number(found.train_mode, 2)} with the statistics of each batch itself, {number(found.recalibrated, 2)} with "
        f"statistics estimated again over training images{mean}."
    )


def posttraining(study: Study, arm: str, fitted: Posttraining | None) -> list[str]:
    """What was fitted on the predictions of an arm, beside the temperature of the head that it is read from."""
    sentences = []
    if fitted and fitted.linear:
        heads = study.arms[arm].network.heads
        inputs = [record.as_input for head, record in catalogue.HEADS.items() if head in heads]
        *weights, bias = fitted.linear.whole
        terms = [f"{number(weight, 2)} × {name}" for weight, name in zip(weights, inputs)]
        use = "The arm is read from it" if fitted.head == "linear" else "The arm is not read from it"
        formula = f"grade = {' + '.join([*terms, number(bias, 2)])}".replace("+ −", "− ")
        sentences.append(f"Linear neuron: {formula}. {use}. Fitted on {FITTED_ON[fitted.fit_on]}.")
    if fitted and fitted.cuts:
        values = ", ".join(number(value, 2) for value in fitted.cuts.whole)
        of_study = isinstance(study.arms[arm].posttrain.cuts, list)
        optimized = f"optimized for quadratic kappa on {FITTED_ON[fitted.fit_on]}"
        sentences.append(f"Cut points: {values}; {'given by the study file' if of_study else optimized}.")
    if fitted and fitted.thresholds:
        at_points = [point.of for point in fitted.points if point.predicts and point.threshold.whole is not None]
        shares = [pair for pair in zip(study.data.classes, fitted.thresholds.whole) if pair[0] not in at_points]
        values = ", ".join(f"{label} {number(value, 2)}" for label, value in shares) or "all at operating points"
        rule = THRESHOLDS[study.arms[arm].posttrain.thresholds]
        fitted_on = f" on {FITTED_ON[fitted.fit_on]}" if rule else ""
        sentences.append(f"Thresholds: {values}{rule}{fitted_on}.")
    if fitted and (points := [point for point in fitted.points if point.threshold.whole is not None]):
        values = ", ".join(
            f"{point.name} of {spaced(point.of)} {number(point.threshold.whole, 2)}"
            + ", which predicted classes are read at" * point.predicts
            for point in points
        )
        fitted_on = f"; fitted on {FITTED_ON['crossfit']}" * any(point.resampled for point in points)
        sentences.append(f"Operating points: {values}{fitted_on}.")
    return sentences


def parts_caption(study: Study, metrics: Metrics, fitted: Posttraining | None) -> str:
    """What stands below the metrics of all parts: what was chosen or fitted on which part."""
    recipe = study.arms[metrics.arm]
    if recipe.ensemble:
        chosen = "Of an ensemble, only the test part is scored."
    elif recipe.validation == "test":
        chosen = "The test part was validated on."
    elif recipe.keep != "last":
        selected = "its values are selected on, not an estimate of performance"
        chosen = f"The epoch was chosen on the validation part: {selected}."
    elif posttraining(study, metrics.arm, fitted):
        chosen = "The last epoch was kept; the validation part chose no epoch."
    else:
        chosen = "The last epoch was kept; the validation part chose nothing but the temperature."
    if any(finding.finding == "diverged" for finding in metrics.diagnosis):
        chosen += " Of runs that diverged, what was kept is from before."
    return " ".join(filter(None, (chosen, _temperature(metrics, fitted), _one_hot(metrics))))


def _temperature(metrics: Metrics, fitted: Posttraining | None) -> str:
    """What post-training did to the probabilities of the test part."""
    before = metrics.before_temperature.get("test")
    if fitted is None or not before:
        return ""
    changes = []
    for name, title in (("loss", "loss"), ("ece", "ECE")):
        after = metrics.estimate(name)
        changes.append(f"{title} {number(before[name])} → {number(after.value if after else None)}")
    fit = fitted.temperatures.get(metrics.head)
    value = f" ({number(fit.whole, 2)})" if fit else ""
    return f"One temperature{value}, fitted on the validation part, changes the test part's {', '.join(changes)}."


def _one_hot(metrics: Metrics) -> str:
    """What stands beside the binary accuracy of one-hot outputs, where it is known."""
    if metrics.estimate("one_hot_accuracy") is None:
        return ""
    classes = len(metrics.classes)
    always = f"({classes} − 1) / {classes} = {percent((classes - 1) / classes)}"
    counted = f"The binary accuracy of the one-hot outputs counts {classes} yes-or-no answers per image"
    return f"{counted}: always answering “none” would give {always}."
