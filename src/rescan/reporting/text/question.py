"""The question that a study answers, in one sentence."""

from __future__ import annotations

from rescan.reporting.text.words import listed, several
from rescan.study import Study

NAMED = 4  # classes that a question names


def question(study: Study) -> str:
    """Ask for what the study file lets be judged: published numbers, claims, ablations; else for how well it works."""
    parts = []
    if study.published:
        numbers = several(len(study.published), "published number")
        parts.append(f"{'is' if len(study.published) == 1 else 'are'} the {numbers} reached when all is trained anew")
    if study.claims:
        pairs = dict.fromkeys(f"{claim.better} better than {claim.than}" for claim in study.claims)
        parts.append(f"is {listed(list(pairs))}, as published")
    if study.ablations:
        parts.append(f"what does each of {several(len(study.ablations), 'change')} of the recipe do")
    if not parts:
        parts.append(f"how well do networks {_task(study)}")
    text = listed(parts)
    return f"{text[:1].upper()}{text[1:]}?"


def _task(study: Study) -> str:
    classes = study.data.classes
    if study.data.ordered:
        return f"agree with the labels of {len(classes)} grades, from {classes[0]} to {classes[-1]}"
    named = (
        listed(classes)
        if len(classes) <= NAMED
        else f"{len(classes)} {'labels' if study.data.multilabel else 'classes'}"
    )
    return f"find {named}" if study.data.multilabel else f"tell {named} apart"
