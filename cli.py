"""The command line from a checkout: `python cli.py …` is `track …`."""

from tracker.cli import main

main()
