"""Getting a study's data (phantoms, a local folder or archive, an URL, Kaggle), and `source.json`: what came."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from rescan import names
from rescan.data import layouts
from rescan.data.archives import extract
from rescan.errors import RescanError
from rescan.files import fingerprint, sha256, write_json
from rescan.log import logger, progress
from rescan.paths import Paths
from rescan.study import Study

MADE_FROM = ".made_from"  # a file in `raw` that says what filled it; written before `raw` gets its name


def download(study: Study) -> None:
    """Bring a study's data into place and write `source.json`.

    A local folder is used where it is. All else fills `data/<scale>/<study>/raw` in one step, so that a killed download
    goes on or starts clean; what is there already is not fetched again.

    Writes:
        `source.json`: kind, from, root (the folder with the native layout), classes (part → class → images; the part is
        "all" if none are published), files and bytes (of what the layout reads), checksum (BLAKE2b of the sorted lines
        "path size sha256"), differs (from `data.expected`, in words).

    Raises:
        RescanError: The data cannot be had, or are not as the layout expects.
    """
    paths = Paths(study.scale, study.name)
    with layouts.naming(study):
        kind, origin, root = _fetch(study, Path(paths.data), Path(paths.raw))
    manifest = layouts.read(study, root)
    with layouts.naming(study):
        checked = _checksum(root, _files_read(study, manifest))
    counts = _count(manifest)
    expected = study.data.expected if kind != "phantom" else {}
    differs = [
        f"{part}/{name}: {counts.get(part, {}).get(name, 0)} files, {number} expected"
        for part, classes in expected.items()
        for name, number in classes.items()
        if counts.get(part, {}).get(name, 0) != number
    ]
    source = {"kind": kind, "from": origin, "root": str(root), "classes": counts}
    write_json(paths.source, {**source, **checked, "differs": differs})
    logger.info("%s: %d images in %s", study.name, len(manifest), root)
    for difference in differs:
        logger.warning("%s: %s", study.name, difference)


def _fetch(study: Study, folder: Path, raw: Path) -> tuple[str, str, Path]:
    """Make the data be there; the kind of source, where they come from, and the folder they are in."""
    source, phantom = study.data.source, study.data.phantom
    if phantom is not None:
        from rescan.data.phantoms import VERSION

        options = {key: value for key, value in phantom.items() if key != "name"}
        make = names.resolve("phantom", phantom["name"])
        key = fingerprint([VERSION, phantom, study.data.classes])
        _fill(raw, key, lambda part: make(part, study.data.classes, **options))
        return "phantom", phantom["name"], raw
    if source.path is not None:
        local = Path(source.path).expanduser()
        if local.is_dir():
            return "path", source.path, local
        if not local.is_file():
            raise RescanError(
                f"the source folder {source.path} is not there; check the path (it starts at {Path.cwd()})"
            )
        _fill(raw, sha256(local), lambda part: extract(local, part))
        return "path", source.path, raw
    if source.url is not None and source.sha256 is not None:
        from rescan.data.remote import fetch_url

        url, digest = source.url, source.sha256
        _fill(raw, digest, lambda part: _unpack(fetch_url(url, digest, folder / "download"), part))
        return "url", url, raw
    from rescan.data.remote import fetch_kaggle

    data_set = str(source.kaggle_dataset)
    _fill(raw, data_set, lambda part: _unpack(fetch_kaggle(data_set, study.name, folder / "download"), part))
    return "kaggle", data_set, raw


def _fill(raw: Path, key: str, make: Callable[[Path], None]) -> None:
    """Have `raw` filled by `make`, which gets a folder beside it that takes its name when it is whole."""
    marker = raw / MADE_FROM
    if marker.is_file() and marker.read_text("utf-8") == key:
        logger.info("%s is there already; delete it to have it made again", raw)
        return
    if raw.exists() and not marker.is_file():
        raise RescanError(f"{raw}: is there but was not filled by this step; move it away, or give it as the source")
    part, old = raw.with_name(".raw.part"), raw.with_name(".raw.old")
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    raw.parent.mkdir(parents=True, exist_ok=True)
    try:
        make(part)
        (part / MADE_FROM).write_text(key, "utf-8")
        if raw.exists():
            raw.rename(old)
        part.rename(raw)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _unpack(archive: Path, into: Path) -> None:
    """Extract a downloaded archive; then, or if it is refused, remove it. A full disk doesn't cost the download."""
    try:
        extract(archive, into)
    except RescanError:
        shutil.rmtree(archive.parent)
        raise
    shutil.rmtree(archive.parent)


def _count(manifest: pd.DataFrame) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for (part, label), rows in manifest.groupby(["published_part", "label"]):
        counts.setdefault(str(part) or "all", {})[str(label)] = len(rows)
    return counts


def _files_read(study: Study, manifest: pd.DataFrame) -> list[str]:
    """All files that the study reads, relative to its root: images, masks, and the table of a table layout."""
    listed = {*manifest["path"], *manifest["mask"], study.data.layout.get("file", "")}
    return sorted(listed - {""})


def _checksum(root: Path, files: list[str]) -> dict[str, Any]:
    """How many files and bytes, and one checksum of names, sizes and contents."""
    with ThreadPoolExecutor(8) as pool:
        digests = list(progress(pool.map(lambda name: sha256(root / name), files), len(files), "checksums"))
    sizes = [(root / name).stat().st_size for name in files]
    lines = sorted(f"{name} {size} {digest}\n" for name, size, digest in zip(files, sizes, digests))
    checksum = hashlib.blake2b("".join(lines).encode(), digest_size=32).hexdigest()
    return {"files": len(files), "bytes": sum(sizes), "checksum": checksum}
