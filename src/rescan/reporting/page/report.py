"""The page of a study: a single HTML file with its figures inside, which needs no network; and what all pages share.

Its script loads pictures when they are seen, folds, sorts and leafs through volumes; all is there to read without it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from rescan.catalogue import READERS
from rescan.files import together, writing
from rescan.log import logger
from rescan.page_parts.frame import framed, source, templates
from rescan.paths import Paths
from rescan.reporting.page.album import Album
from rescan.reporting.page.card_view import card
from rescan.reporting.page.glossary import glossary
from rescan.reporting.page.paper_view import write_paper
from rescan.reporting.page.study_view import study_view
from rescan.reporting.text import words
from rescan.reporting.text.versions import versions
from rescan.results.parts import PARTS
from rescan.study import Study

PACKAGE = "rescan.reporting.page"
SCRIPT = "page.js"
LISTED = 200  # entries of a list, at most: a data set may have thousands of unreadable files
FILTERS = (
    *(words.number, words.interval, words.difference, words.percent),
    *(words.spaced, words.capitalized, words.metric, words.listed, words.column, words.split),
)
HEADINGS = re.compile(r'<section\b[^>]* id="([^"]+)"[^>]*>\s*(?:<details[^>]*><summary>)?<h[23]>(.*?)</h[23]>')


class Entry(NamedTuple):
    """A line of the contents: the id of a section, and its heading."""

    link: str
    title: Markup


def report(study: Study) -> None:
    """Write the page of a study, what it says in short, and files for a paper; what is not scored is listed as not run.

    Raises:
        RescanError: A file that is there is damaged.
    """
    view, paths = study_view(study), Paths(study.scale, study.name)
    album = Album(paths.results)
    body = environment(album=album).get_template("page_body.html").render(view=view, glossary=glossary())
    first = Entry(f"{study.name}-answer", Markup("Answer"))
    page = render(f"{study.title} ({study.scale})", body, [first, *contents(body)])
    with together():
        write_paper(study, view.paper)
        write(paths.page, album.fill(page))
        card(view).write(paths.card)


def environment(**globals_: object) -> Environment:
    """The templates of pages."""
    made = templates(PACKAGE)
    made.filters.update({function.__name__: function for function in FILTERS})
    heads = {name: record.title for name, record in READERS.items()}
    functions = {"landis_koch": words.landis_koch, "several": words.several, "Value": words.Value}
    made.globals.update(functions, heads=heads, parts=PARTS, LISTED=LISTED, **globals_)
    return made


def contents(body: str) -> list[Entry]:
    """The sections of a page that have an id, by their headings."""
    return [Entry(link, Markup(title)) for link, title in HEADINGS.findall(body)]  # noqa: S704 - it is of the page


def render(title: str, body: str, entries: Sequence[Entry] = ()) -> str:
    """A whole page around its body.

    Args:
        title: Of the window.
        body: HTML.
        entries: The contents.
    """
    return framed(title, body, source(PACKAGE, SCRIPT), versions(), contents=entries)


def write(out: str | Path, page: str) -> None:
    """Write a page into its place."""
    with writing(out) as temporary:
        temporary.write_text(page, "utf-8")
    logger.info("the page: %s (%.1f MB)", out, len(page.encode()) / 1e6)
