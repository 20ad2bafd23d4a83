"""One page for people who read images: each image under its maps, what is read off it, and what to beware of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd

from rescan.arm_models import Arm
from rescan.arm_rows import class_columns, column_at
from rescan.files import writing
from rescan.log import logger
from rescan.page_parts.frame import framed, source, templates
from rescan.readouts.arm_facts import facts_of
from rescan.readouts.page_pictures import Layers, layers_of, levels_of
from rescan.readouts.readout import Readout
from rescan.results.map_files import BrowsedVolume
from rescan.results.posttraining import FittedPoint

PACKAGE = "rescan.readouts"
LIMIT = 20_000_000  # bytes of pictures in the page
ROWS = 5000  # images of which the page says anything, at most
TITLES = {  # of the columns of the patients' table
    "patient": "Patient",
    "images": "Images",
    "predicted": "Read as",
    "by_mean_probability": "By mean probability",
    "grade": "Grade",
}
NO_MAPS = "none, for they need torch, which does not compute these networks here"


@dataclass(frozen=True)
class Share:
    """A class's probability.

    Attributes:
        name: The class.
        value: In [0, 1].
        is_read: Whether it is predicted.
        threshold: Of an operating point, where one is of this class.
    """

    name: str
    value: float
    is_read: bool
    threshold: Optional[float]


@dataclass(frozen=True)
class Entry:
    """What the page says of an image.

    Attributes:
        number: From 1.
        name: As in the table.
        predicted: The labels that are read; none of an image that could not be read.
        grade: On the line of the classes' numbers from 0, where it is read from grades.
        shares: The classes' probabilities, where there are any.
        answers: By question and operating point, yes or no.
        flags: What it differs from the training images in.
        problem: Why it could not be read; "" if it could.
        layers: The image under its maps.
        volumes: A volume under its maps, once for each.
        note: How the maps were made, and what they are of.
        is_shown: Whether it has a place of its own below the table.
    """

    number: int
    name: str
    predicted: list[str]
    grade: Optional[float]
    shares: list[Share]
    answers: dict[str, str]
    flags: list[str]
    problem: str
    layers: Optional[Layers] = None
    volumes: list[BrowsedVolume] = field(default_factory=list)
    note: str = ""
    is_shown: bool = False

    @property
    def share(self) -> Optional[float]:
        """The probability of the one class that is read."""
        own = [share.value for share in self.shares if share.is_read]
        return own[0] if len(own) == 1 else None


class ReaderPage:
    """A page that is filled image by image; only what it shows is kept, LIMIT bytes of pictures at most."""

    def __init__(self, arm: Arm, points: Sequence[FittedPoint], out: Path, at: str | None) -> None:
        """Start without images.

        Args:
            arm: The arm.
            points: The operating points whose answers the rows hold.
            out: The page.
            at: The name of these points.
        """
        self.facts, self.points, self.out, self.at = facts_of(arm), points, out, at
        self.multilabel = arm.posttraining.thresholds is not None
        self.entries: list[Entry] = []
        self.counts: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.room, self.left_out = LIMIT, 0

    @property
    def takes_maps(self) -> bool:
        """Whether there is room for pictures."""
        return self.room > 0 and len(self.entries) < ROWS

    def add(self, readout: Readout) -> None:
        """Take the next image: its pictures, too, while the page has room."""
        entry = self._entry(readout)
        self.counts["images"] += 1
        self.counts["unread"] += bool(entry.problem)
        self.counts["flagged"] += bool(entry.flags)
        self.read.update(entry.predicted)
        if len(self.entries) < ROWS:
            self.entries.append(entry)

    def finish(self, patients: pd.DataFrame | None) -> None:
        """Write the page.

        Args:
            patients: What patients are read as, a row each; None without any.
        """
        view: dict[str, Any] = {
            "facts": self.facts,
            "caution": self.facts.caution,
            "entries": self.entries,
            "counts": self.counts,
            "left_out": self.left_out,
            "limit": LIMIT // 1_000_000,
            "read": [(name, self.read[name]) for name in (*self.facts.classes, "none") if self.read[name]],
            "flagged": any(entry.flags for entry in self.entries),
            "graded": any(entry.grade is not None for entry in self.entries),
            "of_volumes": any(entry.volumes for entry in self.entries),
            "multilabel": self.multilabel,
            "at": self.at,
            "points": self.points,
            "patients": patients,
            "numbers": {"images", "grade", *class_columns(self.facts.classes)},
            "below": _shared([entry.name for entry in self.entries]),
            "shares": class_columns(self.facts.classes),
            "titles": TITLES,
            "kinds": _kinds,
            "place": self._place,
            "steps": [(number, self._place(number)) for number in range(len(self.facts.classes))],
        }
        environment = templates(PACKAGE)
        environment.filters["percent"] = percent
        body = environment.get_template("reader_page.html").render(**view)
        title = f"{self.facts.title}: {self.counts['images']} images"
        look = source(PACKAGE, "reader_page.css")
        made = {"Rescan": self.facts.reader}
        page = framed(title, body, source(PACKAGE, "reader_page.js"), made, style=look)
        with writing(self.out) as temporary:
            temporary.write_text(page, "utf-8")
        pictured = sum(entry.layers is not None or bool(entry.volumes) for entry in self.entries)
        size = len(page.encode()) / 1e6
        logger.info("the page for readers: %s (%.1f MB, %d images with pictures)", self.out, size, pictured)

    def _entry(self, readout: Readout) -> Entry:
        """What the page says of an image."""
        row, classes = readout.row, self.facts.classes
        texts = {name: str(row.get(name) or "") for name in ("predicted", "problem", "flags")}
        predicted = texts["predicted"].split("|") if self.multilabel else [texts["predicted"]]
        columns = class_columns(classes)
        thresholds = {point.number: point.threshold.whole for point in self.points if point.kind != "endpoint"}
        shares = [
            Share(name, float(str(row[column])), name in predicted, thresholds.get(number))
            for number, (name, column) in enumerate(zip(classes, columns))
            if column in row
        ]
        grade = row.get("grade") if not shares else None
        answers = {point.of: str(row.get(column_at(point)) or "") for point in self.points}
        layers, volumes, note = self._pictures(readout)
        return Entry(
            readout.number + 1,
            readout.name,
            [name for name in predicted if name],
            None if grade is None else float(str(grade)),
            shares,
            {of: answer for of, answer in answers.items() if answer},
            [flag for flag in texts["flags"].split("; ") if flag],
            texts["problem"],
            layers,
            volumes,
            note,
            is_shown=layers is not None or bool(volumes) or bool(texts["problem"]),
        )

    def _place(self, grade: float) -> str:
        """Where a grade lies on the line of the classes' numbers, in percent."""
        return f"{100 * min(max(grade / (len(self.facts.classes) - 1), 0), 1):.2f}"

    def _pictures(self, readout: Readout) -> tuple[Optional[Layers], list[BrowsedVolume], str]:
        """An image or volume under its maps, while there is room; and how the maps were made."""
        prepared, maps = readout.prepared, readout.maps
        if prepared is None:
            return None, [], ""
        if not self.takes_maps:
            self.left_out += 1
            return None, [], ""
        image, note = prepared.items[0], NO_MAPS if maps is None else maps.note
        if len(prepared.items) > 1:
            note = f"first of {len(prepared.items)} patches; {note}"
        if image.ndim == 3:
            layers = layers_of(image, maps, self.facts.classes)
            self.room -= layers.size
            return layers, [], note
        volumes = self._volumes(readout, image)
        self.room -= sum(len(view.slices) + len(view.maps) for volume in volumes for view in volume.views)
        return None, volumes, note

    def _volumes(self, readout: Readout, image: np.ndarray) -> list[BrowsedVolume]:
        """A volume, (D, H, W, 1), under each of its maps."""
        from rescan.explanation.browser import browse

        volume, maps, title = levels_of(image[..., 0]), readout.maps, readout.name.rpartition("/")[2]
        affine = np.eye(4) if readout.prepared is None or readout.prepared.affine is None else readout.prepared.affine
        if maps is None:
            return [browse(title, "nothing, for there is none", volume, np.zeros(volume.shape, np.float32), affine)]
        return [
            browse(title, f"{evidence} ({role})" if role else evidence, volume, scaled, affine)
            for evidence, role, scaled in zip(maps.evidence(self.facts.classes), maps.roles, maps.scaled)
        ]


def _shared(names: Sequence[str]) -> str:
    """The folders that all names begin with."""
    folders = [name.split("/")[:-1] for name in names]
    shared = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, zip(*folders))]
    return "".join(f"{name}/" for name in shared)


def _kinds(entry: Entry) -> str:
    """What the page's filter asks of an image, as JSON."""
    kinds = [*(f"is {name}" for name in entry.predicted), *["flagged"] * bool(entry.flags)]
    return json.dumps([*kinds, *["unread"] * bool(entry.problem)])


def percent(share: float) -> str:
    """A share in percent; what is not quite 0 or 1 is not written as if it were."""
    text = f"{100 * share:.1f}"
    if text in ("0.0", "100.0") and share not in (0, 1):
        return "<\u00a00.1\u00a0%" if share < 0.5 else ">\u00a099.9\u00a0%"
    return f"{text}\u00a0%"
