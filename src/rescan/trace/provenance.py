"""Writing the provenance of a step's call, when it has succeeded."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Optional

from rescan import checkout, touched
from rescan.errors import RescanError
from rescan.files import remove_temporaries, sha256
from rescan.log import logger
from rescan.paths import DOWNLOAD, PROVENANCE, RAW, RAW_EXTRA, Paths
from rescan.results.provenance_file import CodeUsed, FileState, Provenance, provenance_path
from rescan.study import Study
from rescan.touched import Notes, Signature
from rescan.trace import usage
from rescan.trace.keys_of_steps import key_of_step

if TYPE_CHECKING:
    from rescan.results.training_state import TrainingKey

TRAININGS, MODEL = ("train", "pretrain"), ".safetensors"
LARGE = 4_000_000  # bytes: of a larger file the checksum is looked up before it is computed
NO_RESULTS = (RAW, RAW_EXTRA, DOWNLOAD)  # of the data: the checksum in source.json stands for them
UNKNOWN = CodeUsed(commit="", changes="unknown", checksum="")
EXTERNAL_PARTS = 5  # results/<scale>/<study>/external/<name>


class Call(NamedTuple):
    """A step's call (see `traced`)."""

    step: str
    study: Optional[Study]
    name: Optional[str]
    fold: Optional[int]
    seed: Optional[int]


@contextmanager
def traced(
    step: str,
    study: Study | None = None,
    name: str | None = None,
    fold: int | None = None,
    seed: int | None = None,
) -> Iterator[None]:
    """Write the provenance of what a step does in this block, if it succeeds.

    A step whose provenance cannot be written has done its work, and what may be hours of it is not thrown away: a
    warning says so, and `rescan verify` finds the outputs without provenance.

    Args:
        step: The step's name.
        study: The study; None of a step that serves all.
        name: Of the arm, the preparation, the autoencoder or the encoder, where the step is of one.
        fold: The fold, where the step is of one.
        seed: The seed, where the step is of one.
    """
    started, clock, spent = datetime.now(timezone.utc), time.monotonic(), usage.cpu_seconds()
    checkout.code()  # now: files may be edited while the step runs
    with touched.noting() as notes:
        yield
    call = Call(step, study, name, fold, seed)
    path = provenance_path(step, Paths(study.scale, study.name) if study else None, name, *_run(fold, seed))
    try:
        remove_temporaries(Path(path))
        _provenance(call, notes, started, clock, spent).write(path)
    except (OSError, RescanError) as error:
        reason = getattr(error, "strerror", None) or error
        logger.warning("%s: cannot be written (%s): what this step made has no provenance", path, reason)
        _forget(path)


def _provenance(call: Call, notes: Notes, started: datetime, clock: float, spent: float) -> Provenance:
    """The provenance of a call that has ended now.

    Args:
        call: The call.
        notes: What it read and wrote.
        started: When it began, in UTC.
        clock: The same by `time.monotonic`.
        spent: The processor time of this process then.
    """
    study, seeds = call.study, [call.seed] if call.seed is not None else []
    outputs = [state for path in notes.written if (state := _state(path))]
    return Provenance(
        done=call.step,
        command=_command(call.step, sys.argv[1:]),
        study=study.name if study else "",
        name=call.name,
        fold=call.fold,
        seed=call.seed,
        seeds=seeds or (study.split.seeds if study else []),
        key=key_of_step(call.step, study, call.name) if study else "",
        code=_code(call.step, outputs),
        versions=usage.versions(),
        machine=usage.machine(_trained_on(call)),
        started=started.isoformat(timespec="seconds"),
        inputs=_inputs(notes),
        outputs=outputs,
        seconds=round(time.monotonic() - clock, 3),
        cpu_seconds=round(usage.cpu_seconds() - spent, 2),
        peak_memory=usage.peak_memory(),
    )


def _code(step: str, outputs: Sequence[FileState]) -> list[CodeUsed]:
    """The code of this process; of a training that of its network, which an earlier call may have trained in part."""
    if step in TRAININGS:  # only they import what follows, which takes as long as all else here
        from rescan.results.trained_model import read_trained_model

        models = [state.path for state in outputs if PurePosixPath(state.path).suffix == MODEL]
        trained = [code for path in models for code in read_trained_model(path).code]
        return trained or [UNKNOWN]  # a model of an older version, which an earlier call trained
    return [CodeUsed(**checkout.code()._asdict())]


def _trained_on(call: Call) -> TrainingKey | None:
    """What a training depends on, with its device: an earlier call may have trained. None of other steps."""
    study, name, fold, seed = call.study, call.name, call.fold, call.seed
    if study is None or name is None or fold is None or seed is None or call.step not in TRAININGS:
        return None
    from rescan.results.training_state import TrainingState

    paths = Paths(study.scale, study.name)
    folder = paths.state(name, fold, seed) if call.step == "train" else paths.autoencoder_state(name, fold, seed)
    return TrainingState.read(folder.state).key


def _run(fold: int | None, seed: int | None) -> list[str]:
    return [f"{word}{number}" for word, number in (("fold", fold), ("seed", seed)) if number is not None]


def _forget(path: str) -> None:
    """Remove provenance of an earlier call, which would tell of other files."""
    with suppress(OSError):  # then its checksums show that it is of others
        Path(path).unlink(missing_ok=True)


def _command(step: str, words: Sequence[str]) -> list[str]:
    """The words of a command as they may be published: no log, of paths elsewhere only the last part."""
    if words[:1] != [step]:  # as where a test calls the step
        return [step]
    shown: list[str] = []
    for before, word in zip(["", *words], words):
        if word == "--log" or before == "--log" or word.startswith("--log="):
            continue
        shown.append(_inside(word) or Path(word).name if Path(word).is_absolute() else word)
    return shown


def _inside(path: str) -> str | None:
    """A path relative to the working folder; None if it lies elsewhere."""
    relative = os.path.relpath(path) if Path(path).is_absolute() else path
    return None if relative == os.pardir or relative.startswith(f"{os.pardir}/") else relative


def _is_result(path: str) -> bool:
    """Whether a file is one that results depend on, or a result: no state of a training, no raw data."""
    parts = PurePosixPath(path).parts
    return (
        parts[:1] in (("results",), ("data",))
        and PROVENANCE not in parts
        and not any(part.startswith(".") or (part in NO_RESULTS and parts[0] == "data") for part in parts)
    )


def _state(path: str, known: dict[str, FileState] | None = None) -> FileState | None:
    """A file as it is now; None if it is no result or is not there.

    Args:
        path: As the step names it.
        known: Files whose checksums are known while their size and time of change are the same.
    """
    place, now = _inside(path), touched.signature(path)
    if place is None or now is None or not _is_result(place):
        return None
    old = (known or {}).get(place)
    if old and (old.bytes, old.modified) == (now.bytes, now.modified):
        return old
    return FileState(path=place, bytes=now.bytes, sha256=sha256(path), modified=now.modified)


def _inputs(notes: Notes) -> list[FileState]:
    """The files that a step read and did not write, as they were when it read them."""
    read = {path: was for path, was in notes.read.items() if path not in notes.written}
    known = _known(path for path, was in read.items() if was.bytes >= LARGE)
    states = []
    for path, was in read.items():
        state = _state(path, known)
        if state is not None:
            same = Signature(state.bytes, state.modified) == was
            changed = FileState(path=state.path, bytes=was.bytes, sha256=None, modified=was.modified)
            states.append(state if same else changed)
    return states


def _known(paths: Iterable[str]) -> dict[str, FileState]:
    """What the provenance of the studies that these files belong to says of outputs."""
    folders = dict.fromkeys(folder for path in paths if (folder := _folder(path)))
    files = [file for folder in folders for file in Path(folder).glob("[!.]*.json")]
    return {state.path: state for file in files for state in _outputs(file)}


def _outputs(file: Path) -> list[FileState]:
    """The outputs of one provenance file, whatever version wrote it; none if it is damaged."""
    try:
        return [FileState.model_validate(entry) for entry in json.loads(file.read_bytes())["outputs"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _folder(path: str) -> str | None:
    """The folder of the provenance of the step that made a file."""
    parts = PurePosixPath(_inside(path) or "").parts
    if parts[:2] == ("data", "weights"):
        return Paths.provenance_of_all()
    study = parts[2:EXTERNAL_PARTS] if parts[3:4] == ("external",) else parts[2:3]
    return Paths(parts[1], "/".join(study)).provenance if study else None
