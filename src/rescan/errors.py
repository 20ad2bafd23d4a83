"""The exception for mistakes that a user can correct."""

from __future__ import annotations


class RescanError(Exception):
    """What is wrong, where, and what to do, in one line per fault; shown without a traceback, exit code 1."""
