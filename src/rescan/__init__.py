"""Rescan reproduces published medical-image classification studies end to end, and uses what they trained.

`rescan.load("model.rescan.zip").predict(["image.png"])` needs nothing else of this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rescan.errors import RescanError

if TYPE_CHECKING:
    from rescan.handover.loaded import LoadedModel, SampleMap, load

__version__ = "0.1.0"
__all__ = ["LoadedModel", "RescanError", "SampleMap", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """What takes long to import is imported when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("rescan.handover.loaded"), name)


def __dir__() -> list[str]:
    """What there is, for who looks."""
    return __all__
