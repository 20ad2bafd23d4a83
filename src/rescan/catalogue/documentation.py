"""The tables of names in docs/study-file.md, written from the records: `python -m rescan.catalogue.documentation`.

A table stands between `<!-- operator: by make docs -->` and `<!-- end -->`; what is written by hand there is lost.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Callable

from rescan.catalogue import KINDS, Option
from rescan.errors import RescanError

PAGE = Path("docs/study-file.md")
MARKED = re.compile(r"(<!-- (\w+): by make docs -->\n).*?(<!-- end -->)", re.DOTALL)
Cell = Callable[[Any], str]


def _about(record: Any) -> str:
    return str(record.about)


def _takes(record: Any) -> str:
    return {"both": "images, volumes"}.get(record.takes, record.takes)


def _options(record: Any) -> str:
    return "; ".join(_option(name, option) for name, option in record.options.items())


def _defaults(record: Any) -> str:
    return "; ".join(f"`{name}`: {_yaml(option.value)}" for name, option in record.options.items())


def _option(name: str, option: Option) -> str:
    notes = "; ".join(_notes(option))
    return f"`{name}`: {_yaml(option.value)}" + (f" ({notes})" if notes else "")


def _notes(option: Option) -> list[str]:
    others = [_yaml(value) for value in option.choices if value not in (option.value, True, False)]
    limits = (("above", option.above), ("below", option.below))
    notes = [f"or {', '.join(others)}"] if others else []
    return (
        [option.about] * bool(option.about)
        + notes
        + [f"{word} {limit:g}" for word, limit in limits if limit is not None]
    )


def _yaml(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) and value else json.dumps(value)


def _strength(record: Any) -> str:
    return record.about + (f"; below {record.below:g}" if record.below is not None else "")


COLUMNS: dict[str, dict[str, Cell]] = {
    "layout": {"on disk": _about, "options": _options},
    "phantom": {"images": _about, "defaults": _defaults},
    "column": {"meaning": lambda record: record.about or record.title},
    "operator": {"of": _takes, "options": _options, "does": _about},
    "encoder": {
        "of": lambda record: {2: "images", 3: "volumes"}[record.dimensions],
        "ImageNet weights": lambda record: "yes" if record.weights else "",
        "blocks for `gradcam`": lambda record: ", ".join(f"`{name}`" for name in record.layers),
        "source": _about,
    },
    "neck": {"does": _about, "options": _options},
    "head": {"answers by": _about, "for": lambda record: "two classes" * record.of_two + "grades" * record.of_grades},
    "normalization": {"feeds": _about},
    "augmentation": {"of": _takes, "strength": _strength},
    "loss": {
        "of heads": lambda record: ", ".join(f"`{head}`" for head in record.heads),
        "defaults": _defaults,
        "is": _about,
    },
    "optimizer": {"options": _options, "is": lambda record: record.about or record.sentence},
    "schedule": {"options": _options, "does": _about},
    "metric": {"is": _about},
    "method": {"is": _about},
}


def table(kind: str) -> str:
    """The Markdown table of a kind's records; of `loss_options`, what the options of all losses mean."""
    if kind.endswith("_options"):
        return _table(["option", "meaning"], _meanings(kind.removesuffix("_options")))
    columns = COLUMNS[kind]
    rows = [[f"`{name}`", *(cell(record) for cell in columns.values())] for name, record in KINDS[kind].items()]
    return _table(["name", *columns], rows)


def _meanings(kind: str) -> list[list[str]]:
    notes: dict[str, dict[str, None]] = {}
    for record in KINDS[kind].values():
        for name, option in record.options.items():
            notes.setdefault(name, {}).update(dict.fromkeys(_notes(option)))
    return [[f"`{name}`", "; ".join(each)] for name, each in notes.items()]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines).replace("|  |", "| |")


def written(page: str) -> str:
    """A page with the tables between its markers written anew.

    Raises:
        RescanError: A kind has no table in it.
    """
    if missing := set(COLUMNS) - {kind for _, kind, _ in MARKED.findall(page)}:
        raise RescanError(
            f"{PAGE}: no table of {min(missing)}; add <!-- {min(missing)}: by make docs --> and <!-- end -->"
        )
    return MARKED.sub(lambda match: match[1] + table(match[2]) + match[3], page)


def main(arguments: list[str]) -> None:
    """Write the page's tables; with `--check`, only say whether they are as the records have them."""
    page = PAGE.read_text("utf-8")
    new = written(page)
    if "--check" not in arguments:
        PAGE.write_text(new, "utf-8")
    elif page != new:
        sys.exit(f"{PAGE}: its tables are not as the records have them; run `make docs`")


if __name__ == "__main__":
    main(sys.argv[1:])
