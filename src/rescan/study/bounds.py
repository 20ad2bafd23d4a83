"""Numbers of a study file and of a configuration: what each may be, in one place.

The bounds leave room for real work. What lies outside is a slip of the keyboard, and would fill memory, or never end.
Options of the catalogue's names have theirs in their records.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _no_flag(value: Any) -> Any:
    """Refuse true and false, which are numbers in Python."""
    if isinstance(value, bool):
        raise ValueError(f"needs a number, not {str(value).lower()}")
    return value


NUMBER = BeforeValidator(_no_flag)

Count = Annotated[int, Field(gt=0, le=10_000_000), NUMBER]  # epochs, steps, epochs to wait
BatchSize = Annotated[int, Field(gt=0, le=65_536), NUMBER]
Accumulated = Annotated[int, Field(gt=0, le=65_536), NUMBER]  # batches
FoldCount = Annotated[int, Field(gt=0, le=1000), NUMBER]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1), NUMBER]
MOST_SEEDS = 100
Width = Annotated[int, Field(gt=0, le=65_536), NUMBER]  # of a layer: its outputs
Pixels = Annotated[int, Field(gt=0, le=255), NUMBER]  # of a kernel, a stride, a window of pooling
NormMomentum = Annotated[float, Field(gt=0, le=1), NUMBER]  # share of the new batch
BlockNumber = Annotated[int, Field(gt=0, le=1000), NUMBER]
MOST_LAYERS = 100
GrayLevel = Annotated[int, Field(ge=0, le=255), NUMBER]
Share = Annotated[float, Field(gt=0, lt=1), NUMBER]
ShareOrNone = Annotated[float, Field(ge=0, lt=1), NUMBER]
Trim = Annotated[float, Field(gt=0, lt=0.5), NUMBER]  # at each end
Cost = Annotated[float, Field(gt=0, le=1e6), NUMBER]
ClipNorm = Annotated[float, Field(gt=0, le=1e9), NUMBER]
Limit = Annotated[float, Field(gt=0, le=1000), NUMBER]  # of a grade, or of what a threshold may be
Cut = Annotated[float, Field(ge=-1000, le=1000), NUMBER]  # between two grades
Score = Annotated[float, Field(ge=-1, le=1000), NUMBER]  # a loss may be above 1
Margin = Annotated[float, Field(gt=0, le=1000), NUMBER]
Copies = Annotated[int, Field(ge=0, le=1000), NUMBER]
ImagesPerClass = Annotated[int, Field(gt=0, le=1000), NUMBER]
SampleCount = Annotated[int, Field(ge=0, le=10**9), NUMBER]
ItemCount = Annotated[int, Field(gt=0, le=10**9), NUMBER]
MOST_ENTRIES = 1000  # of a list or mapping, such as the arms
Varied = Annotated[float, Field(ge=-1e12, le=1e12), NUMBER]  # whatever it is of has bounds of its own
VariedCount = Annotated[int, Field(ge=-(10**12), le=10**12), NUMBER]
FromEnd = Annotated[int, Field(ge=-1000, le=-1), NUMBER]
Threads = Annotated[int, Field(gt=0, le=1024), NUMBER]
JobsPerGpu = Annotated[int, Field(gt=0, le=64), NUMBER]
