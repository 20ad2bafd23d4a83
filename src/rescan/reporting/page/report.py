"""The one page of all studies: a single HTML file with its figures inside; needs no network.

Its only script leafs through the slices of volumes, where there are any; all else is there without it.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from rescan import __version__
from rescan.catalogue import READERS
from rescan.files import writing
from rescan.log import logger
from rescan.paths import Paths
from rescan.reporting.page.glossary import glossary
from rescan.reporting.page.study_view import study_view
from rescan.reporting.text import words
from rescan.results.parts import PARTS
from rescan.study import Study

LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib")
FILTERS = (
    *(words.number, words.interval, words.difference, words.percent),
    *(words.spaced, words.capitalized, words.metric, words.listed, words.column, words.split),
)


def report(studies: list[Study]) -> None:
    """Write the page of a scale, results/<scale>/index.html; an arm that is not scored is listed as not run.

    Args:
        studies: The resolved studies, all of one scale, in the page's order.

    Raises:
        RescanError: A file that is there is damaged.
    """
    scale = studies[0].scale
    environment = Environment(
        loader=PackageLoader("rescan.reporting.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in FILTERS})
    heads = {name: record.title for name, record in READERS.items()}
    functions = {"landis_koch": words.landis_koch, "several": words.several, "Value": words.Value}
    environment.globals.update(functions, heads=heads, parts=PARTS)
    views = [study_view(study) for study in studies]
    content = {"scale": scale, "studies": views, "glossary": glossary(), "versions": _versions()}
    page = environment.get_template("page.html").render(content)
    out = Paths(scale, "").page
    with writing(out) as temporary:
        temporary.write_text(page, "utf-8")
    logger.info("the page: %s (%.1f MB)", out, Path(out).stat().st_size / 1e6)


def _versions() -> dict[str, str]:
    """The software that made the page; what trained a model stands in the model's header."""
    libraries = {library: metadata.version(library) for library in LIBRARIES}
    return {"Python": platform.python_version(), "rescan": __version__, **libraries}
