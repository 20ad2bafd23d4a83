"""What a run will take: `rescan estimate`, and a line behind `snakemake -n`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rescan
from rescan import catalogue
from rescan.errors import RescanError
from rescan.study.yaml_text import parsed
from rescan.workflow.config import read_config_file
from rescan.workflow.environment import DRIVER
from rescan.workflow.plan import Plan
from rescan.workflow.resources import JobResources
from rescan.workload.estimate_rows import Machine, amounts, duration, table, trainings_of, wall_seconds
from rescan.workload.jobs import Job, Jobs
from rescan.workload.rates import CARDS, NOMINAL_CPU, NOMINAL_GPU, Rates, remembered

ROOT = Path(rescan.__file__).parents[2]


def plan_of(words: list[str], launched_in: Path) -> Plan:
    """The plan of a configuration: config.yaml of the checkout, and words as of Snakemake's `--config`.

    Raises:
        RescanError: There is no checkout, or a word or a setting is wrong.
    """
    config = read_config_file(ROOT)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise RescanError(f"config: {word!r}: give key=value, such as scale=full, as for snakemake --config")
        try:
            config[key] = parsed(value)
        except ValueError:
            raise RescanError(f"config: {key}: {value!r:.100} is no YAML, such as [a, b] or {{a: b}}") from None
    return Plan(config, ROOT, launched_in)


def card_rates(name: str) -> Rates:
    """The nominal rates of a GPU.

    Raises:
        RescanError: It is not among those that are known.
    """
    if name not in CARDS:
        raise RescanError(f"--card: no card {name!r}{catalogue.suggest(name, CARDS)}")
    return CARDS[name].rates


def estimate(plan: Plan, machine: Machine) -> Iterator[str]:
    """Yield the lines of an estimate of the whole plan."""
    yield from table([Jobs(study) for study in plan.everything.values()], machine)
    rates = machine.rates
    how = "measured just now" if rates.measured else "nominal, not measured: shares of published peaks"
    yield f"This is an estimate, with the rates of {rates.machine} ({how})."
    yield "Downloads are not counted, and no training is taken to stop early."


def line_behind_dry_run(workflow: Any, resources: JobResources) -> None:
    """Print what a dry run's jobs would take, to be called when Snakemake ends; nothing if it was no dry run."""
    if not workflow.dryrun or workflow.dag is None:
        return
    own = list(workflow.dag.needrun_jobs(exclude_finished=False))  # a dry run finishes what it shows
    jobs = [
        Job(job.rule.name, "", resources.work(job.rule.name, job.wildcards))
        for job in own
        if job.rule.name not in ("all", "weights")
    ]
    if jobs:
        print(_line(jobs, resources.plan, resources.cores), file=sys.stderr)  # noqa: T201 - below Snakemake's own words


def _line(jobs: list[Job], plan: Plan, cores: int) -> str:
    threads, uses_gpu = plan.config.threads, plan.config.device != "cpu" and DRIVER.exists()
    rates = remembered(uses_gpu, threads)
    how = "" if rates else ", with the nominal rates of a slow machine"
    rates = rates or (NOMINAL_GPU if uses_gpu else NOMINAL_CPU)
    machine = Machine(rates, cores, plan.config.jobs_per_gpu if uses_gpu else 0, threads)
    trainings = trainings_of(amounts(jobs, machine).trainings)
    where = f"{cores} core{'s' * (cores > 1)}" + (" and a GPU" if uses_gpu else "")
    return (
        f"About {trainings}, {duration(wall_seconds(jobs, machine))} on {where}{how}; "
        "`rescan estimate` with the same --config tells more."
    )
