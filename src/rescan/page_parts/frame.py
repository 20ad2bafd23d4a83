"""A page as one HTML file: its frame around a body, with styles and scripts inside and nothing to load."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files

from jinja2 import BytecodeCache, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

PACKAGE = "rescan.page_parts"
STYLES = ("page.css", "page_tables.css", "page_browser.css")
SCRIPTS = ("page_sort.js", "page_browser.js")


class _Compiled(BytecodeCache):
    """Compiled templates, for the further pages of a process; to compile those of a study's page takes 0.2 s."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


def templates(package: str) -> Environment:
    """The templates of a package and those of all pages; what they show is escaped."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader(PACKAGE, ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )


def framed(
    title: str,
    body: str,
    script: str,
    versions: Mapping[str, str],
    *,
    style: str = "",
    contents: Sequence[object] = (),
) -> str:
    """A whole page around its body.

    Args:
        title: Of the window.
        body: HTML.
        script: What follows the scripts of all pages.
        versions: What made the page, by name.
        style: What follows the styles of all pages.
        contents: Entries with a `link` and a `title`.
    """
    scripts = Markup("\n".join((*(source(PACKAGE, name) for name in SCRIPTS), script)))  # noqa: S704 - our own
    styles = Markup("\n".join((*(source(PACKAGE, name) for name in STYLES), style)))  # noqa: S704 - our own
    return (
        templates(PACKAGE)
        .get_template("page.html")
        .render(
            title=title,
            body=Markup(body),  # noqa: S704 - made by templates that escape
            contents=contents,
            versions=versions,
            script=scripts,
            style=styles,
            digest=base64.b64encode(hashlib.sha256(scripts.encode()).digest()).decode(),
        )
    )


def source(package: str, name: str) -> str:
    """The text of a file of a package."""
    return files(package).joinpath(name).read_text("utf-8")
