"""The configuration of the workflow: config.yaml and --config, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from rescan import catalogue
from rescan.errors import RescanError, shown
from rescan.study import Strict
from rescan.study.bounds import MOST_ENTRIES, MOST_SEEDS, FoldCount, JobsPerGpu, Seed, Threads
from rescan.study.faults import LONGEST_LINE, brief
from rescan.study.yaml_text import read_yaml

FLAVORS = ("cu113", "current")  # of the container image that `make image` builds


def _as_list(value: Any) -> Any:
    """One study or seed may be given without brackets."""
    return [value] if isinstance(value, (str, int)) else value


def _one_line(text: str) -> str:
    """Refuse text that is no line, as no path or name has it."""
    if not text.isprintable():
        raise ValueError("holds a line break or another character that cannot be printed")
    return text


Line = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_one_line)]


class Config(Strict):
    """What to run and where; config.yaml describes the keys."""

    scale: Literal["demo", "small", "full"]
    studies: Annotated[list[Line], Field(min_length=1, max_length=MOST_ENTRIES), BeforeValidator(_as_list)]
    sources: dict[Line, Line] = Field(default={})
    image: Line = "cu113"
    arms: dict[Line, Annotated[list[Line], Field(min_length=1)]] = Field(default={})
    set: dict[Line, Any] = Field(default={})
    folds: FoldCount | None = None
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=MOST_SEEDS), BeforeValidator(_as_list)] | None = None
    weights: Literal["imagenet", "none"] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Threads = 2
    jobs_per_gpu: JobsPerGpu = 1
    partial: bool = False


def read_config(config: dict[str, Any]) -> Config:
    """Check Snakemake's config.

    Raises:
        RescanError: One line per fault.
    """
    try:
        return Config.model_validate(config)
    except ValidationError as error:
        raise RescanError("\n".join(dict.fromkeys(_message(fault) for fault in error.errors()))) from None


def read_config_file(root: Path) -> dict[str, Any]:
    """The content of the checkout's config.yaml.

    Raises:
        RescanError: It is not there, or no YAML that is read.
    """
    file = root / "config.yaml"
    if not file.exists():
        raise RescanError(f"{file}: is not there; run Rescan from its checkout")
    return read_yaml(file, "a configuration is a mapping with keys such as scale, studies, sources")


def _message(fault: Any) -> str:
    key = shown(".".join(str(part) for part in fault["loc"])[:LONGEST_LINE])
    if fault["type"] == "extra_forbidden":
        return f"config: {key}: unknown key{catalogue.suggest(key, Config.model_fields)}"
    if fault["type"] == "value_error":
        return f"config: {key}: {fault['ctx']['error']}"
    if fault["type"] == "dict_type":
        return f"config: {key}: needs a mapping, such as {{key: value}}, not {brief(fault['input'])}"
    return f"config: {key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {brief(fault['input'])}"
