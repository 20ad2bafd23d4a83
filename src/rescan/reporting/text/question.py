"""The question that a study answers, in one sentence, and the sentence that answers it."""

from __future__ import annotations

from collections.abc import Sequence

from rescan.reporting.text.answer import of_claims, tally
from rescan.reporting.text.words import listed, several
from rescan.results.comparison import Comparison
from rescan.study import Study

NAMED = 4  # classes that a question names


def question(study: Study) -> str:
    """Ask for what the study file lets be judged: published numbers, claims, recipes; else for how well it works."""
    if study.published and study.scale == "full":
        numbers = several(len(study.published), "published number")
        return (
            f"{'Is' if len(study.published) == 1 else 'Are'} the {numbers} reached when the networks are trained anew?"
        )
    if study.claims:
        pairs = dict.fromkeys(f"{claim.better} better than {claim.than}" for claim in study.claims)
        return f"Is {listed(list(pairs))}, as published?"
    if study.ablations:
        return f"Which of {len(study.arms)} recipes does validation prefer, and how well does it do on the test part?"
    return f"How well do networks {_task(study)}?"


def headline(
    answers: Sequence[str],
    published: Sequence[Comparison],
    claims: Sequence[Comparison],
    *,
    phantom: bool,
) -> str:
    """Of the sentences of the answer the one that answers the question.

    Args:
        answers: The whole answer.
        published: The comparisons with published numbers.
        claims: Those of published claims.
        phantom: Whether the images are phantoms.
    """
    wanted = [tally(published), *of_claims(claims, phantom=phantom)]
    return next((sentence for sentence in wanted if sentence), answers[0])


def _task(study: Study) -> str:
    classes = study.data.classes
    if study.data.ordered:
        return f"agree with the labels of {len(classes)} grades, from {classes[0]} to {classes[-1]}"
    kind = "labels" if study.data.multilabel else "classes"
    named = listed(classes) if len(classes) <= NAMED else f"{len(classes)} {kind}"
    return f"find {named}" if study.data.multilabel else f"tell {named} apart"
