"""Finding the files that a table means: by their path, or their name alone, without its ending; or by their patient."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

from rescan.data.layouts.folders import MASKS, OF_VOLUMES, is_sample, samples_below, spelled, stem_of
from rescan.data.readers.images import SUFFIXES
from rescan.errors import RescanError
from rescan.log import logger
from rescan.patterns import compiled, matched
from rescan.walk import files_below

EXAMPLES = 3  # in a message
NUMBERED = re.compile(r"(\D*?)[ _.-]*0*(\d+)")  # letters, and a number
PERSONS = {"", "c", "case", "id", "p", "participant", "pat", "patient", "pid", "pt", "s", "sub", "subj", "subject"}


class Finder:
    """The files and folders below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, text: str, *, of_masks: bool = False) -> tuple[str, str]:
        """Find what a table calls by a path from the folder.

        The same file is meant where case, accents' form (NFC or NFD), slashes or %20 differ, or the ending is another
        or not said, or the folders above it; or where the path starts above the folder; as long as it is the only one.

        Args:
            text: The path.
            of_masks: Whether a file in a folder of masks is meant, if there is one elsewhere, too.

        Returns:
            Its path from the folder; or "", and what is wrong.
        """
        try:
            found = [self._find(way, of_masks=of_masks) for way in dict.fromkeys((text, unquote(text)))]
        except (OSError, ValueError) as error:  # a name that no file can have
            return "", f"no file {text[:100]!r} ({getattr(error, 'strerror', None) or error}); correct the path"
        return next((entry for entry in found if entry[0]), found[0])

    def _find(self, text: str, *, of_masks: bool) -> tuple[str, str]:
        path = PurePosixPath(text.replace("\\", "/"))
        if path.is_absolute() and self.folder.resolve() in Path(path).parents:
            path = PurePosixPath(path.relative_to(self.folder.resolve()))
        names = [PurePosixPath(text).as_posix()] if not PurePosixPath(text).is_absolute() else []
        inside = not path.is_absolute() and ".." not in path.parts
        for name in dict.fromkeys((*names, path.as_posix())) if inside else ():
            if (self.folder / name).is_file() or (self.folder / name).is_dir():
                return name, ""
        own = spelled(self.folder.resolve().name)
        after = next((place for place, name in enumerate(path.parts[:-1], 1) if spelled(name) == own), 0)
        below = "/".join(path.parts[after:])
        meant = self._meant(path) if inside else []
        meant = meant or ([below] if after and (self.folder / below).exists() else self._meant(PurePosixPath(below)))
        if not inside and (not after or (path.is_absolute() and Path(path).exists())):
            return "", f"{text} leaves the folder {self.folder}; give a path inside it"
        if len(meant) > 1:
            meant = [name for name in meant if is_sample(self.folder / name)]
        if len(meant) > 1:
            folders = {name: {*map(spelled, PurePosixPath(name).parts[:-1])} for name in meant}
            meant = [name for name in meant if of_masks == bool(MASKS & folders[name])] or meant
        if len(meant) > 1:
            return "", f"{text} may be {' or '.join(meant[:EXAMPLES])}; give its path from {self.folder}"
        return (meant[0], "") if meant else ("", f"no file {self.folder / text}; correct the path, or add the file")

    def _meant(self, path: PurePosixPath) -> list[str]:
        """The files and folders that are called so, or that have another ending than one of images."""
        name = path.as_posix()
        other = stem_of(name) if name.lower().endswith((*SUFFIXES, *OF_VOLUMES, ".dcm")) else name
        called = self._names.get(spelled(name))
        return called or [place for place in self._names.get(spelled(other), []) if (self.folder / place).is_file()]

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
    """The patient of each path, as a pattern's group finds it in the last part, or else anywhere; "" if it does not.

    Raises:
        RescanError: The pattern takes too long.
    """
    own = compiled(pattern)
    found = matched(
        lambda path: own.search(PurePosixPath(path).name) or own.search(path), paths, f"patient: {pattern!r}"
    )
    return [normalize("NFC", match[1] or "") if match else "" for match in found]


def checked_patients(folder: Path, paths: Sequence[str], pattern: str) -> list[str]:
    """The patient of each path by a pattern; says for how many it finds none.

    Raises:
        RescanError: It finds none at all.
    """
    patients = patients_by_pattern(paths, pattern)
    without = [path for path, patient in zip(paths, patients) if not patient]
    if without and len(without) == len(paths):
        raise RescanError(f"{folder}: patient: {pattern!r} finds no patient in any path, such as {paths[0]}; mend it")
    if without:
        message = "%s: patient: %r finds no patient in %d of %d paths, such as %s: each counts as one of its own"
        logger.warning(message, folder, pattern, len(without), len(paths), without[0])
    return patients


def files_of_patients(
    folder: Path, patients: Collection[str], pattern: str = "", files: str = "", sample: str = "file"
) -> tuple[dict[str, str], list[str], dict[str, list[str]]]:
    """Find the files of patients: by the pattern, or by a folder, or else a file, that is called as a patient.

    Folder 007, P007 or sub-7 is that of patient 7 (see `_meant`). Numbers are many: they are looked for only where they
    mean the most patients, at one depth of the folders or in the files' names.

    Args:
        folder: The data set's folder.
        patients: Their ids.
        pattern: A regular expression whose group is the patient; "" goes by names.
        files: Which files are read, a pattern as of the shell; "" reads all images and volumes.
        sample: What one is: each `file`, or each `folder` of slices.

    Returns:
        The patient of each path from the folder; the paths of no patient; and those that may be of several.

    Raises:
        RescanError: Files with a patient's number lie in several folders, which may be the patients.
    """
    found, _ = samples_below(folder, sample)
    paths = [str(path) for path in found if not files or fnmatch(str(path), files) or fnmatch(path.name, files)]
    mine: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    if pattern:
        by_pattern = dict(zip(paths, patients_by_pattern(paths, pattern)))
        meant = _meant(patients, by_pattern.values())
        mine = {path: meant[name] for path, name in by_pattern.items() if name in meant}
    else:
        mine, several = _by_names(patients, paths)
        left = [path for path in paths if path not in mine and path not in several]
        mine.update(_by_numbers(folder, patients, left, loose=not mine))
    return mine, [path for path in paths if path not in mine and path not in several], several


def _by_names(patients: Collection[str], paths: Sequence[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The patients of paths, of those whose ids are no mere numbers; and of paths that name several."""
    known = {normalize("NFC", patient): patient for patient in patients if not patient.isdecimal()}
    mine: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for path in paths:
        *folders, file = PurePosixPath(normalize("NFC", path)).parts
        names = dict.fromkeys(known[name] for name in folders if name in known)
        names = names or dict.fromkeys(known[name] for name in (file, stem_of(file)) if name in known)
        if len(names) == 1:
            mine[path] = next(iter(names))
        elif names:
            several[path] = list(names)
    return mine, several


def _by_numbers(folder: Path, patients: Collection[str], paths: Sequence[str], *, loose: bool) -> dict[str, str]:
    """The patients of paths by the numbers of folders of one depth, or else of files, whichever mean more patients.

    Args:
        folder: The data set's folder, for messages.
        patients: Their ids.
        paths: The paths.
        loose: Whether letters before a number may differ: not if any path is called as a patient is.
    """
    parts = {path: PurePosixPath(normalize("NFC", path)).parts for path in paths}
    depths = range(max(map(len, parts.values()), default=1) - 1)
    levels = [{path: names[depth] for path, names in parts.items() if len(names) > depth + 1} for depth in depths]
    levels.append({path: stem_of(names[-1]) for path, names in parts.items()})
    best: dict[str, str] = {}
    for level in levels:
        meant = _meant(patients, level.values(), loose=loose)
        mine = {path: meant[name] for path, name in level.items() if name in meant}
        if len(set(mine.values())) > len(set(best.values())):
            best, names = mine, level
    other = next((path for path in best if names[path] != best[path]), None)
    if best and names is levels[-1]:
        _check_folders(best)
    if other is not None:
        message = "%s: names of files and folders are read as patients by their numbers, such as %s as %s"
        logger.info(message, folder, names[other], best[other])
    return best


def _check_folders(mine: Mapping[str, str]) -> None:
    """Refuse files of one number in several folders: these may be the patients, whose images are numbered."""
    first: dict[str, str] = {}
    for path, patient in mine.items():
        other = first.setdefault(patient, path)
        if PurePosixPath(other).parent != PurePosixPath(path).parent:
            remedy = "give patient: a pattern of the files' paths in data.layout"
            raise RescanError(f"{other} and {path} lie in two folders, but may both be of patient {patient}; {remedy}")


def _meant(patients: Collection[str], names: Iterable[str], *, loose: bool = True) -> dict[str, str]:
    """The patient that each name means: who is called so, or else is the only one with its letters and number.

    Folder 007 is that of patient 7, and p07 that of P7. Where no name is written as the patients are, P007, sub-7 or
    `patient 7` is patient 7 (or A7), if these are the letters before all such numbers, and this is `loose`.
    """
    called = {normalize("NFC", patient): patient for patient in patients}
    numbered = {name: match for name in set(names) - set(called) if (match := NUMBERED.fullmatch(name))}
    own = {patient: match for name, patient in called.items() if (match := NUMBERED.fullmatch(name))}
    meant = {name: [called[name]] for name in set(names) & set(called)}

    def key(match: re.Match[str]) -> str:
        return f"{match[1].casefold()} {match[2]}"

    for shared in (False, True) if loose else (False,):
        if shared and (meant or len({match[1].casefold() for match in own.values()}) != 1):
            break
        keys: dict[str, list[str]] = {}
        for patient, match in own.items():
            keys.setdefault(match[2] if shared else key(match), []).append(patient)
        found = {name: match for name, match in numbered.items() if (match[2] if shared else key(match)) in keys}
        letters = {match[1].casefold() for match in found.values()}
        if not shared or (len(letters) == 1 and letters <= PERSONS):
            meant.update({name: keys[match[2] if shared else key(match)] for name, match in found.items()})
    return {name: found[0] for name, found in meant.items() if len(found) == 1}
