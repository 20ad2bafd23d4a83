"""Texts as LaTeX shows them."""

from __future__ import annotations

LATEX = {
    "\\": r"\textbackslash{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "“": "``",
    "”": "''",
    "–": "--",
    "…": r"\ldots{}",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\rightarrow$",
    "°": r"$^\circ$",
    "κ": r"$\kappa$",
    "\u00a0": "~",
}


def escaped(text: str) -> str:
    """A text as LaTeX shows it, letter by letter."""
    return "".join(LATEX.get(letter, letter) for letter in text)
