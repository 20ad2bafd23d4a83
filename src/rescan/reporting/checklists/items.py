"""What a checklist is: items, each with what a run answers, and where the page shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rescan.reporting.tables.export_table import ExportTable
from rescan.reporting.text.run_facts import RunFacts

OPEN = "for the author"  # what a run cannot know

Answer = Callable[[RunFacts], str]  # "" where the run does not know it


@dataclass(frozen=True)
class Item:
    """An item of a checklist, in our own words.

    Attributes:
        number: As the checklist has it.
        topic: What it asks for.
        answer: From what was run; None where only the author knows.
        where: The section of the page that shows it.
    """

    number: str
    topic: str
    answer: Answer | None = None
    where: str = ""


@dataclass(frozen=True)
class Checklist:
    """A checklist.

    Attributes:
        name: Of its files.
        title: Its name.
        cite: The article that it is from.
        items: All of its items, in order.
    """

    name: str
    title: str
    cite: str
    items: Sequence[Item]


@dataclass(frozen=True)
class FilledItem:
    """An item with its answer: `answer` is "" and `where` too where only the author knows."""

    number: str
    topic: str
    answer: str
    where: str


@dataclass(frozen=True)
class FilledChecklist:
    """A checklist with the answers of a run."""

    checklist: Checklist
    items: Sequence[FilledItem]

    @property
    def answered(self) -> list[FilledItem]:
        """The items that the run answers."""
        return [item for item in self.items if item.answer]

    @property
    def open(self) -> list[FilledItem]:
        """Those that are left to the author."""
        return [item for item in self.items if not item.answer]

    @property
    def table(self) -> ExportTable:
        """All items as a table."""
        rows = [(item.number, item.topic, item.answer or OPEN, item.where) for item in self.items]
        caption = f"{self.checklist.title}, in short words of our own ({self.checklist.cite})."
        return ExportTable(self.checklist.name, caption, ("item", "topic", "answer", "where"), rows)


def filled(checklist: Checklist, facts: RunFacts) -> FilledChecklist:
    """Answer the items of a checklist by what was run."""
    items = []
    for item in checklist.items:
        answer = item.answer(facts) if item.answer and facts.arms else ""
        items.append(FilledItem(item.number, item.topic, answer, item.where if answer else ""))
    return FilledChecklist(checklist, items)
