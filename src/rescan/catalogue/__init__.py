"""Every name that a study file may use: one record each, by kind. Imports nothing heavy.

A new operator, encoder, loss… is a function or class in a file of its room, and its record here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rescan.catalogue import timm_encoders
from rescan.catalogue.augmentations import AUGMENTATIONS
from rescan.catalogue.cam_methods import CAM_METHODS
from rescan.catalogue.columns import KNOWN_COLUMNS
from rescan.catalogue.encoders import ENCODERS
from rescan.catalogue.heads import HEADS, READERS
from rescan.catalogue.layouts import LAYOUTS
from rescan.catalogue.losses import LOSSES
from rescan.catalogue.metrics import COMPARED, COMPARED_GRADES, COMPARED_LABELS, METRICS
from rescan.catalogue.necks import NECKS
from rescan.catalogue.normalizations import NORMALIZATIONS
from rescan.catalogue.operators import OPERATORS
from rescan.catalogue.optimizers import OPTIMIZERS
from rescan.catalogue.phantoms import PHANTOMS
from rescan.catalogue.record import FAULT, Option, Record, suggest
from rescan.catalogue.schedules import SCHEDULES

_TABLES: tuple[Mapping[str, Record], ...] = (
    LAYOUTS,
    PHANTOMS,
    KNOWN_COLUMNS,
    OPERATORS,
    ENCODERS,
    NECKS,
    HEADS,
    NORMALIZATIONS,
    AUGMENTATIONS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    METRICS,
    CAM_METHODS,
)
KINDS: dict[str, Mapping[str, Record]] = {next(iter(table.values())).kind: table for table in _TABLES}

__all__ = [
    "AUGMENTATIONS",
    "CAM_METHODS",
    "COMPARED",
    "COMPARED_GRADES",
    "COMPARED_LABELS",
    "ENCODERS",
    "FAULT",
    "HEADS",
    "KINDS",
    "KNOWN_COLUMNS",
    "LAYOUTS",
    "LOSSES",
    "METRICS",
    "NECKS",
    "NORMALIZATIONS",
    "OPERATORS",
    "OPTIMIZERS",
    "PHANTOMS",
    "READERS",
    "SCHEDULES",
    "Option",
    "Record",
    "check",
    "records",
    "resolve",
    "say",
    "suggest",
]


def records(kind: str) -> Mapping[str, Record]:
    """The records of a kind, such as "operator", by name."""
    return KINDS[kind]


def check(kind: str, name: object) -> str:
    """Return `name` if there is such a name of this kind.

    Raises:
        ValueError: The name is unknown; the message holds the nearest right one.
    """
    table = KINDS[kind]
    if not isinstance(name, str) or name not in table:
        if kind == "encoder" and str(name).startswith(timm_encoders.PREFIX):
            raise ValueError(timm_encoders.fault(str(name)))
        raise ValueError(f"no {kind} {name!r}{suggest(name, table)}")
    return name


def resolve(kind: str, name: str) -> Any:
    """Import and return the implementation of a name."""
    return KINDS[kind][check(kind, name)].implementation


def say(kind: str, named: Mapping[str, Any]) -> str:
    """The sentence of a name with its options, as in a study: `{"name": …, option: …}`."""
    return KINDS[kind][named["name"]].say(named)
