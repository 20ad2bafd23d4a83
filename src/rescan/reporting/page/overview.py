"""The page of all studies at all scales, results/index.html: made of what lies in the folder of results."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from rescan.errors import RescanError
from rescan.files import remove_temporaries
from rescan.locks import locked
from rescan.paths import OVERVIEW, Paths
from rescan.reporting.page.report import environment, render, write
from rescan.reporting.text.words import Value
from rescan.results.page_card import Compared, PageCard
from rescan.results.progress import DONE, RUNNING, progress_of

NOT_COMPARED = "not compared"


@dataclass(frozen=True)
class Row:
    """A study at a scale.

    Attributes:
        title: Of the study.
        name: Of the study.
        scale: The scale.
        link: Its page, relative to the page of all; "" if there is none.
        headline: The answer in one sentence; "" if there is none yet.
        caution: What must be known before any number is read.
        published: The number or the claim that stands for all.
        published_value: The number, to sort by; "" if there is none.
        who: Who published it.
        ours: Our number.
        of: What it is of, and whose.
        verdict: The verdict.
        tally: The verdicts of all numbers and claims, where there are several.
        state: How far it is.
    """

    title: str
    name: str
    scale: str
    link: str = ""
    headline: str = ""
    caution: str = ""
    published: str = "–"
    published_value: float | str = ""
    who: str = ""
    ours: Value | None = None
    of: str = ""
    verdict: str = ""
    tally: str = ""
    state: str = ""


def overview() -> None:
    """Write the page of all studies. One process at a time does, so that the last one has seen what all others made."""
    out = Path(OVERVIEW)
    with locked(out, "report"):
        remove_temporaries(out)
        write(out, overview_page())


def overview_page() -> str:
    """The page of all studies as their cards and their workflows are now."""
    rows = [_row(Paths.of(file.as_posix())) for file in sorted(Path(OVERVIEW).parent.glob("*/*/study.json"))]
    return render("Rescan: all studies", environment().get_template("page_overview.html").render(rows=rows))


def _row(paths: Paths) -> Row:
    """A study's row, by its card if it has one; a card that cannot be read is not worth an error here."""
    link = quote(f"{paths.scale}/{paths.study}/index.html") if Path(paths.page).is_file() else ""
    word, since = progress_of(paths.progress)
    try:
        card = PageCard.read_if_there(paths.card)
    except RescanError:
        link_only = "its card.json cannot be read: run `report` of it again"
        return Row(paths.study, paths.study, paths.scale, link, state=link_only)
    if card is None:
        return _unfinished(paths, link, word)
    later = word if word != DONE and since > Path(paths.card).stat().st_mtime else ""
    done = f"{card.arms - len(card.missing)} of {card.arms} arms" if card.missing else ""
    state = f"partly run: {done}" if card.missing else "done"
    row = Row(
        title=card.title,
        name=paths.study,
        scale=paths.scale,
        link=link,
        headline=card.headline,
        caution=card.caution,
        ours=Value(card.ours, card.low, card.high),
        of=f"{card.metric}, {card.arm}" if card.arm else "",
        verdict=NOT_COMPARED,
        state=f"{later} again" if later == RUNNING else f"{later}; the page is older" if later else state,
    )
    return _compared(row, card.compared)


def _compared(row: Row, compared: list[Compared]) -> Row:
    """A row with its first published number or claim, and the verdicts of all."""
    if not compared:
        return row
    first, verdicts = compared[0], Counter(each.verdict for each in compared)
    tally = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    claimed = first.published_value is None
    return replace(
        row,
        published=first.published,
        published_value="" if first.published_value is None else first.published_value,
        who=first.who,
        ours=Value(first.ours, first.low, first.high),
        of=f"difference of {first.metric}" if claimed else f"{first.metric}, {first.arm}",
        verdict=first.verdict,
        tally=f"of {len(compared)}: {tally}" if len(compared) > 1 else "",
    )


def _unfinished(paths: Paths, link: str, word: str) -> Row:
    """A study without a card: as its study.json says, whichever version wrote it."""
    title, arms = paths.study, list[str]()
    try:
        study = json.loads(Path(paths.resolved).read_text("utf-8"))
        title, arms = str(study["title"]), [str(arm) for arm in study["arms"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it has a row by its name
    scored = sum(Path(paths.arm(arm).metrics).is_file() for arm in arms)
    state = "not finished" if word == DONE else word
    return Row(title, paths.study, paths.scale, link, state=f"{state}: {scored} of {len(arms)} arms have results")
