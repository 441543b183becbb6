"""`hfft soup`: average finished runs, or interpolate between a run's start and its end."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from hfft.run import importing
from hfft.wording import printable

OVERRIDE = re.compile(r"[a-z_]+(\.\w+)+=")


HELP = "average the weights of finished runs, or of a run's start and end; a run folder results"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument(
        "inputs", nargs="+", metavar="RUN", help="run folders; also data.key=value and score.key=value for the scoring"
    )
    command.add_argument(
        "--with-start",
        metavar="ALPHAS",
        help="one run between its start (0) and its end (1), such as 0:1:0.1 or 0.3,0.5",
    )
    command.add_argument("--output", metavar="FOLDER", help="the new run's folder (default: beside the first run)")
    command.add_argument("--fresh", action="store_true", help="replace the run in that folder")


def run(given: argparse.Namespace) -> int:
    """Print the table of candidates, and write the chosen one as a run."""
    with importing():
        from hfft.pipeline.soup.soup import soup

    overrides = [word for word in given.inputs if OVERRIDE.match(word)]
    sources = [word for word in given.inputs if word not in overrides]
    output = None if given.output is None else Path(given.output)
    soup(sources, overrides, given.with_start, output, given.fresh, lambda line: print(printable(line), flush=True))
    return 0
