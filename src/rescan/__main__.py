"""`python -m rescan` is the `rescan` command."""

try:
    from rescan.stopping import stoppable

    stoppable()  # first: the imports below take a moment, in which somebody may press Ctrl-C
except KeyboardInterrupt:
    raise SystemExit(130) from None

from rescan.cli import main

if __name__ == "__main__":
    main()
