"""Files against the provenance of the steps that made and read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rescan.files import sha256
from rescan.paths import STATES, Paths
from rescan.results.provenance_file import FileState, Provenance
from rescan.study import Study
from rescan.trace.keys_of_steps import key_of_step
from rescan.trace.verified import Findings

ARRAY = ".npy"
NOT_MADE_BY_STEPS = ("study.json", "ro-crate-metadata.json", ".snakemake_timestamp")
FOLDERS = ("provenance", "tensorboard", "external", STATES)


@dataclass(frozen=True)
class _Made:
    """The call that made a file, and the file as it was then."""

    call: Provenance
    state: FileState


def check_files(study: Study, calls: Mapping[str, Provenance], findings: Findings, *, stores: bool) -> None:
    """Compare the files that calls made and read with what is there.

    Args:
        study: The study.
        calls: Its provenance, by path, with that of steps that serve all studies.
        findings: Where to put what is wrong.
        stores: Whether to read the arrays of packed stores, which may be large; else only their sizes are compared.
    """
    made: dict[str, _Made] = {}
    for call in sorted(calls.values(), key=lambda call: call.started):
        made.update({state.path: _Made(call, state) for state in call.outputs})
    wrong = {path for path, one in made.items() if not _is_whole(study, path, one, findings, stores=stores)}
    for call in calls.values():
        _check_inputs(call, made, wrong, findings)
        if not call.outputs:
            continue
        if call.name not in (None, *_names(study)) and call.study:
            findings.note(f"{_main(call)}: of {call.title}, which study.json no longer has")
        elif call.key and call.study and call.key != key_of_step(call.done, study, call.name):
            fault = f"was made by {call.title} with other settings than study.json has now"
            findings.fault(_main(call), fault, f"run {call.done} again")
    _check_codes(study, [call for call in calls.values() if call.study], findings)
    _note_unnamed(study, made, findings)


def _main(call: Provenance) -> str:
    """The output that stands for all: the first of those that lie the least deep, such as metrics.json or the page."""
    return min((state.path for state in call.outputs), key=lambda path: path.count("/"))


def _names(study: Study) -> list[str]:
    return [*study.arms, *study.preparations, *study.autoencoders]


def _is_whole(study: Study, path: str, made: _Made, findings: Findings, *, stores: bool) -> bool:
    """Whether a file is as it was made."""
    file, state, call = Path(path), made.state, made.call
    if not file.is_file():
        if path.startswith("data/") and not Path(Paths(study.scale, study.name).data).is_dir():
            findings.note("data/ is not here: what was read from it could not be compared with what is there")
        elif call.name in (None, *_names(study)):
            findings.fault(path, f"is missing; {call.title} made it", f"run {call.done} again")
        return True  # what was made of it is not of another version
    size = file.stat().st_size
    if size == state.bytes and path.startswith("data/") and file.suffix == ARRAY and not stores:
        findings.note("only the sizes of arrays of packed stores were compared; --stores reads them")
        return True
    findings.checked, findings.bytes = findings.checked + 1, findings.bytes + size
    if size == state.bytes and sha256(file) == state.sha256:
        return True
    fault = f"is not what {call.title} wrote ({state.bytes:,} bytes then, {size:,} now): edited or damaged"
    findings.fault(path, fault, f"restore it, or delete it and run {call.done} again")
    return False


def _check_inputs(call: Provenance, made: Mapping[str, _Made], wrong: set[str], findings: Findings) -> None:
    """Whether a call read what is there now; a file that was edited since is said once, by itself."""
    if not call.outputs:
        return
    changed = []
    for state in call.inputs:
        if state.path in made:
            stale = state.sha256 != made[state.path].state.sha256 and state.path not in wrong
        else:
            stale = Path(state.path).is_file() and state.sha256 != sha256(state.path)
        changed += [state.path] if stale else []
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        fault = f"{call.title} read another version of {changed[0]}{more} than is there now"
        findings.fault(_main(call), fault, f"run {call.done} again")


def _check_codes(study: Study, calls: list[Provenance], findings: Findings) -> None:
    """Whether one code made all, and a commit tells which."""
    codes = {code.checksum: code for call in calls for code in call.code}
    if len(codes) > 1:
        steps = {
            checksum: sorted({call.done for call in calls for code in call.code if code.checksum == checksum})
            for checksum in codes
        }
        parts = [f"{code.words}: {', '.join(steps[checksum])}" for checksum, code in codes.items()]
        findings.note(f"{study.name}: made with {len(codes)} versions of the code: {'; '.join(parts)}")
    elif any(code.changes == "some" for code in codes.values()):
        findings.note(f"{study.name}: made with {next(iter(codes.values())).words}, which no commit holds")


def _note_unnamed(study: Study, made: Mapping[str, _Made], findings: Findings) -> None:
    """Files among the results that no provenance names, so that nothing is known of them."""
    top = Path(Paths(study.scale, study.name).results)
    unnamed = [
        path.as_posix()
        for path in sorted(top.rglob("*"))
        if path.is_file()
        and path.as_posix() not in made
        and path.name not in NOT_MADE_BY_STEPS
        and not any(part.startswith(".") or part in FOLDERS for part in path.relative_to(top).parts)
    ]
    if unnamed:
        more = f" and {len(unnamed) - 1} more" if len(unnamed) > 1 else ""
        findings.note(f"{unnamed[0]}{more}: no step's provenance names it, so it could not be checked")
