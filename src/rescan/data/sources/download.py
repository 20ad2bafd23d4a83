"""Getting a study's data (phantoms, a local folder or archive, an URL, Kaggle), and `source.json`, what they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from rescan import catalogue
from rescan.catalogue import phantoms
from rescan.data.layouts.folders import naming
from rescan.data.layouts.reading import read_layout
from rescan.data.sources.archives import MADE_FROM, extract
from rescan.data.sources.digests import checksum, digests, files_of
from rescan.errors import NoRoomError, RescanError
from rescan.files import fingerprint, sha256, writing
from rescan.log import logger
from rescan.named_files import at_home
from rescan.paths import Paths
from rescan.replacing import put_right, replacing
from rescan.results.agreement import class_counts
from rescan.results.source import FILES, Kind, SourceData, SourceReport
from rescan.study import DataSet, Study


def download(study: Study) -> None:
    """Download a study's data, its own and its extra sources; write `files.csv` (`FILES`) and `source.json`.

    A local folder is used where it is. All else fills `data/<scale>/<study>/raw` (an extra source: `raw_extra/<name>`)
    in one step, so that a killed download goes on or starts clean; data that are there are not fetched again.

    Raises:
        RescanError: The data cannot be downloaded, or are not as the layout expects.
    """
    own, manifest, *rows = _download(study)
    extra = {}
    for name in study.data.extra:
        extra[name], _, more = _download(study, name)
        rows.append(more)
    expected = study.data.expected if own.kind != "phantom" else {}
    counts = class_counts(study.data.outcome.by_class(manifest))
    differs = [
        f"{part}/{name}: {counts.get(part, {}).get(name, 0)} files, {number} expected"
        for part, classes in expected.items()
        for name, number in classes.items()
        if counts.get(part, {}).get(name, 0) != number
    ]
    report = SourceReport(
        **dict(own),
        differs=differs,
        unlabeled=int((manifest["label"] == "").sum()),
        extra=extra,
    )
    paths = Paths(study.scale, study.name)
    FILES.write(paths.files, pd.concat(rows, ignore_index=True))
    report.write(paths.source)
    for difference in differs:
        logger.warning("%s: %s", study.name, difference)


def _download(study: Study, origin: str = "") -> tuple[SourceData, pd.DataFrame, pd.DataFrame]:
    """Download the study's own data, or an extra source; its entry of the report, its samples and its files."""
    data = study.data.extra[origin] if origin else study.data
    with naming(study):
        kind, where, root = _fetch(study, data, origin)
    manifest = read_layout(study, root, origin)
    with naming(study):
        rows = digests(files_of(study, root, manifest, origin), origin)
    logger.info("%s: %d samples in %s", study.name, len(manifest), root)
    entry = SourceData(
        kind=kind,
        where=where,
        root=str(root),
        classes=class_counts(manifest),
        files=len(rows),
        bytes=int(rows["bytes"].sum()),
        checksum=checksum(rows),
    )
    return entry, manifest, rows


def _fetch(study: Study, data: DataSet, origin: str) -> tuple[Kind, str, Path]:
    """Download or make data; returns the kind of source, where they come from, and their folder."""
    paths = Paths(study.scale, study.name)
    source, raw = data.source, Path(paths.raw_of(origin))
    downloads = Path(paths.download(origin))
    if data.phantom is not None:
        phantom, classes = data.phantom, study.data.classes
        options = {key: value for key, value in phantom.items() if key != "name"}
        make = catalogue.resolve("phantom", phantom["name"])
        key = fingerprint([phantoms.VERSION, phantom, classes])
        _fill(raw, key, lambda part: make(part, classes, **options))
        return "phantom", phantom["name"], raw
    if source.path is not None:
        local = at_home(source.path)
        if local.is_dir():
            return "path", source.path, local
        if not local.is_file():
            raise RescanError(
                f"the source folder {source.path} is not there; check the path (it starts at {Path.cwd()})"
            )
        _fill(raw, sha256(local), lambda part: extract(local, part))
        return "path", source.path, raw
    from rescan.data.sources import remote

    if source.url is not None and source.sha256 is not None:
        url, digest = source.url, source.sha256
        _fill(raw, digest, lambda part: _unpack(remote.fetch_url(url, digest, downloads), part))
        return "url", url, raw
    local_copy = (
        f"give it as data.extra.{origin}.source" if origin else f"--config 'sources={{{study.name}: /path/to/it}}'"
    )
    otherwise = f"or use a local copy, a folder or an archive: {local_copy}"
    name = str(source.kaggle_dataset or source.kaggle_competition)
    fetch = remote.fetch_kaggle if source.kaggle_dataset else remote.fetch_competition
    _fill(raw, name, lambda part: _unpack(fetch(name, otherwise, downloads), part))
    return "kaggle", name, raw


def _fill(raw: Path, key: str, make: Callable[[Path], None]) -> None:
    """Fill `raw` by `make`, unless it bears the key: in a folder beside it, renamed when it is whole."""
    put_right(raw)
    marker = raw / MADE_FROM
    if marker.is_file() and marker.read_text("utf-8") == key:
        logger.info("%s is there already; delete it to make it again", raw)
        return
    if raw.exists() and not marker.is_file():
        remedy = "move it away, or give it as the source"
        raise RescanError(f"{raw}: is there but was not filled by this step; {remedy}")
    with replacing(raw) as part:
        part.rmdir()  # `make` makes it
        make(part)
        with writing(part / MADE_FROM) as temporary:
            temporary.write_text(key, "utf-8")
        os.sync()  # else a computer that loses its power may have the folder's name, and not what is in it


def _unpack(archive: Path, into: Path) -> None:
    """Extract a downloaded archive; then, or if it is refused, remove it. A full disk does not cost the download."""
    try:
        extract(archive, into)
    except NoRoomError:
        raise
    except RescanError:
        shutil.rmtree(archive.parent)
        raise
    shutil.rmtree(archive.parent)
