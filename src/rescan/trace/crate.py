"""`ro-crate-metadata.json`: all provenance of a study as an RO-Crate 1.1 of the profile Process Run Crate 0.5.

https://w3id.org/ro/crate/1.1, https://w3id.org/ro/wfrun/process/0.5. The crate is made of the provenance alone, so that
the same provenance gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from rescan.checkout import in_words
from rescan.files import remove_temporaries, writing
from rescan.locks import locked
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.provenance_file import CodeUsed, FileState, Provenance, provenance_of
from rescan.study import Study

Entity = dict[str, Any]

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
LICENSE = "Not stated: whoever publishes these results says so here; the images have their owners' terms."
FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


def write_crate(study: Study) -> None:
    """Write a study's crate, of the provenance that can be read; where it cannot be written a warning says so.

    One process at a time does, so that the last one has read what all others wrote.
    """
    out = Paths(study.scale, study.name).crate
    try:
        with locked(out, "report"):
            remove_temporaries(Path(out))
            with writing(out) as temporary:
                temporary.write_text(crate(study, provenance_of(study)[0]), "utf-8")
    except OSError as error:
        logger.warning("%s: cannot be written (%s)", out, error.strerror)


def crate(study: Study, calls: Mapping[str, Provenance]) -> str:
    """The text of a study's crate.

    Args:
        study: The study.
        calls: Its provenance, by path.
    """
    root = Paths(study.scale, study.name).results
    files = {state.path: state for call in calls.values() for state in (*call.inputs, *call.outputs)}
    made = {state.path: state for call in calls.values() for state in call.outputs}
    entities = [_file(root, state) for _, state in sorted({**files, **made}.items())]
    records = [{"@id": _id(root, path), "@type": "File", "encodingFormat": FORMATS[".json"]} for path in calls]
    software = {_software_id(code): _software(call, code) for call in calls.values() for code in call.code}
    actions = [_action(root, path, call) for path, call in calls.items()]
    graph = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": SPECIFICATION},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": f"{study.title} ({study.scale})",
            "description": f"Results of the study {study.name} at scale {study.scale}, as Rescan made them.",
            "datePublished": max((_ended(call) for call in calls.values()), default="1970-01-01")[:10],
            "license": LICENSE,
            "conformsTo": {"@id": PROFILE},
            "hasPart": [{"@id": entity["@id"]} for entity in (*entities, *records) if entity["@type"] == "File"],
            "mentions": [{"@id": action["@id"]} for action in actions],
        },
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        *software.values(),
        *actions,
        *entities,
        *records,
    ]
    return json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False) + "\n"


def _id(root: str, path: str) -> str:
    """What a file is called: in the crate by its place, elsewhere, as of the data, by a name within the crate."""
    place = PurePosixPath(path)
    inside = root in map(str, place.parents)
    return quote(str(place.relative_to(root))) if inside else f"#{quote(path)}"


def _file(root: str, state: FileState) -> Entity:
    name = _id(root, state.path)
    entity: Entity = {"@id": name, "@type": "CreativeWork" if name.startswith("#") else "File"}
    entity["name"] = PurePosixPath(state.path).name if entity["@type"] == "File" else state.path
    entity["contentSize"] = str(state.bytes)
    entity["encodingFormat"] = FORMATS.get(PurePosixPath(state.path).suffix, "application/octet-stream")
    return entity if state.sha256 is None else {**entity, "sha256": state.sha256}


def _software_id(code: CodeUsed) -> str:
    return f"#rescan-{code.commit[:12] or 'unknown'}-{code.checksum}"


def _software(call: Provenance, code: CodeUsed) -> Entity:
    return {
        "@id": _software_id(code),
        "@type": "SoftwareApplication",
        "name": "Rescan",
        "softwareVersion": f"{call.versions.get('rescan')}, {in_words(code.commit, code.changes)}",
        "description": f"Commit: {code.commit or 'unknown'}. Checksum of its files (BLAKE2b): {code.checksum}.",
    }


def _action(root: str, path: str, call: Provenance) -> Entity:
    used = ", ".join(f"{name} {version}" for name, version in call.versions.items())
    about = [
        f"rescan {' '.join(call.command)}",
        used,
        f"{call.machine.device or 'cpu'} on {call.machine.system}",
        f"{call.seconds:.0f} s, {call.peak_memory / 1e6:.0f} MB",
    ]
    return {
        "@id": "#" + _id(root, path).replace("provenance/", "").removesuffix(".json"),
        "@type": "CreateAction",
        "name": call.title,
        "description": "; ".join(about),
        "instrument": _one_or_more([_software_id(code) for code in call.code]),
        "object": _one_or_more([_id(root, state.path) for state in call.inputs]),
        "result": _one_or_more([_id(root, state.path) for state in call.outputs]),
        "subjectOf": {"@id": _id(root, path)},
        "startTime": call.started,
        "endTime": _ended(call),
    }


def _one_or_more(names: list[str]) -> Entity | list[Entity]:
    """References; a single one stands alone."""
    references = [{"@id": name} for name in names]
    return references[0] if len(references) == 1 else references


def _ended(call: Provenance) -> str:
    end = datetime.fromisoformat(call.started) + timedelta(seconds=call.seconds)
    return end.isoformat(timespec="seconds")
