"""`python -m rescan` is the `rescan` command."""

from rescan.stopping import stoppable

stoppable()  # first: the imports below take a moment, in which somebody may press Ctrl-C

from rescan.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
