"""The commands for people."""

# No `from __future__ import annotations` here: on Python 3.9, typer cannot read annotations that are strings.
import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from rescan.cli.options import Log
from rescan.log import start


def resolve(
    study_file: Annotated[Path, typer.Argument(help="the study file (YAML)")],
    out: Annotated[Path, typer.Option(help="where to write the resolved study (JSON)")],
    scale: Annotated[str, typer.Option(help="demo, small or full")] = "demo",
    weights: Annotated[Optional[str], typer.Option(help="replaces every arm's network.weights")] = None,
    seed: Annotated[Optional[list[int]], typer.Option(help="replaces split.seeds; repeat it for several")] = None,
    source: Annotated[Optional[str], typer.Option(help="a local folder or archive, instead of data.source")] = None,
    folds: Annotated[Optional[int], typer.Option(help="replaces split.folds")] = None,
    arm: Annotated[Optional[list[str]], typer.Option(help="an arm to run; repeat it for several")] = None,
    task: Annotated[Optional[str], typer.Option(help="a task of the study file")] = None,
    changes: Annotated[
        Optional[list[str]],
        typer.Option("--set", help="a key of the study file to set; repeat it for several", metavar="KEY.PATH=VALUE"),
    ] = None,
    log: Log = None,
) -> None:
    """Merge and check a study file; write every arm's whole recipe as JSON."""
    start(log)
    from rescan.named_files import output
    from rescan.study import Settings, write_resolved
    from rescan.study.changes import parsed_changes
    from rescan.study.file import load

    settings = Settings(
        scale,
        weights=weights,
        seeds=seed,
        folds=folds,
        arms=arm,
        source=source,
        task=task,
        changes=parsed_changes(changes or []),
    )
    write_resolved(load(study_file, settings), output(out, [study_file]))


def init(
    folder: Annotated[Path, typer.Argument(help="the folder with the images or volumes")],
    table: Annotated[Optional[Path], typer.Option(help="the table of labels (CSV, TSV, XLSX), if there is one")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="the study file to write")] = Path("mine.yaml"),
    force: Annotated[bool, typer.Option("--force", help="overwrite the study file")] = False,
) -> None:
    """Look at images or volumes of your own, and write a study file for them."""
    start(None)
    from rescan.look.init import init

    init(folder, table, out, force=force)


def check(
    study_files: Annotated[list[Path], typer.Argument(help="study files (YAML)")],
    data: Annotated[bool, typer.Option("--data", help="look at the data, too; say what is there")] = False,
) -> None:
    """Check study files at all scales; list every fault with its key path and the nearest right name."""
    start(None)
    from rescan.study.file import check

    check(study_files)
    if data:
        from rescan.look.check import check_data

        for file in study_files:
            check_data(file)


def schema() -> None:
    """Print the JSON Schema of a study file, for editors."""
    import json

    from rescan.study.schema import schema

    typer.echo(json.dumps(schema(), indent=1))


def estimate(
    words: Annotated[
        Optional[list[str]], typer.Argument(metavar="[KEY=VALUE]...", help="settings, as of snakemake --config")
    ] = None,
    config: Annotated[  # noqa: ARG001 - it may stand before the words, as for snakemake
        bool, typer.Option("--config", help="may stand before the settings")
    ] = False,
    cores: Annotated[
        Optional[int], typer.Option(min=1, max=100_000, help="cores to run on; by default all of this machine")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, max=10_000, help="GPUs to run on, if any")] = 1,
    card: Annotated[
        Optional[str], typer.Option(help="nominal rates of this GPU, instead of measuring: h100, …")
    ] = None,
) -> None:
    """Estimate what `snakemake --config …` will take, per study and arm: trainings, hours, memory, disk."""
    start(None)
    from rescan.errors import RescanError
    from rescan.workflow.forecast import card_rates, estimate, plan_of
    from rescan.workload.estimate_rows import Machine

    plan = plan_of(words or [], Path.cwd())
    if card is not None and plan.config.device == "cpu":
        raise RescanError("--card: no job uses a GPU with device=cpu; leave one of them out")
    if card is None:
        from rescan.speed import measured

        rates = measured(plan.config.device, plan.config.threads)
    else:
        rates = card_rates(card)
    machine = Machine(rates, cores or os.cpu_count() or 1, gpus if rates.on_gpu else 0, plan.config.threads)
    for line in estimate(plan, machine):
        typer.echo(line)


def doctor() -> None:
    """Say what this machine has, whether GPU, driver and torch fit, and what to do about it."""
    from rescan.doctor.findings import findings

    for name, description in findings():
        typer.echo(f"{name:13} {description}")


def verify(
    results: Annotated[Path, typer.Argument(help="results/<scale>/<study>, results/<scale> or results, or a copy")],
    sources: Annotated[bool, typer.Option("--sources", help="read all images of the sources again, too")] = False,
    stores: Annotated[bool, typer.Option("--stores", help="read the arrays of packed stores again, too")] = False,
) -> None:
    """Compare results with their provenance and each other; a line per fault, exit code 1 if there is one."""
    start(None)
    from rescan.trace.verify import verify

    findings = verify(results, sources=sources, stores=stores)
    for line in findings.wrong:
        typer.echo(line)
    for line in findings.notes:
        typer.echo(f"note: {line}")
    typer.echo(findings.summary)
    raise typer.Exit(int(bool(findings.wrong)))


def clean(
    results: Annotated[Path, typer.Argument(help="the folder of results")] = Path("results"),
) -> None:
    """Remove the states of trainings (what they resume from). Results stay."""
    start(None)
    from rescan.doctor.cleaning import remove_states

    remove_states(results)
