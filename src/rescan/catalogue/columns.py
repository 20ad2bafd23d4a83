"""Columns: what may be known of samples beside their images, in the manifest."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.record import Record, by_name


@dataclass(frozen=True)
class Column(Record):
    """A column of the manifest, by which results are also given apart.

    Attributes:
        sentence: Its name in running text, if it is another than the column's.
        predicts: Whether the label is also predicted from it alone, to see what it gives away.
    """

    kind = "column"
    predicts: bool = False

    @property
    def title(self) -> str:
        """Its name in running text."""
        return self.sentence or self.name


KNOWN_COLUMNS = by_name(
    Column("site", predicts=True),
    Column("device", predicts=True),
    Column("fov", sentence="field of view", predicts=True),
    Column("body_part", sentence="body part", predicts=True),
    Column("age"),
    Column("sex"),
)
