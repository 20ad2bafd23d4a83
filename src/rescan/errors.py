"""The one exception for mistakes that a user can mend."""

from __future__ import annotations


class RescanError(Exception):
    """What is wrong, where, and what to do, in one line a fault; shown without a traceback, exit code 1."""
