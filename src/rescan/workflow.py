"""What the Snakefile needs before the first job: the run's configuration, checked; its image; its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from rescan import names
from rescan.errors import RescanError
from rescan.files import fingerprint
from rescan.paths import Paths
from rescan.phantoms import VERSION as PHANTOM_VERSION
from rescan.study import DataSet, Strict, Study
from rescan.study.file import load, read_yaml, tasks_of, write_resolved
from rescan.study.keys import study_key


def _listed(value: Any) -> Any:
    """One study or seed may be given without brackets."""
    return [value] if isinstance(value, (str, int)) else value


class Config(Strict):
    """config.yaml and --config, checked."""

    scale: Literal["demo", "full"]
    studies: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
    sources: dict[str, str] = Field(default={})
    image: str = "cu113"
    arms: dict[str, list[str]] = Field(default={})
    folds: Annotated[int, Field(gt=0)] | None = None
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_listed), Field(min_length=1)] | None = None
    weights: Literal["imagenet", "none"] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(gt=0)] = 2
    jobs_per_gpu: Annotated[int, Field(gt=0)] = 1
    partial: bool = False


FLAVORS = ("cu113", "current")


def state_of(path: str) -> list[Any]:
    """Names, sizes and times of change of a folder's files, or of one file; enough to see that they changed."""
    files = sorted(Path(path).rglob("*")) if Path(path).is_dir() else [Path(path)]
    found = ((file, file.stat()) for file in files if file.is_file())
    return [[str(file), stat.st_size, stat.st_mtime_ns] for file, stat in found]


def launch_folder(moved: bool) -> Path:
    """The folder in which the command was run, and in which the cluster's jobs that it submits take it to be.

    Args:
        moved: Whether Snakemake was told to work in another folder (`--directory`), where it is by now.
    """
    here = os.environ.get("PWD", ".") if moved else str(Path.cwd())
    return Path(os.environ.setdefault("RESCAN_LAUNCHED_IN", here))


class Run:
    """A checked configuration with its studies, each resolved at the configured scale."""

    def __init__(self, config: dict[str, Any], root: Path, launched_in: Path) -> None:
        """Check everything at once.

        Args:
            config: Snakemake's config.
            root: The checkout.
            launched_in: The folder that relative paths in `studies` and `sources` are relative to.

        Raises:
            RescanError: One line a fault.
        """
        self.root = root
        try:
            self.config = Config.model_validate(config)
        except ValidationError as error:
            raise RescanError("\n".join(dict.fromkeys(_say(fault) for fault in error.errors()))) from None
        self.launched_in = launched_in
        self.sources = {study: str(self._path(path)) for study, path in self.config.sources.items()}
        faults: list[str] = []
        self.files, self.tasks = self._find_files(faults)
        for name, (base, _) in self.tasks.items():  # a study's source serves its tasks, too
            self.sources |= {
                f"{name}{key[len(base) :]}": path
                for key, path in self.sources.items()
                if base == key.partition(".")[0] and f"{name}{key[len(base) :]}" not in self.sources
            }
        extras = {f"{study}.{name}" for study, path in self.files.items() for name in _extras_in(path)}
        bases = {base for base, _ in self.tasks.values()}
        for key, known in (("sources", {*self.files, *extras, *bases}), ("arms", {*self.files})):
            wrong = [study for study in getattr(self.config, key) if study not in known]
            faults += [f"config: {key}: no study {study!r} in this run{names.suggest(study, known)}" for study in wrong]
        for study, source in self.sources.items():
            if not Path(source).exists():
                faults.append(
                    f"config: sources.{study}: {source} is not there; give the path of a folder or an archive"
                )
        self.studies: dict[str, Study] = {}
        for study, path in self.files.items():
            try:
                self.studies[study] = load(
                    path,
                    self.config.scale,
                    self.config.weights,
                    self.config.seeds,
                    self.sources.get(study),
                    folds=self.config.folds,
                    arms=self.config.arms.get(study),
                    extra_sources=self._extra_sources(study),
                    task=self.tasks[study][1] if study in self.tasks else None,
                )
            except RescanError as error:
                faults.append(str(error))
        faults += self._arms_of_two_kinds()
        if faults:
            raise RescanError("\n".join(faults))

    def _arms_of_two_kinds(self) -> list[str]:
        """Arms that are ensembles in one study and trained in another: the workflow tells them apart by their names."""
        kinds: dict[str, dict[bool, str]] = {}
        for study, described in self.studies.items():
            for arm, recipe in described.arms.items():
                kinds.setdefault(arm, {})[recipe.ensemble is not None] = study
        return [
            f"config: studies: arm {arm!r} is an ensemble in {both[True]} and none in {both[False]}; rename one of them"
            for arm, both in kinds.items()
            if len(both) > 1
        ]

    def _extra_sources(self, study: str) -> dict[str, str]:
        """Local sources of a study's extra data, given as `<study>.<name of the extra>`."""
        return {key[len(study) + 1 :]: path for key, path in self.sources.items() if key.startswith(f"{study}.")}

    def _path(self, written: str) -> Path:
        """A path of the configuration: relative ones start where the command was run."""
        return (self.launched_in / Path(written).expanduser()).resolve()

    def _find_files(self, faults: list[str]) -> tuple[dict[str, Path], dict[str, tuple[str, str]]]:
        """The study files by study name: a name is a file in studies/, anything with .yaml a path.

        A task of the file may follow, after a colon: of these, by study name, the file's stem and the task.
        """
        shipped = {path.stem: path for path in sorted((self.root / "studies").glob("*.yaml"))}
        files: dict[str, Path] = {}
        tasks: dict[str, tuple[str, str]] = {}
        for entry in self.config.studies:
            study, _, task = entry.partition(":")
            path = self._path(study) if study.endswith((".yaml", ".yml")) else shipped.get(study)
            name = "" if path is None else f"{path.stem}-{task}" if task else path.stem
            if path is None:
                faults.append(f"config: studies: no study {study!r}{names.suggest(study, shipped)}")
            elif not path.is_file():
                faults.append(
                    f"config: studies: {path} is not there; give a name of studies/ or the path of a study file"
                )
            elif name in files:
                faults.append(f"config: studies: two studies are called {name!r}; rename one file")
            elif task and task not in (known := tasks_of(path)):
                faults.append(f"config: studies: {entry}: no task {task!r} in {path}{names.suggest(task, known)}")
            else:
                files[name] = path
                if task:
                    tasks[name] = (path.stem, task)
        return files, tasks

    def write_studies(self) -> None:
        """Write every study, resolved, where the steps read it; no rule does, as none shall rerun for it."""
        for name, study in self.studies.items():
            path = Path(Paths(study.scale, name).resolved)
            try:
                write_resolved(study, path)
            except OSError as error:
                raise RescanError(f"{path}: cannot be written ({error.strerror}); check the folder") from None

    def image(self, used: bool) -> str:
        """The container image: a flavor that `make image` builds, a local file, or an URI.

        Raises:
            RescanError: It is used, but the file isn't there.
        """
        chosen = self.config.image
        path = self.root / "images" / f"rescan-{chosen}.sif" if chosen in FLAVORS else self._path(chosen)
        if "://" in chosen:
            return chosen
        if used and not path.is_file():
            remedy = (
                f"run `make image FLAVOR={chosen}`" if chosen in FLAVORS else "give the path of a .sif file or an URI"
            )
            raise RescanError(f"config: image: {path} is not there; {remedy}")
        return str(path)

    def data_key(self, study: str) -> str:
        """What the download depends on: the data section, the phantom's version, the state of a local source."""
        made = [
            PHANTOM_VERSION if given.phantom else state_of(given.source.path) if given.source.path else ""
            for given in _data_sets(self.studies[study])
        ]
        sections = [f"data.{key}" for key in DataSet.model_fields]
        sections += [f"data.{key}" for key in ("classes", "labels", "ordered", "expected", "extra")]
        return fingerprint([study_key(self.studies[study], *sections), made])

    def set_environment(self) -> None:
        """Set `environment` for this process and the jobs that it starts."""
        os.environ.update(self.environment())

    def environment(self) -> dict[str, str]:
        """Environment of every job: code, interpreter, what Apptainer shall see, and settings that cause no rerun."""
        given = [part for study in self.studies.values() for part in _data_sets(study)]
        local = [part.source.path for part in given if not part.phantom]
        binds = [str(self.root), str(Path.cwd()), *(path for path in local if path)]
        data = Path("data")
        binds += [str(data.resolve())] if data.is_symlink() else []
        environment = {
            "PYTHONPATH": _prepend(f"{self.root}/src", "PYTHONPATH"),
            "PATH": _prepend(str(Path(sys.executable).parent), "PATH"),
            "RESCAN_DEVICE": self.config.device,
            "RESCAN_THREADS": str(self.config.threads),
            "RESCAN_JOBS_PER_GPU": str(self.config.jobs_per_gpu),
        }
        for prefix in ("APPTAINER", "SINGULARITY"):
            already = os.environ.get(f"{prefix}_BIND", "").split(",")
            environment[f"{prefix}_BIND"] = ",".join(dict.fromkeys(bind for bind in [*already, *binds] if bind))
            if self.config.device != "cpu" and Path("/proc/driver/nvidia/version").exists():
                environment[f"{prefix}_NV"] = "1"
        return environment


def _extras_in(path: Path) -> list[str]:
    """The names of a study file's extra data; none if it cannot be read, which is said elsewhere."""
    try:
        data = read_yaml(path).get("data")
    except RescanError:
        return []
    extra = data.get("extra") if isinstance(data, dict) else None
    return list(extra) if isinstance(extra, dict) else []


def _data_sets(study: Study) -> list[DataSet]:
    return [study.data, *study.data.extra.values()]


def _prepend(first: str, variable: str) -> str:
    rest = [part for part in os.environ.get(variable, "").split(os.pathsep) if part and part != first]
    return os.pathsep.join([first, *rest])


def _say(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"config: {key}: unknown key{names.suggest(key, Config.model_fields)}"
    return f"config: {key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}"
