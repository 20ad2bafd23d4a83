"""The command line, `rescan` or `python -m rescan`."""

from rescan.cli.commands import app, main

__all__ = ["app", "main"]
