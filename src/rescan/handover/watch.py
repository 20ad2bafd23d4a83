"""Predicting what arrives in a folder, such as the inbox of a DICOM router: what is finished, and each file once."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from rescan.arm_models import Arm, Chunk, chunks_of, load_arm
from rescan.arm_networks import on_device
from rescan.arm_rows import FLAGS, class_columns, column_at, named, points_at, shown
from rescan.bundle_files import opened
from rescan.data.index import Files
from rescan.data.readers.frames import frame_paths
from rescan.errors import RescanError
from rescan.evaluation.readings import gives_probabilities
from rescan.files import fingerprint, remove_temporaries, sha256
from rescan.handover.growing_table import GrowingTable
from rescan.handover.inbox import Arrival, Inbox, digest_of, state_of
from rescan.locks import locked
from rescan.log import logger
from rescan.named_files import is_folder, output
from rescan.onnx_networks import NAME as ONNX
from rescan.onnx_networks import read_header
from rescan.predict import LONGEST_NAME
from rescan.readouts.readout import MapPictures, Reader, computes_maps, how_explained, show
from rescan.results.posttraining import FittedPoint
from rescan.results.trained_model import model_checksum
from rescan.stopping import Stopped, noted

TABLE = "predictions.csv"
OF_WATCH = ("time", "model", "sha256", "state")  # columns beside those of `rescan predict`
Writer = Callable[[Chunk, Sequence[str]], None]  # writes more of a chunk, given the names of its samples


def watch(
    model: Path,
    folder: Path,
    out: Path,
    *,
    settle: float,
    every: float,
    once: bool,
    device: str,
    gradcam: Optional[Path] = None,
    dicom: Optional[Path] = None,
    extent: Optional[tuple[float, ...]] = None,
    at: Optional[str] = None,
    runtime: str = "auto",
) -> None:
    """Predict what arrives in a folder until SIGINT or SIGTERM, and write `<out>/predictions.csv`.

    The table grows. It has the columns of `rescan predict`, and `time` (UTC, when it was predicted), `model` (what
    tells apart models), `sha256` (of the file; of a folder of slices, of its files) and `state` (of size and times). A
    file that is overwritten with other content has a row more. Its rows stand on the disk before anything counts it as
    predicted: so it may be killed at any time.

    Args:
        model: An arm's folder, or a bundle.
        folder: The folder, which is only read.
        out: The folder to write into.
        settle: Seconds for which a finished file has not changed.
        every: Seconds between two looks; a look that takes longer is waited for.
        once: Whether to end when what is there is predicted.
        device: auto, cpu or cuda.
        gradcam: Where to draw maps, if given: each picture lies as its image lies in the folder.
        dicom: Where to write DICOM files for patients' records, if given (see `predict`); likewise.
        extent: As for `predict`.
        at: As for `predict`.
        runtime: As for `predict`.

    Raises:
        RescanError: One of the folders lies in another, the model cannot be used, or another watch writes there.
        Stopped: It was asked to end.
    """
    check_places(folder, out, gradcam, dicom)
    with opened(model) as place:
        arm = load_arm(place, runtime)
        points, number = points_at(arm.posttraining, at), model_of(arm)
        write = _writer(arm, points, gradcam, dicom)
    file = out / TABLE
    with locked(file, "watch", lambda: "stop that one, or give another folder to write into"):
        output(file)
        remove_temporaries(file)
        table = GrowingTable(file, columns_of(arm, points), number)
        inbox = Inbox(folder, settle, reads_volumes=arm.reads_volumes)
        with on_device(arm.models, device) as torch_device, noted() as asked:
            watching = Watching(arm, inbox, table, torch_device, asked, write, points, extent)
            logger.info("%s: watched; %s has %d rows", folder, file, table.count)
            watching.drain() if once else watching.go_on(every)
            if asked.is_set():
                raise Stopped


@dataclass
class _Sample:
    """An arrival on its way through the networks: how many rows it has, and those that are there."""

    arrival: Arrival
    digest: str
    count: int
    rows: list[dict[str, object]] = field(default_factory=list)


@dataclass
class Watching:
    """A folder, the table, and a model that predicts what is in the one and not in the other."""

    arm: Arm
    inbox: Inbox
    table: GrowingTable
    torch_device: Any
    asked: threading.Event
    write: Writer
    points: Sequence[FittedPoint] = ()
    extent: Optional[tuple[float, ...]] = None

    def drain(self) -> None:
        """Predict what is there now and is finished."""
        self._look()
        left = self.inbox.waiting
        self.asked.wait(self.inbox.settle)
        while left > 0 and (arrivals := self._look()) and not self.asked.is_set():
            self._predict(arrivals)
            left -= len(arrivals)
        self._look()
        if self.inbox.waiting and not self.asked.is_set():
            text = "%s: %d samples are left for the next time: they came late, or still change"
            logger.info(text, self.inbox.folder, self.inbox.waiting)

    def go_on(self, every: float) -> None:
        """Predict what arrives, for ever."""
        while not self.asked.is_set():
            began = time.monotonic()
            arrivals = self._look()
            took = time.monotonic() - began
            if arrivals:
                self._predict(arrivals)
            else:
                _state_line(f"{self.inbox.folder}: {self.table.count} rows, {self.inbox.waiting} not finished")
                self.asked.wait(max(every, took))

    def _look(self) -> list[Arrival]:
        _state_line("")
        return self.inbox.look(self.table.state, time.monotonic())

    def _predict(self, arrivals: Sequence[Arrival]) -> None:
        """Predict arrivals in their order; after each chunk, those that are complete are written."""
        samples: dict[Path, _Sample] = {}  # by the paths of their rows
        files = self._files(arrivals, samples)
        with closing(chunks_of(self.arm, files, self.torch_device, self.points)) as chunks:
            for chunk in chunks:
                names = [own.path.relative_to(self.inbox.folder).as_posix() for own in chunk.files]
                self.write(chunk, names)
                complete = []
                for own, name, row in zip(chunk.files, names, chunk.rows):
                    sample = samples.pop(own.path)
                    sample.rows.append({"image": named(name), **row})
                    if len(sample.rows) == sample.count:
                        complete.append(sample)
                self._record(complete)
                _state_line(f"{self.inbox.folder}: {self.table.count} rows, {self.inbox.waiting} wait")
                if self.asked.is_set():
                    return

    def _files(self, arrivals: Sequence[Arrival], samples: dict[Path, _Sample]) -> Iterator[Files]:
        """Yield what the arm reads of arrivals whose content is new; the samples that they are of, by their paths."""
        for arrival in arrivals:
            digest = digest_of(arrival.path)
            if digest and digest == self.table.digest(arrival.name):
                self.table.remember(arrival.name, arrival.state, digest)
                self.inbox.waiting -= 1
                continue
            paths = [str(arrival.path)]
            if not self.arm.reads_volumes:
                paths = frame_paths(paths[0], arrival.path)
            sample = _Sample(arrival, digest, len(paths))
            for path in map(Path, paths):
                samples[path] = sample
                yield Files(path, extent=self.extent)

    def _record(self, samples: Sequence[_Sample]) -> None:
        """Write the rows of samples that did not change while they were read."""
        _state_line("")
        rows: list[dict[str, object]] = []
        kept = []
        for sample in samples:
            arrival, problems = sample.arrival, [row for row in sample.rows if row["problem"]]
            now = state_of(arrival.path)
            if now != arrival.state and (now is not None or problems):
                logger.info("%s: changed or went while it was read", shown(arrival.name))
                continue
            for row in problems:
                logger.warning("%s: %s; no prediction", row["image"], row["problem"])
            about = {"time": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}", "model": self.table.model}
            rows += [{**row, **about, "sha256": sample.digest, "state": ""} for row in sample.rows]
            rows[-1]["state"] = arrival.state
            kept.append((arrival, "" if problems else sample.digest))
        if rows:
            self.table.append(rows)
        for arrival, digest in kept:
            self.table.remember(arrival.name, arrival.state, digest)
        if kept:
            self.inbox.waiting -= len(kept)
            unread = sum(not digest for _, digest in kept)
            text = "%s: %d predicted, %d with a problem; %d rows, %d wait"
            logger.info(text, self.table.path, len(kept) - unread, unread, self.table.count, self.inbox.waiting)


def _writer(arm: Arm, points: Sequence[FittedPoint], gradcam: Optional[Path], dicom: Optional[Path]) -> Writer:
    """What writes pictures and DICOM files of a chunk, where they are asked for."""
    readers: list[Reader] = [] if gradcam is None else [MapPictures(gradcam, arm.classes)]
    if dicom is not None:
        from rescan.readouts.dicom_records import DicomRecords

        readers.append(DicomRecords(arm, points, dicom))
    explained = how_explained(arm) if gradcam is not None or (readers and computes_maps(arm)) else None
    return lambda chunk, names: show(
        chunk._replace(start=0), names, [_file_name(name) for name in names], explained, readers
    )


def check_places(folder: Path, out: Path, *others: Optional[Path]) -> None:
    """Refuse a folder that is not there, and folders to write into that lie in it, or it in them."""
    if not is_folder(folder):
        raise RescanError(f"{shown(str(folder))}: no such folder to watch; make it, or check the path")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise RescanError(f"{shown(str(folder))}: may not be read; change its permissions")
    inner = Path(os.path.realpath(folder))
    for place in filter(None, (out, *others)):
        real = Path(os.path.realpath(place))
        if real == inner or inner in real.parents or real in inner.parents:
            fault = f"{shown(str(place))}: and {shown(str(folder))}, which is watched, lie one in the other"
            raise RescanError(f"{fault}; give two folders apart")
        output(place / TABLE)


def columns_of(arm: Arm, points: Sequence[FittedPoint]) -> list[str]:
    """The columns of the table: known before the first row, which may be of a file that cannot be read."""
    read = class_columns(arm.classes) if gives_probabilities(arm.posttraining) else ["grade"]
    return ["image", "predicted", *read, *map(column_at, points), FLAGS, "problem", *OF_WATCH]


def model_of(arm: Arm) -> str:
    """What tells a model from others: a hash (16 hex digits) of its networks' weights and of what was fitted."""
    fitted = arm.posttraining.model_dump(mode="json", exclude={"models"})
    files = [Path(model.file) for model in arm.models]
    weights = [read_header(file)[1] if file.name == ONNX else model_checksum(file) or sha256(file) for file in files]
    return fingerprint([fitted, weights])


def _file_name(name: str) -> str:
    """What is drawn of a sample is called as it, and lies in folders as it does; very long names are cut."""
    *folders, last = shown(name).split("/")
    return "/".join([*folders, last.encode()[-LONGEST_NAME:].decode(errors="ignore")])


def _state_line(text: str) -> None:
    """Show on a terminal what is going on, in one line that the next one replaces; "" removes it."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{shown(text)[:width]}\r")
        sys.stderr.flush()
