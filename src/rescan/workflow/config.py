"""The configuration of the workflow: config.yaml and --config, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from rescan import catalogue
from rescan.errors import RescanError
from rescan.files import shown
from rescan.study import Strict
from rescan.study.bounds import MOST_SEEDS, FoldCount, JobsPerGpu, Seed, Threads
from rescan.study.faults import LONGEST_LINE, brief
from rescan.study.yaml_text import read_yaml

FLAVORS = ("cu113", "current")  # of the container image that `make image` builds


def _as_list(value: Any) -> Any:
    """One study or seed may be given without brackets."""
    return [value] if isinstance(value, (str, int)) else value


class Config(Strict):
    """What to run and where; config.yaml describes the keys."""

    scale: Literal["demo", "full"]
    studies: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
    sources: dict[str, str] = Field(default={})
    image: str = "cu113"
    arms: dict[str, list[str]] = Field(default={})
    folds: FoldCount | None = None
    seeds: Annotated[list[Seed], BeforeValidator(_as_list), Field(min_length=1, max_length=MOST_SEEDS)] | None = None
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
    return f"config: {key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {brief(fault['input'])}"
