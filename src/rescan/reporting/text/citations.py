"""How to cite a study, its data and Rescan: as text and as BibTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from rescan import __version__
from rescan.reporting.text.latex import escaped
from rescan.reporting.text.methods import came_from
from rescan.reporting.text.words import capitalized, listed
from rescan.study import DataSet, Study


@dataclass(frozen=True)
class Citation:
    """Something to cite.

    Attributes:
        what: The study, the data, or Rescan.
        text: How to cite it.
        bibtex: The same as an entry of BibTeX.
    """

    what: str
    text: str
    bibtex: str


@lru_cache(maxsize=1)
def project() -> dict[str, Any]:
    """Rescan's own CITATION.cff, which the package ships."""
    from ruamel.yaml import YAML

    text = files("rescan.reporting.text").joinpath("CITATION.cff").read_text("utf-8")
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return content


def citations(study: Study, phantom: bool) -> list[Citation]:
    """How to cite the study, each of its data sets, and Rescan.

    Args:
        study: The study.
        phantom: Whether its images are phantoms, which nobody needs to cite.
    """
    text = study.cite or f"{study.title} (the study file names no publication; add `cite`)."
    found = [Citation("The study", text, _entry("misc", study.name, title=study.title, note=study.cite))]
    data_sets: dict[str, DataSet] = {"": study.data, **study.data.extra, **study.data.external}
    for name, data in {} if phantom else data_sets.items():
        came, title = came_from(data, phantom=False), f"Data of {study.title}" + (f": {name}" if name else "")
        key = f"{study.name}-data" + (f"-{name}" if name else "")
        note = f"{capitalized(came)}; cite the data set's own publication, too."
        what = f"Its data{f' ({name})' if name else ''}"
        found.append(Citation(what, note, _entry("misc", key, title=title, howpublished=_address(data), note=came)))
    if phantom:
        note = "Phantoms that Rescan drew: nothing to cite but Rescan."
        found.append(Citation("Its data", note, ""))
    return [*found, rescan_citation()]


def rescan_citation() -> Citation:
    """How to cite Rescan itself."""
    cff = project()
    authors = [author.get("name") or f"{author['given-names']} {author['family-names']}" for author in cff["authors"]]
    address = cff.get("url") or cff.get("repository-code") or ""
    text = f"{listed(authors)}. {cff['title']}. Version {__version__}."
    entry = _entry(
        "software",
        "rescan",
        author=" and ".join(f"{{{escaped(author)}}}" for author in authors),
        title=cff["title"],
        version=__version__,
        license=str(cff["license"]),
        url=address,
    )
    return Citation("Rescan", f"{text} {address}".strip(), entry)


def _address(data: DataSet) -> str:
    source = data.source
    if source.kaggle_dataset:
        return f"https://www.kaggle.com/datasets/{source.kaggle_dataset}"
    if source.kaggle_competition:
        return f"https://www.kaggle.com/competitions/{source.kaggle_competition}"
    return source.url or ""


def _entry(kind: str, key: str, **fields: str) -> str:
    """An entry of BibTeX without its empty fields."""
    lines = []
    for name, value in fields.items():
        text = " ".join(value.split())
        if text and name in ("howpublished", "url"):
            lines.append(f"  {name} = {{\\url{{{text.replace('{', '%7B').replace('}', '%7D')}}}}}")
        elif text:
            lines.append(f"  {name} = {{{text if name == 'author' else escaped(text)}}}")
    return f"@{kind}{{{re.sub('[^A-Za-z0-9_-]', '-', key)},\n" + ",\n".join(lines) + "\n}\n"


def as_text(found: list[Citation]) -> str:
    """All as a text file."""
    return "\n".join(f"{citation.what}: {' '.join(citation.text.split())}" for citation in found) + "\n"


def as_bibtex(found: list[Citation]) -> str:
    """All as a file for BibTeX."""
    return "\n".join(citation.bibtex for citation in found if citation.bibtex)
