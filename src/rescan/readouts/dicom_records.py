"""DICOM files for the records of the patients whose DICOM files are read: a picture and a report of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rescan.arm_models import Arm
from rescan.arm_rows import class_columns, column_at
from rescan.data.readers.unreadable import Unreadable
from rescan.log import logger
from rescan.readouts.arm_facts import facts_of
from rescan.readouts.dicom_source import source_of
from rescan.readouts.readout import Readout
from rescan.readouts.secondary_capture import write_capture
from rescan.readouts.structured_report import write_report
from rescan.results.posttraining import FittedPoint


class DicomRecords:
    """Writes `<folder>/<name>_overlay.dcm` and `<name>_report.dcm` of each sample that was read from DICOM files."""

    takes_maps = True

    def __init__(self, arm: Arm, points: Sequence[FittedPoint], folder: Path) -> None:
        """Start without any.

        Args:
            arm: The arm.
            points: The operating points whose answers the rows hold.
            folder: Made if needed.
        """
        self.facts, self.points, self.folder = facts_of(arm), points, folder
        self.multilabel = arm.posttraining.thresholds is not None
        self.written = self.others = 0

    def add(self, readout: Readout) -> None:
        """Write the files of a sample; one that could not be read has none, and one that is not DICOM either."""
        if readout.prepared is None:
            return
        picture, report = (self.folder / f"{readout.called}_{kind}.dcm" for kind in ("overlay", "report"))
        try:
            source = source_of(readout.files)
            if source is None:
                self.others += 1
                return
            write_capture(picture, source, self.facts, readout, self._statements(readout))
            write_report(report, source, self.facts, readout, self.points, multilabel=self.multilabel)
        except Unreadable as error:
            logger.warning("%s: %s; no DICOM files of it", readout.name, error)
            return
        self.written += 1

    def finish(self, _: pd.DataFrame | None) -> None:
        """Say what was written, and that it tells who the patients are."""
        if self.others:
            which = "inputs are no DICOM files: they have" if self.others > 1 else "input is no DICOM file: it has"
            logger.warning("--dicom: %d %s none", self.others, which)
        if self.written:
            whose = "inputs; they name" if self.written > 1 else "input; they name"
            text = "%s: an overlay and a report of %d %s the patients as the inputs do"
            logger.info(text, self.folder, self.written, whose)

    def _statements(self, readout: Readout) -> list[str]:
        """What is read off a sample, in sentences."""
        row, classes = readout.row, self.facts.classes
        predicted = str(row["predicted"]).split("|") if self.multilabel else [str(row["predicted"])]
        columns = dict(zip(classes, class_columns(classes)))
        shares = {name: float(str(row[column])) for name, column in columns.items() if column in row}
        shown = [f"{name} {100 * shares[name]:.1f} %" if name in shares else name for name in predicted]
        grade = "" if shares else f", grade {float(str(row['grade'])):.2f} of 0 to {len(classes) - 1}"
        answers = [(point, str(row.get(column_at(point)) or "")) for point in self.points]
        called = [f"{point.of} at {point.name}: {answer}." for point, answer in answers if answer]
        flags = str(row.get("flags") or "")
        warned = [f"UNLIKE THE TRAINING IMAGES: {flags}."] if flags else []
        return [f"Read as {', '.join(shown)}{grade}.", *called, *warned]
