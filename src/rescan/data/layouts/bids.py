"""The layout of BIDS: participants in a table, their files in folders by participant, session and datatype."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from rescan.data.layouts.finding import files_of_patients
from rescan.data.layouts.folders import stem_of, top_of
from rescan.data.layouts.table import AS_CALLED, SAID, of_patients, read_columns, to_manifest
from rescan.data.readers.tables import raise_all, without_placeholders
from rescan.errors import RescanError
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

    Folders that start otherwise, as `derivatives` and `sourcedata`, are not read. All may lie in a single top folder.

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
    rows = read_columns(path, {"patient": "participant_id", **columns})
    if "path" in rows:
        rows = rows.drop(columns="path")
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
    sessions = [SESSION.search(name) for name in rows["path"]]
    rows["study"] = [f"ses-{match[1]}" if match else "" for match in sessions]
    rows["sample"] = rows["path"]
    raise_all(faults if rows.empty else [])
    return to_manifest(path, root, top, rows, data, faults)
