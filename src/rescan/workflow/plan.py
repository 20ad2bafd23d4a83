"""The plan of a workflow: its configuration, checked, with its studies, each resolved at the configured scale."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from rescan import catalogue
from rescan.errors import RescanError
from rescan.named_files import at_home, is_file, is_folder
from rescan.paths import Paths
from rescan.study import DataSet, Settings, Study, write_resolved
from rescan.study.file import is_key_path, load
from rescan.study.yaml_text import typed
from rescan.workflow.config import FLAVORS, read_config
from rescan.workflow.image import check_image
from rescan.workflow.study_files import StudyEntry, find
from rescan.workflow.wildcards import Wildcards


class Plan:
    """A checked configuration (`config`) with its resolved studies by name (`studies`)."""

    def __init__(self, config: dict[str, Any], root: Path, launched_in: Path) -> None:
        """Check everything at once.

        Args:
            config: Snakemake's config.
            root: The checkout.
            launched_in: The folder that relative paths in `studies` and `sources` are relative to.

        Raises:
            RescanError: One line per fault.
        """
        self.root, self.launched_in = root, launched_in
        self.config = read_config(config)
        files, faults = find(self.config.studies, root / "studies", self._absolute)
        sources = self._sources(files)
        faults += self._unknown_studies(files)
        faults += [
            f"config: sources.{study}: {source}: no such folder or archive; give the path of one"
            for study, source in sources.items()
            if not (is_file(source) or is_folder(source))
        ]
        self.studies: dict[str, Study] = {}
        self.named = {*files, *(file.study for file in files.values() if file.task)}  # by whom `set` may be meant
        for name, file in files.items():
            try:
                self.studies[name] = self._load(name, file, sources)
            except RescanError as error:
                faults.append(str(error))
        faults += self._arms_of_two_kinds()
        if faults:
            raise RescanError("\n".join(faults))

    def paths(self, study: str) -> Paths:
        """Where the files of a study are."""
        return Paths(self.config.scale, study)

    def priority(self, wildcards: Wildcards) -> int:
        """Which jobs go first, where several could: those of the first study, so that its page stands first."""
        return len(self.studies) - [*self.studies].index(wildcards.study.partition("/")[0])

    def data_sets(self) -> list[DataSet]:
        """The data of all studies: their own, extra and external ones."""
        return [data for study in self.everything.values() for data in (study.data, *study.data.extra.values())]

    @cached_property
    def everything(self) -> dict[str, Study]:
        """The studies and, as studies of their own, their external data sets."""
        external = [own for study in self.studies.values() for own in study.externals.values()]
        return {**self.studies, **{own.name: own for own in external}}

    def write_studies(self) -> None:
        """Write every resolved study where the steps read it. No rule does it, because none may rerun for it."""
        for name, study in self.studies.items():
            path = Path(self.paths(name).resolved)
            try:
                write_resolved(study, path)
            except OSError as error:
                raise RescanError(f"{path}: cannot be written ({error.strerror}); check the folder") from None

    def local_sources(self) -> list[str]:
        """The folders, archives and tables of this machine that are read where they are."""
        data_sets = [data for data in self.data_sets() if not data.phantom]
        tables = [str(data.layout.get("file", "")) for data in data_sets]
        return [*(data.source.path for data in data_sets if data.source.path), *filter(os.path.isabs, tables)]

    def image(self, arguments: str = "") -> str:
        """The container image: a flavor that `make image` builds or a local file, checked; or a URI, as it is.

        Args:
            arguments: What the command line hands to Apptainer.

        Raises:
            RescanError: Jobs can't run in it.
        """
        image = self.config.image
        if "://" in image:
            return image
        flavor = image if image in FLAVORS else None
        path = self.root / "images" / f"rescan-{flavor}.sif" if flavor else self._absolute(image)
        check_image(path, flavor, self.root / "envs", arguments)
        return str(path)

    def _absolute(self, path: str) -> Path:
        """A path of the configuration: relative ones start where the command was run."""
        return (self.launched_in / at_home(path)).resolve()

    def _sources(self, files: dict[str, StudyEntry]) -> dict[str, str]:
        """Local sources by `<study>` or `<study>.<name of other data>`; a study's sources serve its tasks, too."""
        sources = {key: str(self._absolute(path)) for key, path in self.config.sources.items()}
        for name, file in files.items():
            for key, path in list(sources.items()):
                if file.task and key.partition(".")[0] == file.study:
                    sources.setdefault(f"{name}{key[len(file.study) :]}", path)
        return sources

    def _unknown_studies(self, files: dict[str, StudyEntry]) -> list[str]:
        """One line per key of `sources`, `arms` and `set` that names no study of the configuration."""
        extras = {f"{name}.{extra}" for name, file in files.items() for extra in file.other_sources()}
        bases = {file.study for file in files.values() if file.task}
        set_in = {key for key, own in self.config.set.items() if isinstance(own, dict) and not is_key_path(key)}
        named = (
            ("sources", self.config.sources, {*files, *extras, *bases}),
            ("arms", self.config.arms, {*files}),
            ("set", set_in, {*files, *bases}),
        )
        return [
            f"config: {key}: no study {study!r} in this run{catalogue.suggest(study, studies)}"
            for key, given, studies in named
            for study in given
            if study not in studies
        ]

    def _load(self, name: str, file: StudyEntry, sources: dict[str, str]) -> Study:
        settings = Settings(
            self.config.scale,
            weights=self.config.weights,
            seeds=self.config.seeds,
            folds=self.config.folds,
            arms=self.config.arms.get(name),
            changes=self._changes(name, file),
            source=sources.get(name),
            extra_sources={key[len(name) + 1 :]: path for key, path in sources.items() if key.startswith(f"{name}.")},
            task=file.task,
        )
        return load(file.path, settings)

    def _changes(self, name: str, file: StudyEntry) -> dict[str, Any]:
        """What `set` sets in a study: in all studies by a key path, in one by its name, and in its tasks.

        Raises:
            RescanError: What stands behind a study's name is no mapping.
        """
        given = self.config.set.items()
        for_all = [(key, value) for key, value in given if is_key_path(key) or not isinstance(value, dict)]
        changes = {key: value for key, value in for_all if key not in self.named}
        for one in dict.fromkeys((file.study, name) if file.task else (name,)):
            own = self.config.set.get(one, {})
            if not isinstance(own, dict):
                raise RescanError(f"config: set.{one}: needs a mapping, such as {{recipe.network.encoder: resnet18}}")
            changes |= own
        return {str(key): typed(value) for key, value in changes.items()}

    def _arms_of_two_kinds(self) -> list[str]:
        """Arms that are ensembles in one study and trained in another: the workflow tells them apart by their names."""
        kinds: dict[str, dict[bool, str]] = {}
        for name, study in self.studies.items():
            for arm, recipe in study.arms.items():
                kinds.setdefault(arm, {})[recipe.ensemble is not None] = name
        return [
            f"config: studies: arm {arm!r} is an ensemble in {both[True]} and none in {both[False]}; rename one of them"
            for arm, both in kinds.items()
            if len(both) > 1
        ]
