"""`hfft extend`: add classes to a finished run's model."""

from __future__ import annotations

import argparse

from hfft.run import importing, leave_world
from hfft.runs import signals
from hfft.wording import printable

HELP = "add classes to a finished run's model, and measure what it forgets; a run folder results"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument("run", metavar="RUN", help="a finished run folder that classifies images or texts")
    command.add_argument(
        "overrides",
        nargs="*",
        metavar="section.key=value",
        help="data.path=new.csv and other keys of data, for the rows of the new classes; other keys change the training",
    )
    command.add_argument(
        "--memory",
        type=int,
        metavar="ROWS",
        help="rows of known classes that are learned again (default: as many as new ones)",
    )
    command.add_argument("--output", metavar="FOLDER", help="the new run's folder (default: RUN-extended)")
    command.add_argument("--fresh", action="store_true", help="start over if the folder already contains a run")


def run(given: argparse.Namespace) -> int:
    """Extend the model, or what is left of it."""
    signals.follow_launcher()
    with signals.handled():
        well = False
        try:
            with importing():
                from hfft.scenarios.incremental.extend import extend

            extend(given.run, *given.overrides, memory=given.memory, output=given.output, fresh=given.fresh, say=_say)
            well = True
        finally:
            leave_world(well)
    return 0


def _say(*lines: str) -> None:
    for line in lines:
        print(printable(line), flush=True)
