"""Necks: what turns an encoder's maps into one vector."""

from __future__ import annotations

from rescan.catalogue.record import Option, Record, by_name


class Neck(Record):
    """A `rescan.models.pooling.Neck`."""

    kind = "neck"


def _options(each: str = "") -> dict[str, Option]:
    return {
        "batch_norm": Option(False, "after each pooling", choices={False: "", True: f", batch norm{each}"}),
        "dropout": Option(0.0, below=1, wording=lambda share: f", dropout {share:g}" if share else ""),
    }


NECKS = by_name(
    Neck(
        "avg",
        "rescan.models.pooling:Avg",
        about="global average pooling",
        sentence="global average pooling{batch_norm}{dropout}",
        options=_options(),
    ),
    Neck(
        "max",
        "rescan.models.pooling:Max",
        about="global maximum pooling",
        sentence="global maximum pooling{batch_norm}{dropout}",
        options=_options(),
    ),
    Neck(
        "avg+max",
        "rescan.models.pooling:AvgMax",
        about="both, side by side",
        sentence="global average and maximum pooling, side by side{batch_norm}{dropout}",
        options=_options(" after each"),
    ),
    Neck(
        "flatten",
        "rescan.models.pooling:Flatten",
        about="all values as one vector: the network takes one input size only",
        sentence="flatten{batch_norm}{dropout}",
        options=_options(),
    ),
)
