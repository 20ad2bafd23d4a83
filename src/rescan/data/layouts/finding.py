"""Finding the files that a table means: by their path, or their name alone, without its ending; or by their patient."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from rescan.data.layouts.folders import is_sample, samples_below, spelled, stem_of
from rescan.walk import files_below

EXAMPLES = 3  # in a message


class Finder:
    """The files and folders below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, text: str) -> tuple[str, str]:
        """Find what a table calls by a path from the folder.

        The same file is meant where case, accents' form (NFC or NFD) or slashes differ, or the ending is not said, or
        the folders above it; as long as it is the only one.

        Returns:
            Its path from the folder; or "", and what is wrong.
        """
        path = PurePosixPath(text.replace("\\", "/"))
        if path.is_absolute():
            inside = self.folder.resolve() in Path(path).parents
            path = PurePosixPath(path.relative_to(self.folder.resolve())) if inside else path
        if path.is_absolute() or ".." in path.parts:
            return "", f"{text} leaves the folder {self.folder}; give a path inside it"
        names = [PurePosixPath(text).as_posix()] if not PurePosixPath(text).is_absolute() else []
        for name in dict.fromkeys((*names, path.as_posix())):
            if (self.folder / name).is_file() or (self.folder / name).is_dir():
                return name, ""
        meant = self._names.get(spelled(path.as_posix()), [])
        meant = [name for name in meant if is_sample(self.folder / name)] if len(meant) > 1 else meant
        if len(meant) > 1:
            return "", f"{text} may be {' or '.join(meant[:EXAMPLES])}; give its path from {self.folder}"
        return (meant[0], "") if meant else ("", f"no file {self.folder / text}; correct the path, or add the file")

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """The files and folders by what a table may call them."""
        names: dict[str, dict[str, None]] = {}
        start = len(str(self.folder)) + 1
        for file in files_below(self.folder):
            path = PurePosixPath(file.path[start:])
            for place in (path, *list(path.parents)[:-1]):
                spellings = {str(place), place.name, stem_of(str(place)), stem_of(place.name)}
                for spelling in map(spelled, spellings if place == path else (str(place), place.name)):
                    names.setdefault(spelling, {})[str(place)] = None
        return {spelling: sorted(places) for spelling, places in names.items()}


def patients_by_pattern(paths: Iterable[str], pattern: str) -> list[str]:
    """The patient of each path, as a pattern's group finds it in the last part, or else anywhere; "" if it does not."""
    compiled = re.compile(pattern)
    found = (compiled.search(PurePosixPath(path).name) or compiled.search(path) for path in paths)
    return [normalize("NFC", match[1] or "") if match else "" for match in found]


def files_of_patients(
    folder: Path, patients: Collection[str], pattern: str = "", files: str = "", sample: str = "file"
) -> tuple[dict[str, str], list[str], dict[str, list[str]]]:
    """Find the files of patients: by the pattern, or by a folder, or else a file, that is called as a patient.

    Folder 007 is that of patient 7, as spreadsheets write it, if no other patient is called by the same number.

    Args:
        folder: The data set's folder.
        patients: Their ids.
        pattern: A regular expression whose group is the patient; "" goes by names.
        files: Which files are read, a pattern as of the shell; "" reads all images and volumes.
        sample: What one is: each `file`, or each `folder` of slices.

    Returns:
        The patient of each path from the folder; the paths of no patient; and those that may be of several.
    """
    found, _ = samples_below(folder, sample)
    paths = [str(path) for path in found if not files or fnmatch(str(path), files) or fnmatch(path.name, files)]
    known = {normalize("NFC", patient): patient for patient in patients}
    mine: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    if pattern:
        by_pattern = dict(zip(paths, patients_by_pattern(paths, pattern)))
        mine = {path: known[patient] for path, patient in by_pattern.items() if patient in known}
    else:
        numbers = _numbers(known, paths)
        for path in paths:
            parts = PurePosixPath(normalize("NFC", path)).parts
            folders = dict.fromkeys(known[name] for part in parts[:-1] if (name := numbers.get(part, part)) in known)
            last = (parts[-1], stem_of(parts[-1]))  # which says less: in a patient's folder files often have numbers
            names = folders or dict.fromkeys(known[name] for part in last if (name := numbers.get(part, part)) in known)
            if len(names) == 1:
                mine[path] = next(iter(names))
            elif names:
                several[path] = list(names)
    return mine, [path for path in paths if path not in mine and path not in several], several


def _numbers(patients: Collection[str], paths: Iterable[str]) -> dict[str, str]:
    """The patients whom folders and files call by the same number with other zeros before it."""
    plain: dict[str, set[str]] = {}
    for patient in patients:
        if patient.isdecimal():
            plain.setdefault(patient.lstrip("0"), set()).add(patient)
    parts = {part for path in paths for part in (*PurePosixPath(path).parts, stem_of(PurePosixPath(path).name))}
    meant = {part: plain.get(part.lstrip("0"), set()) for part in parts - set(patients) if part.isdecimal()}
    return {part: next(iter(names)) for part, names in meant.items() if len(names) == 1}
