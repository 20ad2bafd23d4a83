"""The software that evaluates results and makes the page; what trained a model stands in the model's header."""

from __future__ import annotations

import platform
from importlib import metadata

from rescan import __version__

LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib")


def versions() -> dict[str, str]:
    """The version of Python, Rescan and the libraries, by name."""
    libraries = {library: metadata.version(library) for library in LIBRARIES}
    return {"Python": platform.python_version(), "rescan": __version__, **libraries}
