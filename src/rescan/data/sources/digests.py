"""The files of a study's data as `download` found them, and which of them have changed since."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from rescan.data.layouts.folders import path_columns
from rescan.data.layouts.reading import read_layout, tables_of
from rescan.data.readers.frames import file_and_frame
from rescan.errors import RescanError
from rescan.files import sha256
from rescan.log import logger, progress
from rescan.paths import Paths
from rescan.results.source import FILES, SourceReport
from rescan.study import Study
from rescan.walk import files_below

ESCAPED = re.compile(r"\\(?:u(dc[0-9a-f]{2})|\\)")  # as `_text` writes it
NAMED = 3  # changed files in a message


def files_of(study: Study, root: Path, manifest: pd.DataFrame, origin: str = "") -> dict[str, Path]:
    """The files that a source's samples and tables consist of: the path from its root → the file, in order."""
    layout = study.data.extra[origin].layout if origin else study.data.layout
    named = {path for column in path_columns(manifest) for path in manifest[column]} - {""}
    names = {file_and_frame(root / path)[0].relative_to(root).as_posix() for path in named}
    found: dict[str, Path] = {}
    for name in sorted({*names, *tables_of(layout, root)}):
        for file in _below(root / name):
            found[(file.relative_to(root) if root in file.parents else file).as_posix()] = file
    return dict(sorted(found.items()))


def _below(path: Path) -> list[Path]:
    """A file itself, or the files in a folder without hidden ones."""
    return [Path(file.path) for file in files_below(path)] if path.is_dir() else [path]


def digests(files: dict[str, Path], origin: str = "") -> pd.DataFrame:
    """Read all files: their rows of `FILES`."""
    with ThreadPoolExecutor(8) as pool:
        found = list(progress(pool.map(sha256, files.values()), len(files), "checksums"))
    sizes = [file.stat().st_size for file in files.values()]
    return pd.DataFrame({"origin": origin, "path": list(map(_text, files)), "bytes": sizes, "sha256": found})


def checksum(rows: pd.DataFrame) -> str:
    """One checksum of the names, sizes and contents of some rows of `FILES`."""
    lines = sorted(f"{path} {size} {digest}\n" for path, size, digest in rows[["path", "bytes", "sha256"]].to_numpy())
    return hashlib.blake2b("".join(lines).encode(), digest_size=32).hexdigest()


def changed_files(study: Study) -> list[str]:
    """Read all files of a study's data again: those that are not as `download` found them, and why, a line each.

    Raises:
        RescanError: `source.json` or `files.csv` is missing or damaged, or a folder is not as the layout expects.
    """
    paths = Paths(study.scale, study.name)
    source, before = SourceReport.read(paths.source), FILES.read(paths.files)
    changed = []
    for origin, data in {"": source, **source.extra}.items():
        root, own = Path(data.root), before[before["origin"] == origin]
        if (own["bytes"].sum(), checksum(own)) != (data.bytes, data.checksum):
            changed.append(f"{paths.files}: is not what {paths.source} says of it")
        faults = dict(_faults(root, own))
        whole = own[~own["path"].isin(list(faults))]
        again = digests({path: root / _name(path) for path in whole["path"]}, origin)
        other = whole.loc[again["sha256"].to_numpy() != whole["sha256"].to_numpy(), "path"]
        faults.update(dict.fromkeys(other, "has another content"))
        if not faults:  # else the layout may be at fault
            there = files_of(study, root, read_layout(study, root, origin), origin)
            faults = dict.fromkeys([path for path in map(_text, there) if path not in set(own["path"])], "is new")
        changed += [f"{root / path}: {faults[path]}" for path in sorted(faults)]
    return changed


def check_sizes(study: Study) -> None:
    """Refuse files that are gone, or of another size than `download` found: it reads none.

    Raises:
        RescanError: The first of them, and how many there are.
    """
    paths = Paths(study.scale, study.name)
    files = FILES.read_if_there(paths.files)
    if files is None:
        logger.warning(
            "%s: is missing, so data are not compared with those of download; run download again", paths.files
        )
        return
    source = SourceReport.read(paths.source)
    roots = {origin: Path(data.root) for origin, data in {"": source, **source.extra}.items()}
    refuse(
        f"{roots[str(origin)] / path} {fault}"
        for origin, own in files[files["origin"].isin(list(roots))].groupby("origin")
        for path, fault in _faults(roots[str(origin)], own)
    )


def check_contents(study: Study, samples: pd.DataFrame) -> None:
    """Refuse samples whose content is another than `download` found.

    Args:
        study: The study.
        samples: With `origin`, `path` and the `sha256` that `audit.inspection` gives a sample; "" of one that it could
            not read.

    Raises:
        RescanError: As of `check_sizes`.
    """
    files = FILES.read_if_there(Paths(study.scale, study.name).files)
    if files is None:  # `index` has said so
        return
    before = dict(zip(zip(files["origin"], files["path"]), files["sha256"]))
    folders: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for (origin, path), digest in before.items():
        folder, _, name = path.rpartition("/")
        folders.setdefault((origin, folder), []).append((_name(name), digest))

    def differs(origin: str, path: str, digest: str) -> bool:
        file, frame = file_and_frame(Path(path))
        if (origin, path) in before:
            expected = before[origin, path]
        elif frame is not None and (origin, file.as_posix()) in before:
            expected = _sha256(f"{before[origin, file.as_posix()]}#{frame}")
        elif (origin, path) in folders:
            expected = _sha256("".join(own for _, own in sorted(folders[origin, path])))
        else:
            return False
        return bool(digest) and digest != expected

    rows = samples[["origin", "path", "sha256"]].to_numpy()
    refuse(f"{path} has another content" for origin, path, digest in rows if differs(origin, _text(path), digest))


def refuse(faults: Iterable[str]) -> None:
    """Raise an error of changed files, if there are any."""
    if changed := list(faults):
        more = f" (and {len(changed) - NAMED} more)" if len(changed) > NAMED else ""
        remedy = "put the files back, or run download again (--forcerun download)"
        raise RescanError(f"changed since download: {', '.join(changed[:NAMED])}{more}; {remedy}")


def _faults(root: Path, rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield the path of each file that is gone or of another size, and what is wrong."""
    for path, size in zip(rows["path"], rows["bytes"]):
        try:
            now = os.stat(root / _name(path)).st_size  # noqa: PTH116 - of very many
        except OSError as error:
            yield path, f"cannot be read ({error.strerror})"
            continue
        if now != size:
            yield path, f"has {now} bytes, had {size}"


def _text(path: str) -> str:
    """A path as the table holds it: bytes that are no UTF-8 by their number."""
    return path.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode()


def _name(text: str) -> str:
    """The path that a text of the table stands for."""
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else "\\", text)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
