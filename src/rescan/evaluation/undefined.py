"""Which metrics are undefined, and why, in one sentence for all parts that have the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rescan.catalogue import METRICS
from rescan.evaluation.scoring import Scored
from rescan.metrics.run_rows import RunRows
from rescan.results.posttraining import RunId


def undefined(parts: Mapping[str, Mapping[str, Scored]], classes: Sequence[str]) -> list[str]:
    """Sentences about the undefined metrics of parts, one for those with the same; none if all are defined.

    Args:
        parts: What each part scores, by level.
        classes: K names.
    """
    found: dict[str, list[str]] = {}
    for part, levels in parts.items():
        if text := _of_part(levels, classes):
            found.setdefault(text, []).append(part)
    return [f"{_listed(of)}{text}" for text, of in found.items()]


def _of_part(levels: Mapping[str, Scored], classes: Sequence[str]) -> str:
    """What is undefined of a part; "" if all is defined.

    Args:
        levels: What it scores, by level.
        classes: K names.
    """
    missing = {
        level: [name for name, of in scored.scores.metrics.items() if of.value is None]
        for level, scored in levels.items()
    }
    names = dict.fromkeys(name for of in missing.values() for name in of)
    if not names:
        return ""
    some = [level for level, of in missing.items() if of]
    where = f" by {_listed(some)}" if len(levels) > 1 else ""
    reasons = dict.fromkeys(reason for level in some for reason in _reasons(levels[level].runs, classes))
    titles = _listed([METRICS[name].title for name in names])
    return f"{where}: no {titles}, as {'; '.join(reasons)}"


def _reasons(runs: Mapping[RunId, RunRows], classes: Sequence[str]) -> Iterator[str]:
    """What never happens, or of labels that do not exclude each other always."""
    every = list(runs.values())
    for event, of in (("of", RunRows.of_class), ("predicted as", RunRows.predicted_as)):
        for word, whole in (("none is", False), ("all are", True)):
            counts = [sum(bool((of(run, number) == whole).all()) for run in every) for number in range(len(classes))]
            labels = [f"“{label}”" for label, count in zip(classes, counts) if count]
            if labels and (every[0].multilabel or not whole):  # else, none being of the others says it
                some = "" if min(filter(None, counts)) == len(every) else " in some runs"
                yield f"{word} {event} {_listed(labels, 'or')}{some}"


def _listed(names: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
