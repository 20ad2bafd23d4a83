"""How the page says numbers, names, and what stands beside figures and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rescan import catalogue
from rescan.study import Study

PARTS = {"out_of_fold": "out of fold", "test_unlinked": "test, unlinked"}
FITTED_ON = {
    "train": "the training part's predictions",
    "validation": "the validation part's predictions",
    "crossfit": "the validation part's predictions (a validation image is read with what was fitted without its fold)",
}
ENDPOINT = {"f1": "F1", "kappa": "kappa, quadratic or not"}  # metrics of two classes
MAPS = {
    "energy_inside": "this model's maps",
    "randomized": "maps of networks with random weights",
    "gaussian": "a centered Gaussian",
    "area_share": "a flat map (the lesion's share of the area)",
}


def known_column(name: str) -> str:
    """A column of the manifest in running text."""
    return catalogue.KNOWN_COLUMNS[name].title if name in catalogue.KNOWN_COLUMNS else name


def column(name: str) -> str:
    """A column of the manifest as the head of rows."""
    return capitalized(known_column(name))


def is_of_acquisition(name: str) -> bool:
    """Whether a column of the manifest says how an image was taken."""
    return name in catalogue.KNOWN_COLUMNS and catalogue.KNOWN_COLUMNS[name].of_acquisition


def noun(study: Study) -> str:
    """What is scored, in a word: samples, where some arms see volumes."""
    reads = {study.preparations[recipe.preparation].reads for recipe in study.arms.values()}
    return "sample" if "volume" in reads else "image"


def capitalized(text: str) -> str:
    """A text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def spaced(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")


def several(name: str) -> str:
    """The plural of a noun."""
    return f"{name}es" if name.endswith("ch") else f"{name}s"


def listed(names: Sequence[str]) -> str:
    """Names as "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def metric(name: str) -> str:
    """A metric's name in running text."""
    return catalogue.METRICS[name].title if name in catalogue.METRICS else spaced(name)


def title(name: str) -> str:
    """The same as the head of a column or row."""
    return capitalized(metric(name))


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals; "–" for none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """A difference, such as "−0.23" or "+0.05"."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")  # no −0.00


def change(row: dict[str, Any], *, points: bool = False) -> str:
    """A difference with its interval, such as "+0.08 (0.01 to 0.15)"; or in points of a hundred, with a decimal."""
    scale, digits, unit = (100, 1, " points") if points else (1, 2, "")
    value, low, high = (signed(scale * row[f"difference{end}"], digits) for end in ("", "_low", "_high"))
    return f"{value}{unit} ({low} to {high})".replace("(+", "(").replace("to +", "to ")


def difference(verdict: str) -> str:
    """The verdict of a paired difference in a sentence."""
    return verdict if verdict in ("lower", "higher") else "no difference shown"


def percent(value: float | None) -> str:
    """A share as "81.3 %"; "–" for none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def interval(metric: dict[str, Any] | None) -> str:
    """An interval as "(0.745–0.870)"; "" without bounds."""
    if not metric or metric.get("low") is None or metric.get("high") is None:
        return ""
    between = " to " if metric["low"] < 0 else "–"
    return f"({number(metric['low'])}{between}{number(metric['high'])})"


def landis_koch(kappa: float | None) -> str:
    """The word for a kappa on the scale of Landis and Koch (1977); its steps are of two decimals."""
    if kappa is None:
        return "–"
    steps = ((0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"), (1.0, "almost perfect"))
    return "poor" if kappa < 0 else next(word for most, word in steps if round(kappa, 2) <= most)


def part(name: str, level: str, usual: str) -> str:
    """A part of the data, and the level if it is not the usual one, as the head of a column."""
    return PARTS.get(name, spaced(name)) + ("" if level == usual else f", by {level}")


def captions(study: Study, arm: str, run: dict[str, int], runs: int) -> dict[str, str]:
    """The captions of an arm's figures, by file name; `run` is the fold and seed whose curves are drawn."""
    recipe = study.arms[arm]
    which = f" of fold {run['fold']}, seed {run['seed']}" if runs > 1 else ""
    mean = " (mean over the runs)" if runs > 1 else ""
    areas = f" The curves are those{which}; the areas, means over the runs." if runs > 1 else ""
    scores = "Loss, accuracy and quadratic kappa" if study.data.ordered else "Loss and accuracy"
    stages = " Each stage has its own losses, which do not compare." if _losses_differ(study, arm) else ""
    tested = " Validation is the test part here." if recipe.validation == "test" else ""
    of = f" of {recipe.models}'s training" if recipe.models else ""
    endpoints = ", ".join(f"{spaced(name)}: {lowest} or worse" for name, lowest in study.data.endpoints.items())
    return {
        "curves": f"{scores} over the epochs{of}{'; one line a run' if runs > 1 else ''}.{stages}{tested}",
        "losses": f"Training loss over the steps of the optimizer{of}, every step (faint) and smoothed.",
        "confusion": f"Confusion matrix, test: {noun(study)}s{mean} and share of the true class.",
        "grades": f"Grades as predicted on the line, test{which}, for each true grade: box 25–75 %, whiskers 5–95 %.",
        "endpoints": f"ROC, test: {endpoints}; area and 95 % interval.{areas}",
        "roc": f"ROC, test: each class against all others; area and 95 % interval.{areas}",
        "reliability": f"Reliability, test{which}: points below the line are overconfident.",
        "features": f"t-SNE of what the heads are fed{which}: up to 5,000 items of the validation and test parts.",
    }


def _losses_differ(study: Study, arm: str) -> bool:
    stages = list(study.arms[arm].stages.values())
    return any(stage.losses != stages[0].losses for stage in stages)


def reads(study: Study, arm: str) -> str:
    """Whose models an arm reads, or averages; "" if it has its own."""
    recipe = study.arms[arm]
    if recipe.ensemble:
        mean = "mean" if recipe.ensemble.combine == "mean" else "trimmed mean"
        return f"{mean} of {listed(recipe.ensemble.members)}"
    return f"reads the models of {recipe.models}" if recipe.models else ""


def note(metrics: dict[str, Any]) -> str:
    """What must stand beside an arm's headline number: how many of its runs collapsed."""
    collapsed = sum(finding["finding"] == "collapsed" for finding in metrics["diagnosis"])
    return f"collapsed in {collapsed} of {len(metrics['runs'])} runs" if collapsed else ""


def temperature(fitted: dict[str, Any] | None, metrics: dict[str, Any], level: str) -> str:
    """What post-training did to the probabilities of the test part."""
    before = metrics["before_temperature"].get("test")
    if not fitted or not before:
        return ""
    after = metrics["parts"]["test"][level]["metrics"]
    changes = [
        f"{said} {number(before[name])} → {number(after[name]['value'])}"
        for name, said in (("loss", "loss"), ("ece", "ECE"))
    ]
    fit = fitted.get("temperatures", {}).get(metrics["head"])
    value = f" ({number(fit['whole'], 2)})" if fit else ""
    return f"One temperature{value}, fitted on the validation part, changes the test part's {', '.join(changes)}."


def posttraining(study: Study, arm: str, fitted: dict[str, Any] | None) -> list[str]:
    """What was fitted on the predictions of an arm, beside the temperature of the head that it is read from."""
    if not fitted:
        return []
    said, own = [], fitted["head"] == "linear"
    if "linear" in fitted:
        named = [record.as_input for head, record in catalogue.HEADS.items() if head in study.arms[arm].network.heads]
        *weights, bias = fitted["linear"]["whole"]
        terms = [f"{number(weight, 2)} × {name}" for weight, name in zip(weights, named)]
        where = FITTED_ON[fitted["fit_on"]]
        use = "The arm is read from it" if own else "The arm is not read from it"
        formula = f"grade = {' + '.join([*terms, number(bias, 2)])}".replace("+ −", "− ")
        said.append(f"Linear neuron: {formula}. {use}. Fitted on {where}.")
    if "cuts" in fitted:
        values = ", ".join(number(value, 2) for value in fitted["cuts"]["whole"])
        given = isinstance(study.arms[arm].posttrain.cuts, list)
        origin = (
            "given by the study file" if given else f"optimized for quadratic kappa on {FITTED_ON[fitted['fit_on']]}"
        )
        said.append(f"Cut points: {values}; {origin}.")
    return said


def one_hot(metrics: dict[str, Any], classes: int) -> str:
    """What stands beside the binary accuracy of one-hot outputs, where it is known."""
    if "one_hot_accuracy" not in metrics:
        return ""
    always = f"({classes} − 1) / {classes} = {percent((classes - 1) / classes)}"
    counted = f"The binary accuracy of the one-hot outputs counts {classes} yes-or-no answers an image"
    return f"{counted}: always answering “none” would give {always}."
