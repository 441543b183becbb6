"""`hfft runs`: list the runs of a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from hfft.run import importing
from hfft.wording import block

HELP = "list the runs of a folder with their main figure"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument("folder", nargs="?", default="runs", help="the folder (default: runs)")
    command.add_argument(
        "--sort", default="run", metavar="KEY", help="by run, state, model, split, figure, value, n or seconds"
    )
    command.add_argument("--reverse", action="store_true", help="the largest first")
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run(given: argparse.Namespace) -> int:
    """Print one line for each run."""
    with importing():
        from hfft.compare.listing import as_json, lines, runs_of

    found = runs_of(Path(given.folder), given.sort, given.reverse)
    if given.json:
        print(block(as_json(found).splitlines()))
    else:
        print(block(lines(found) if found else [f"no run in {given.folder}"]))
    return 0
