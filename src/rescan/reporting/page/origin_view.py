"""Which code made which numbers of a study's page, by the provenance of its steps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rescan.paths import Paths
from rescan.reporting.text.words import several
from rescan.results.provenance_file import Provenance, provenance_of
from rescan.study import Study

ORDER = (
    *("download", "index", "audit", "split", "explore", "preprocess"),
    *("pretrain", "train", "infer", "ensemble", "posttrain", "evaluate", "gradcam", "compare"),
)
SHOWN = ("rescan", "python", "torch", "numpy", "pandas", "sklearn")


@dataclass(frozen=True)
class OriginRow:
    """A version of the code, and what it made.

    Attributes:
        commits: Its commit; several, where the code of several is the same.
        checksum: Of the code.
        made: Step → what of: arms, preparations.
        software: Versions, where all its steps had the same.
        machine: Where it ran.
    """

    commits: str
    checksum: str
    made: Mapping[str, Sequence[str]]
    software: str
    machine: str


@dataclass(frozen=True)
class OriginView:
    """Where the numbers come from.

    Attributes:
        sentence: In one sentence.
        cautions: What limits it, in sentences.
        rows: The versions of the code.
    """

    sentence: str
    cautions: Sequence[str]
    rows: Sequence[OriginRow]


def origin_view(study: Study) -> OriginView:
    """Collect which code made a study's results."""
    found, faults = provenance_of(study)
    names = {None, *study.arms, *study.preparations, *study.autoencoders}
    calls = [call for call in found.values() if call.done in ORDER and call.name in names]
    calls.sort(key=lambda call: (ORDER.index(call.done), call.name or ""))
    codes = list(dict.fromkeys(code.checksum for call in calls for code in call.code))
    if not calls:
        return OriginView("Which version of the code made these numbers is unknown: no provenance is there.", [], [])
    unknown = _unknown(study, calls)
    all_of = "These numbers" if unknown else "All numbers of this page"
    rows = [_row(code, calls) for code in codes]
    if len(codes) == 1:
        sentence = f"{all_of} were made with one version of the code, {rows[0].commits}."
    else:
        sentence = f"{all_of} were made with {len(codes)} versions of the code:"
    cautions = (
        ("Numbers that different versions made may differ for that alone.", len(codes) > 1),
        ("Code with changes is in no commit: what it was cannot be looked up.", _are_changed(calls)),
        (f"Which code made {several(len(unknown), 'file')} is unknown: {', '.join(unknown[:3])}.", bool(unknown)),
        (f"{several(len(faults), 'file')} of provenance cannot be read: rescan verify says which.", bool(faults)),
    )
    return OriginView(sentence, [text for text, holds in cautions if holds], rows)


def _unknown(study: Study, calls: Sequence[Provenance]) -> list[str]:
    """The files with numbers that no call is known to have made."""
    paths = Paths(study.scale, study.name)
    runs = [run.folder for arm in study.arms for run in study.runs(arm)]
    files = [paths.manifest, paths.splits, paths.comparison, *(paths.arm(arm).metrics for arm in study.arms)]
    files += [file for run in runs for file in (run.model, run.predictions)]
    made = {state.path for call in calls for state in call.outputs}
    return [os.path.relpath(file, paths.results) for file in files if file not in made and Path(file).is_file()]


def _are_changed(calls: Sequence[Provenance]) -> bool:
    return any(code.changes == "some" for call in calls for code in call.code)


def _row(checksum: str, calls: Sequence[Provenance]) -> OriginRow:
    own = [call for call in calls if checksum in [one.checksum for one in call.code]]
    codes = [code.words for call in own for code in call.code if code.checksum == checksum]
    made: dict[str, dict[str, None]] = {}
    for call in own:
        made.setdefault(call.done, {}).update({call.name: None} if call.name else {})
    versions = {name: {call.versions[name] for call in own if name in call.versions} for name in SHOWN}
    software = [f"{name} {' and '.join(sorted(found))}" for name, found in versions.items() if found]
    images = [f"image {call.machine.image}" for call in own if call.machine.image]
    devices = [call.machine.device for call in own if call.machine.device]
    systems = [call.machine.system for call in own]
    return OriginRow(
        commits=" and ".join(dict.fromkeys(codes)),
        checksum=checksum,
        made={step: list(names) for step, names in made.items()},
        software=", ".join(software),
        machine=", ".join(dict.fromkeys([*systems, *images, *devices])),
    )
