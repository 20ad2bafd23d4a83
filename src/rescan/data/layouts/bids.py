"""The layout of BIDS: participants in a table, their files in folders by participant, session and datatype."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from rescan.catalogue import KNOWN_COLUMNS
from rescan.data.layouts.finding import files_of_patients
from rescan.data.layouts.folders import stem_of, top_of
from rescan.data.layouts.table import AS_CALLED, SAID, of_patients, read_columns, to_manifest, with_labels
from rescan.data.readers.tables import PLACEHOLDERS, bare, pick, raise_all, read_table, without_placeholders
from rescan.errors import RescanError
from rescan.spelling import plain
from rescan.study import Data

PARTICIPANT, SESSION = re.compile(r"(?:^|/)sub-([A-Za-z0-9]+)/"), re.compile(r"/ses-([A-Za-z0-9]+)/")


def bids(
    root: Path,
    data: Data,
    file: str = "participants.tsv",
    columns: Mapping[str, str] = AS_CALLED,
    datatype: str = "",
    suffix: str = "",
    session: str = "",
) -> pd.DataFrame:
    """Read `participants.tsv` and `sub-<label>/[ses-<label>/]<datatype>/<entities>_<suffix>.<ending>`.

    What `sub-<label>/sub-<label>_sessions.tsv`, or `sessions.tsv` beside the participants, says of a session wins over
    what is said of the participant. Folders that start otherwise, as `derivatives` and `sourcedata`, are not read. All
    may lie in a single top folder.

    Args:
        root: The data set's folder.
        data: For the classes.
        file: The table of participants, absolute or in root; columns as of `table`, one row per participant.
        columns: What they are called there; the patient is `participant_id` unless it says something else.
        datatype: The folder that is read, such as anat; "" reads all.
        suffix: What files' names end with before the ending, such as T1w; "" reads all.
        session: The session that is read; "" reads all.

    Returns:
        The manifest; a sample is named by its path, its study is the session.

    Raises:
        RescanError: One line per fault, with the file's line number.
    """
    top = top_of(root, file)
    path = top / file
    sessions = sessions_of(top, columns)
    header = {bare(str(name)) for name in read_table(path, "add it")} if len(sessions) else set()
    own = {name: called for name, called in columns.items() if name not in sessions or bare(called) in header}
    needed = () if "label" in sessions else ("label",)
    rows = read_columns(path, {"patient": "participant_id", **own}, needed=needed)
    rows = rows.drop(columns="path", errors="ignore")
    rows = without_placeholders(path, rows, [name for name in SAID if name in rows])
    rows["patient"] = rows["patient"].str.replace("^sub-", "", regex=True)
    patients, others, several = files_of_patients(top, set(rows["patient"]), PARTICIPANT.pattern)

    def is_read(name: str) -> bool:
        place = PurePosixPath(name)
        ses = SESSION.search(name)
        return (
            place.parts[0].startswith("sub-")
            and (not datatype or place.parent.name == datatype)
            and (not suffix or stem_of(place.name).endswith(f"_{suffix}"))
            and (not session or (ses is not None and ses[1] == session.removeprefix("ses-")))
        )

    read = {name: patient for name, patient in patients.items() if is_read(name)}
    if patients and not read:
        there = sorted({f"{PurePosixPath(name).parent.name}/{stem_of(name).rpartition('_')[2]}" for name in patients})
        remedy = "set datatype, suffix and session of data.layout to what is there"
        raise RescanError(f"{top}: no file is read; there are {', '.join(there[:10])}; {remedy}")
    left = [name for name in others if is_read(name)]
    rows, faults = of_patients(path, top, rows, (read, left, several))
    matches = [SESSION.search(name) for name in rows["path"]]
    rows["study"] = [f"ses-{match[1]}" if match else "" for match in matches]
    rows["sample"] = rows["path"]
    rows = with_labels(path, _with_sessions(rows, sessions), data)
    raise_all(faults if rows.empty else [])
    return to_manifest(path, root, top, rows, data, faults)


def sessions_of(top: Path, columns: Mapping[str, str] = AS_CALLED) -> pd.DataFrame:
    """What the tables of sessions say: `patient`, `session`, and those of `label`, `age`, … that they have.

    Args:
        top: The folder of `participants.tsv`.
        columns: What they are called, where it is something else.

    Raises:
        RescanError: A table has no column of sessions, or of participants where it is one of all.
    """
    tables = []
    for file in [*top.glob("sessions.tsv"), *sorted(top.glob("sub-*/sub-*_sessions.tsv"))]:
        table = read_table(file, "add it")
        if file.parent != top:
            table = table.assign(participant_id=file.parent.name)
        must = {"patient": ["participant_id"], "session": ["session_id"]}
        pick(file, table[[name for name in table if bare(str(name)) in {"participantid", "sessionid"}]], must)
        tables.append(table)
    if not tables:
        return pd.DataFrame()
    optional = {name: [columns.get(name, name)] for name in ("label", "eye", *KNOWN_COLUMNS)}
    file = top / "sub-*/sub-*_sessions.tsv" if len(tables) > 1 else file
    rows = pick(file, pd.concat(tables, ignore_index=True).fillna(""), must, optional)
    return without_placeholders(file, rows, [name for name in rows if name in SAID and name != "patient"])


def _with_sessions(rows: pd.DataFrame, sessions: pd.DataFrame) -> pd.DataFrame:
    """The rows of files, with what is said of their session."""
    if sessions.empty:
        return rows

    def key(patient: str, session: str) -> str:
        return f"{plain(patient.removeprefix('sub-'))} {plain(session.removeprefix('ses-'))}"

    places = {key(*names): place for place, names in enumerate(zip(sessions["patient"], sessions["session"]))}
    of_rows = [places.get(key(*names), -1) for names in zip(rows["patient"], rows["study"])]
    for name in sessions.columns.difference(["patient", "session"]):
        own = rows[name] if name in rows else pd.Series("", rows.index)
        said = [sessions[name].iloc[place] if place >= 0 else "" for place in of_rows]
        rows[name] = [old if new.casefold() in PLACEHOLDERS else new for new, old in zip(said, own)]
    return rows
