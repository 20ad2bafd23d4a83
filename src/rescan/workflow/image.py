"""The container image of a run, and what its jobs see in it: checked before the first job."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from rescan import catalogue
from rescan.errors import RescanError
from rescan.named_files import is_there
from rescan.workflow.config import FLAVORS

MOUNTED = ("/tmp", "/var/tmp", "/dev", "/proc", "/sys")  # noqa: S108 - what Apptainer shows of a machine by itself
BINDS = ("APPTAINER_BIND", "SINGULARITY_BIND")
MORE_BINDS = ("APPTAINER_BINDPATH", "SINGULARITY_BINDPATH")  # Apptainer adds these to the others


def check_image(path: Path, flavor: str | None, locks: Path, arguments: str = "") -> None:
    """Check that jobs can run in an image: of the wanted flavor and lock if `make image` built it, else one with torch.

    Args:
        path: The .sif file.
        flavor: The flavor that it must be; None if any will do.
        locks: The folder of the locked environments, `<flavor>.txt`.
        arguments: What the command line hands to Apptainer (`--singularity-args`).

    Raises:
        RescanError: It isn't so, or there's no such file, or no Apptainer.
    """
    fault = _fault_of_path(path, flavor)
    if fault is not None:
        raise RescanError(f"config: image: {path} {fault}")
    program = shutil.which("apptainer") or shutil.which("singularity")
    if program is None:
        raise RescanError("--use-singularity: no apptainer on PATH; install Apptainer, or leave the option out")
    labels = _labels(program, path)
    built, lock = labels.get("rescan.flavor"), labels.get("rescan.lock")
    if flavor is not None and built != flavor:
        found = f"is of flavor {built}" if built else "bears no flavor"
        raise RescanError(f"config: image: {path} {found}; run `make image FLAVOR={flavor}`")
    if built in FLAVORS:
        if lock and lock != sha256((locks / f"{built}.txt").read_bytes()).hexdigest():
            raise RescanError(
                f"config: image: {path} is not of envs/{built}.txt as it is now; run `make image FLAVOR={built}`"
            )
        return
    find = "from importlib.util import find_spec; raise SystemExit(find_spec('torch') is None)"
    command = [program, "--quiet", "exec", *_words(arguments), str(path), "python", "-c", find]
    process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's own words
    if process.returncode:
        why = _last_line(process.stderr) or "its python has no torch"
        raise RescanError(f"config: image: jobs cannot run in {path}: {why}; use an image that `make image` builds")


def _fault_of_path(path: Path, flavor: str | None) -> str | None:
    if not is_there(path):
        own = f"give the path of a .sif file or a URI{catalogue.suggest(path.name, FLAVORS)}"
        return "is not there; " + (own if flavor is None else f"run `make image FLAVOR={flavor}`")
    if not path.is_file():
        return "is no file; give the path of a .sif file"
    if any(map(str.isspace, str(path))):
        return (
            "has a space in its path, which Snakemake does not take; copy it to another folder and give its path there"
        )
    return None


def _words(arguments: str) -> list[str]:
    try:
        return shlex.split(arguments)
    except ValueError as error:
        raise RescanError(f"--singularity-args: {arguments!r} cannot be read ({error})") from None


def _labels(program: str, path: Path) -> dict[str, str]:
    command = [program, "inspect", "--json", "--labels", str(path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a checked path
    try:
        labels = json.loads(process.stdout)["data"]["attributes"]["labels"]
    except (ValueError, KeyError, TypeError):
        why = _last_line(process.stderr)
        raise RescanError(
            f"config: image: {path} is no whole container image ({why}); build or copy it again"
        ) from None
    return labels or {}


def _last_line(text: str) -> str:
    """What a program said at last, without colors and Apptainer's word for its weight."""
    return re.sub(r"\x1b\[[\d;]*m|FATAL *:|ERROR *:", "", text).strip().rpartition("\n")[2].strip()


def check_binds(folders: Sequence[str], sources: Sequence[str], arguments: str = "") -> None:
    """Check that the jobs in a container see what they read.

    Args:
        folders: What the container shows of the machine, beside what the environment binds already.
        sources: Local sources, folders or archives.
        arguments: What the command line hands to Apptainer; it may bind more.

    Raises:
        RescanError: A folder that Apptainer cannot bind, or a link of a source to what is not shown.
    """
    words = _words(arguments.replace("--bind=", "--bind "))
    more = [after for word, after in zip(words, words[1:]) if word in ("-B", "--bind")]
    binds = [*binds_of(*BINDS, *MORE_BINDS), *(bind for text in more for bind in text.split(","))]
    shown = [place or source for source, place in ([*bind.split(":"), ""][:2] for bind in binds if bind)]
    seen = [Path(folder).resolve() for folder in (*folders, *shown, *MOUNTED)]
    faults = [
        f"{folder}: Apptainer cannot bind a path with a comma or a colon; rename the folder, or link to it from another"
        for folder in folders
        if {",", ":"} & set(folder)
    ]
    for source in sources:
        for link in _links(source) if Path(source).is_dir() else ():
            target = link.resolve()
            if not any(folder in (target, *target.parents) for folder in seen):
                faults.append(
                    f"{link} leads to {target}, which the container does not show; set APPTAINER_BIND={target.parent}"
                )
                break
    if faults:
        raise RescanError("\n".join(faults))


def binds_of(*variables: str) -> list[str]:
    """What variables of the environment tell Apptainer to bind: `source[:place[:options]]` each."""
    return [bind for name in variables for bind in os.environ.get(name, "").split(",") if bind]


def _links(folder: str) -> Iterator[Path]:
    """Symbolic links below a folder that lead somewhere; those below a linked folder are left alone."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():  # known from the folder's list: no file is asked
                yield from [path for path in [Path(entry.path)] if path.exists()]
            elif entry.is_dir():
                yield from _links(entry.path)
