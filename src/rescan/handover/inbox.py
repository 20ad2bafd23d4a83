"""What has arrived in a folder, and is finished: nothing of it changed for a while. It is looked at again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple, Optional

from rescan.data.layouts.folders import is_sample
from rescan.errors import RescanError, shown
from rescan.files import fingerprint, sha256
from rescan.log import logger
from rescan.predict import is_one_volume, volumes_among
from rescan.walk import entries_of, files_below

TEMPORARY = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", "~")
OF_VOLUMES = (".nii", ".nii.gz", ".mgh", ".mgz", ".nrrd")  # endings of files that are a volume each
MOST = 4096  # samples that one look gives, and images whose state is remembered between two

Stamp = tuple[int, int, int]  # a file's size in bytes, and the nanoseconds of its last change and of that of its entry


class Arrival(NamedTuple):
    """A sample that has arrived.

    Attributes:
        name: Its path from the folder.
        path: The file, or the folder of slices.
        state: Tells whether it has changed: by size and times, of a folder of slices those of all its files.
        arrived: When, in nanoseconds by the file system's clock.
    """

    name: str
    path: Path
    state: str
    arrived: int


class Inbox:
    """A folder that is watched.

    Attributes:
        waiting: How many samples the last look found that are not predicted, finished or not.
    """

    def __init__(self, folder: Path, settle: float, *, reads_volumes: bool) -> None:
        """Take the folder, the seconds for which a finished file has not changed, and whether samples are volumes."""
        self.folder, self.settle, self.reads_volumes = folder, settle, reads_volumes
        self.waiting = 0
        self._since: dict[str, tuple[Stamp, float]] = {}
        self._left_out: dict[str, Stamp] = {}  # files that are no samples
        self._volumes: dict[str, tuple[Stamp, Optional[bool]]] = {}  # of finished files: a volume, a slice, or neither
        self._said: set[str] = set()

    def look(self, known: Callable[[str], Optional[str]], now: float) -> list[Arrival]:
        """The finished samples that are new or have changed, in order of arrival; not more than `MOST`.

        Args:
            known: The state in which a sample was predicted, by its name; None if it was not.
            now: Seconds of a clock that only goes forward.
        """
        arrivals = self._volumes_at(known, now) if self.reads_volumes else self._images_at(known, now)
        return sorted(arrivals, key=lambda arrival: (arrival.arrived, arrival.name))[:MOST]

    def _images_at(self, known: Callable[[str], Optional[str]], now: float) -> Iterator[Arrival]:
        self.waiting = 0

        def new() -> Iterator[tuple[str, Stamp]]:
            for name, stamp in self._stamps():
                if self._left_out.get(name) != stamp and known(name) != _text(stamp):
                    self.waiting += 1
                    yield name, stamp

        first = dict(nsmallest(MOST, new(), key=lambda file: (file[1][2], file[0])))
        for name in self._settled(first, now):
            path = self.folder / name
            if is_sample(path):
                yield Arrival(name, path, _text(first[name]), first[name][2])
            else:
                self._left_out[name] = first[name]
                self.waiting -= 1
                logger.info("%s: is no image; left out", shown(name))

    def _volumes_at(self, known: Callable[[str], Optional[str]], now: float) -> Iterator[Arrival]:
        files = dict(self._stamps())
        settled = set(self._settled(files, now))
        self._volumes = {name: self._kind(name, files[name]) for name in settled}
        kinds = {self.folder / name: kind for name, (_, kind) in self._volumes.items() if kind is not None}
        in_folders: dict[Path, list[tuple[str, Stamp]]] = {}
        for name, stamp in files.items():
            in_folders.setdefault((self.folder / name).parent, []).append((Path(name).name, stamp))
        growing = {(self.folder / name).parent for name in files if name not in settled}
        volumes, others = volumes_among(kinds)
        for path in others:
            self._say(path, "is no volume, and lies beside some; left out")
        alone = {name for name in files if name not in settled and name.casefold().endswith(OF_VOLUMES)}
        slices = {(self.folder / name).parent for name in files if name not in settled and name not in alone}
        self.waiting = len(alone) + len(slices)
        for path in volumes:
            name = path.relative_to(self.folder).as_posix()
            if path == self.folder:
                self._say(path, "holds slices itself; each volume's slices need a folder of their own in it")
                continue
            of_volume = in_folders[path] if path in in_folders else [(path.name, files[name])]
            state = _of_all(of_volume) if path in in_folders else _text(files[name])
            if path not in growing and known(name) != state:
                self.waiting += 1
                yield Arrival(name, path, state, max(stamp[2] for _, stamp in of_volume))

    def _kind(self, name: str, stamp: Stamp) -> tuple[Stamp, Optional[bool]]:
        """Whether a finished file is a volume, or a slice of one; None if it is neither. Its content is read once."""
        before = self._volumes.get(name)
        if before is not None and before[0] == stamp:
            return before
        path = self.folder / name
        return stamp, is_one_volume(path) if is_sample(path) else None

    def _settled(self, files: dict[str, Stamp], now: float) -> list[str]:
        """The files that have not changed for long enough while they were looked at."""
        new = (None, now)
        before = {name: self._since.get(name, new) for name in files}
        self._since = {
            name: (stamp, before[name][1] if before[name][0] == stamp else now) for name, stamp in files.items()
        }
        return [name for name, (_, since) in self._since.items() if now - since >= self.settle]

    def _stamps(self) -> Iterator[tuple[str, Stamp]]:
        """Yield the files of the folder and their stamps; not hidden ones, temporary ones, and links to nothing."""
        start = len(str(self.folder)) + 1
        for entry in files_below(self.folder, self._failed):
            name = entry.path[start:]
            if any(part.lower().endswith(TEMPORARY) for part in name.split("/")):
                continue
            try:
                status = entry.stat()
            except OSError:  # it has gone meanwhile
                continue
            yield name, (status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def _failed(self, error: OSError) -> None:
        self._say(Path(str(error.filename)), f"cannot be read ({error.strerror}); it is tried again and again")

    def _say(self, path: Path, text: str) -> None:
        """Say something of a file or folder once."""
        if str(path) not in self._said:
            self._said.add(str(path))
            logger.warning("%s: %s", shown(path), text)


def state_of(path: Path) -> Optional[str]:
    """The state of a file, or of a folder of slices, as it is now; None if it is not there any more."""
    try:
        if not path.is_dir():
            return _text(_stamp(path))
        return _of_all([(file.name, _stamp(file)) for file in _files_in(path)])
    except (OSError, RescanError):
        return None


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files; "" if it cannot be read."""
    try:
        if not path.is_dir():
            return sha256(path)
        files = "".join(f"{sha256(file)} {file.name}\n" for file in _files_in(path))
        return hashlib.sha256(files.encode(errors="surrogateescape")).hexdigest()
    except (OSError, RescanError):
        return ""


def _files_in(folder: Path) -> list[Path]:
    return [file for file in entries_of(folder) if not file.is_dir() and not file.name.lower().endswith(TEMPORARY)]


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _text(stamp: Stamp) -> str:
    return "-".join(f"{number:x}" for number in stamp)


def _of_all(files: Sequence[tuple[str, Stamp]]) -> str:
    return fingerprint(sorted((shown(name), *stamp) for name, stamp in files))
