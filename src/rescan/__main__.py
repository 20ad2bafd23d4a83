"""`python -m rescan` is the `rescan` command."""

from rescan.cli import main

main()
