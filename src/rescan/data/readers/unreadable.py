"""Why a file cannot be read."""

from __future__ import annotations

from rescan.errors import is_of_machine


class Unreadable(ValueError):  # noqa: N818 - a finding, not a fault of the program
    """A file cannot be used; the message is the reason in a few words, and what to do."""


class Several(Unreadable):
    """A file holds several pictures where one is wanted: it is a volume."""


def several(count: int, what: str) -> Several:
    """The error of a file of so many frames or pages."""
    alone = ", or frames: each to data" if what == "frames" else ", or split it"
    return Several(f"holds {count} {what}, an image is one; add reads: volume to the preparation{alone}")


def one_line(error: Exception, most: int = 200) -> str:
    """What an error of another library says, in one line of at most so many characters."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    return text if len(text) <= most else text[: most - 2] + " …"


def damage(error: Exception) -> Unreadable:
    """What is wrong with a file whose reader raised an error; a fault of the machine is raised again."""
    if is_of_machine(error):
        raise error
    text = one_line(error)
    return Unreadable("truncated" if "truncated" in text.lower() else f"damaged: {text}")
