"""What `rescan verify` finds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Findings:
    """What was looked at, and what is wrong.

    Attributes:
        wrong: A line per fault: the file, what is wrong, what to do.
        notes: A line each of what is to be known, but not wrong.
        checked: The number of files whose checksums were computed.
        bytes: Their size.
    """

    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: int = 0
    bytes: int = 0

    def fault(self, path: str, what: str, remedy: str) -> None:
        """Add a fault."""
        self.wrong.append(f"{path}: {what}; {remedy}")

    def error(self, error: Exception) -> None:
        """Add the lines of an error that names its file."""
        self.wrong.extend(line for line in str(error).splitlines() if line not in self.wrong)

    def note(self, text: str) -> None:
        """Add what is to be known, once."""
        if text not in self.notes:
            self.notes.append(text)

    def add(self, other: Findings) -> None:
        """Add those of another study."""
        self.wrong += [fault for fault in other.wrong if fault not in self.wrong]
        self.notes += [note for note in other.notes if note not in self.notes]
        self.checked += other.checked
        self.bytes += other.bytes

    @property
    def summary(self) -> str:
        """One line."""
        looked = f"{self.checked:,} files ({self.bytes / 1e6:,.1f} MB) read again"
        return f"{looked}; {len(self.wrong)} wrong" if self.wrong else f"{looked}; nothing wrong"
