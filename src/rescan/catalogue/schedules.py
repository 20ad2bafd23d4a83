"""Schedules of the learning rate."""

from __future__ import annotations

from rescan.catalogue.record import FAULT, Option, Record, by_name


class Schedule(Record):
    """A function `(moment, **options)` that gives a factor on the stage's learning rate."""

    kind = "schedule"


def _warmup(share: float) -> str:
    return f" with warm-up over {100 * share:g} % of the steps" if share else ""


def _ends_after(epochs: int) -> str:
    end = f", which ends after {epochs} epochs, counted through all stages, and is 0 from then on ({FAULT})"
    return end if epochs else ""


SCHEDULES = by_name(
    Schedule(
        "constant",
        "rescan.training.learning_rates:constant",
        about="the learning rate stays",
        sentence="constant schedule",
    ),
    Schedule(
        "cosine",
        "rescan.training.learning_rates:cosine",
        about="rises over the warm-up, then falls along half a cosine to 0",
        sentence="cosine schedule{warmup}{ends_after}",
        options={
            "warmup": Option(0.0, "share of the steps", below=1, wording=_warmup),
            "ends_after": Option(0, "epochs; repeats a published fault", most=10_000_000, wording=_ends_after),
        },
    ),
    Schedule(
        "step",
        "rescan.training.learning_rates:step",
        about="times `gamma` after every so many epochs",
        sentence="step schedule (× {gamma:g} every {every} epochs)",
        options={"every": Option(10, "epochs", above=0, most=10_000_000), "gamma": Option(0.1, "factor", most=1000)},
    ),
    Schedule(
        "plateau",
        "rescan.training.learning_rates:plateau",
        about="times `factor` after `patience` epochs without a lower validation loss",
        sentence="plateau schedule (× {factor:g} after {patience} epochs without a lower validation loss)",
        options={"factor": Option(0.5, most=1000), "patience": Option(3, "epochs", most=10_000_000)},
    ),
    Schedule(
        "one_cycle",
        "rescan.training.learning_rates:one_cycle",
        about="rises from `start` over the warm-up, then falls to `end`",
        sentence="one-cycle schedule (from {start:g} of the rate up to it over {warmup:.0%} of the steps, then down to "
        "{end:g} of it)",
        options={
            "warmup": Option(0.3, "share of the steps", below=1),
            "start": Option(0.04, "factor", most=1000),
            "end": Option(1e-4, "factor", most=1000),
        },
    ),
)
