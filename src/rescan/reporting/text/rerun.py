"""The command that makes a study's results again, tried against the study file; and which Rescan made them."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from rescan import checkout
from rescan.errors import RescanError
from rescan.reporting.text.run_facts import RunFacts
from rescan.reporting.text.yaml_line import flow, quoted
from rescan.study import DataSet, Settings, Study
from rescan.study.file import load


@dataclass(frozen=True)
class Rerun:
    """How to run a study again.

    Attributes:
        command: The command, to be run in the folder of the checkout.
        exact: Whether the study file, as it is now, gives this very study by it.
        version: Of Rescan, with its commit if it is a checkout's.
    """

    command: str
    exact: bool
    version: str


def rerun(study: Study, facts: RunFacts) -> Rerun:
    """The command with the fewest settings that gives this very study; else all of them.

    Args:
        study: The study as it was run.
        facts: What it was run on.
    """
    settings = _settings(study)
    exact = settings is not None
    settings = settings or _without_twice_given(_all(study))
    config = [f"scale={study.scale}", f"studies=[{_entry(study)}]", *_options(study, settings)]
    if facts.devices:
        config.append(f"device={facts.devices[0] if len(facts.devices) == 1 else 'auto'}")
    config += [f"threads={facts.threads}"] if facts.threads else []
    command = f"snakemake --cores {max(2, facts.threads)} --config {' '.join(shlex.quote(entry) for entry in config)}"
    return Rerun(command, exact, checkout.version())


def _task(study: Study) -> str | None:
    """The task of the study file that the study is."""
    stem = Path(study.file).stem
    return study.name[len(stem) + 1 :] if study.name.startswith(f"{stem}-") else None


def _entry(study: Study) -> str:
    """How the configuration names the study: a shipped file by its name."""
    file, task = Path(study.file), _task(study)
    shipped = checkout.ROOT / "studies" / file.name
    is_shipped = (
        file.parent.name == "studies" and shipped.is_file() and not (file.is_file() and not file.samefile(shipped))
    )
    name = file.stem if is_shipped else str(file)
    return quoted(f"{name}:{task}" if task else name)


def _all(study: Study) -> Settings:
    """All settings that the study itself shows."""
    folds = study.split.folds if isinstance(study.split.folds, int) else None
    weights = {recipe.network.weights for recipe in study.arms.values()}
    others: dict[str, DataSet] = {**study.data.extra, **study.data.external}
    return Settings(
        study.scale,
        weights="none" if weights == {"none"} else None,
        seeds=study.split.seeds,
        folds=folds,
        arms=list(study.arms),
        task=_task(study),
        changes=study.changes,
        source=_local(study.data),
        extra_sources={name: path for name, of in others.items() if (path := _local(of))},
    )


def _without_twice_given(settings: Settings) -> Settings:
    """The settings, where one that has a name of its own does not stand under `set`, too."""
    own = {"run", "split.seeds", "split.folds", "recipe.folds"}
    changes = {
        key: value
        for key, value in settings.changes.items()
        if key not in own and not (settings.weights and key.endswith("network.weights"))
    }
    return replace(settings, changes=changes)


def _local(data: DataSet) -> str | None:
    """The folder or archive of this machine that data are read from; None if they are drawn or fetched."""
    return data.source.path if data.phantom is None else None


def _settings(study: Study) -> Settings | None:
    """The fewest settings by which the study file gives this very study; None if none do."""
    whole = _all(study)
    choices = itertools.product(
        (None, whole.seeds), (None, whole.arms), (None, "none", "imagenet"), dict.fromkeys((None, whole.folds))
    )
    for seeds, arms, weights, folds in sorted(choices, key=lambda choice: sum(value is not None for value in choice)):
        settings = replace(whole, weights=weights, seeds=seeds, folds=folds, arms=arms)
        try:
            if load(study.file, settings) == study:
                return settings
        except RescanError:
            continue  # these settings do not fit the file
    return None


def _options(study: Study, settings: Settings) -> list[str]:
    """The settings as entries of the configuration."""
    sources = {"": settings.source} if settings.source else {}
    sources |= {f".{name}": path for name, path in settings.extra_sources.items()}
    listed = ", ".join(f"{quoted(study.name + name)}: {quoted(str(path))}" for name, path in sources.items())
    changes = settings.changes.items()
    return [
        *([f"seeds={settings.seeds}"] if settings.seeds else []),
        *([f"folds={settings.folds}"] if settings.folds else []),
        *([f"arms={{{quoted(study.name)}: [{', '.join(map(quoted, settings.arms))}]}}"] if settings.arms else []),
        *([f"set={{{', '.join(f'{quoted(key)}: {flow(value)}' for key, value in changes)}}}"] if changes else []),
        *([f"sources={{{listed}}}"] if sources else []),
        *([f"weights={settings.weights}"] if settings.weights else []),
    ]
