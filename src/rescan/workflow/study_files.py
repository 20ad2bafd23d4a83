"""Which study files a configuration names, and which task of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rescan import catalogue
from rescan.errors import RescanError
from rescan.named_files import is_file
from rescan.study.file import tasks_of
from rescan.study.merge import other_data
from rescan.study.yaml_text import read_yaml


@dataclass(frozen=True)
class StudyEntry:
    """A study file and the task of it that is run, if it is one of several."""

    path: Path
    task: str | None

    @property
    def study(self) -> str:
        """The name of the study without its task."""
        return self.path.stem

    def other_sources(self) -> list[str]:
        """The names of its extra and its external data; none if it cannot be read (`load` reports that)."""
        try:
            return list(other_data(read_yaml(self.path)))
        except RescanError:
            return []


def find(entries: list[str], folder: Path, absolute: Callable[[str], Path]) -> tuple[dict[str, StudyEntry], list[str]]:
    """Find the study files.

    Args:
        entries: Each the name of a file in `folder`, or a path that ends in .yaml; a task of the file may follow, after
            a colon.
        folder: Where the shipped study files are.
        absolute: Makes a path of the configuration absolute.

    Returns:
        The files by the study's name (with a task: `<name>-<task>`), and one line per fault.
    """
    shipped = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    files: dict[str, StudyEntry] = {}
    faults = []
    for entry in entries:
        study, _, task = entry.partition(":")
        path = absolute(study) if study.endswith((".yaml", ".yml")) else shipped.get(study)
        if path is None:
            faults.append(f"config: studies: no study {study!r}{catalogue.suggest(study, shipped)}")
            continue
        name = f"{path.stem}-{task}" if task else path.stem
        if not is_file(path):
            faults.append(f"config: studies: {path}: no such file; give a name of studies/ or the path of a study file")
        elif name in files:
            faults.append(f"config: studies: two studies are called {name!r}; rename one file")
        elif task and task not in (tasks := tasks_of(path)):
            faults.append(f"config: studies: {entry}: no task {task!r} in {path}{catalogue.suggest(task, tasks)}")
        else:
            files[name] = StudyEntry(path, task or None)
    return files, faults
