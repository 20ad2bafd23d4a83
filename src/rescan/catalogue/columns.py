"""Columns: what may be known of samples beside their images, in the manifest."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.record import Record, by_name


@dataclass(frozen=True)
class Column(Record):
    """A column of the manifest, by which results are also given apart.

    Attributes:
        sentence: Its name in running text, if it is another than the column's.
        of_acquisition: Whether it says how an image was taken; what the label is predicted from alone, too.
    """

    kind = "column"
    of_acquisition: bool = False

    @property
    def title(self) -> str:
        """Its name in running text."""
        return self.sentence or self.name


KNOWN_COLUMNS = by_name(
    Column("site", about="the hospital or center", of_acquisition=True),
    Column("device", about="the scanner or camera", of_acquisition=True),
    Column("fov", about="the field of view, such as `3mm`", sentence="field of view", of_acquisition=True),
    Column("view", about="the projection, such as `PA` or `MLO`", of_acquisition=True),
    Column("body_part", about="the part of the body", sentence="body part", of_acquisition=True),
    Column("age", about="in years"),
    Column("sex", about="`F` or `M`"),
)

# What else a table may hold; also `path_<modality>`, further files of a sample.
TABLE_COLUMNS = ("path", "label", "patient", "sample", "eye", "study", "part", "mask", "extent", "layers")
