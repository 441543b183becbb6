"""`hfft compare`: finished runs beside each other, in a table and on a page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hfft.errors import BadInput
from hfft.run import importing
from hfft.wording import printable

HELP = "finished runs beside each other: recipes, figures, tests on the same rows"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument("runs", nargs="+", metavar="RUN", help="run folders; the others are compared with the first")
    command.add_argument("--output", default="compare.html", metavar="FILE", help="the page (default: compare.html)")
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run(given: argparse.Namespace) -> int:
    """Print the comparison, and write its page."""
    with importing():
        from hfft.compare import compare_runs
        from hfft.compare.page import render
        from hfft.runs.folder import RunFolder, write

    found, page = compare_runs(given.runs), Path(given.output)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        write(page, render(found))
    except OSError as error:
        raise BadInput(f"--output: {page} cannot be written ({error.strerror}); use another file") from None
    lines = RunFolder.json_text(found.json()).splitlines() if given.json else found.lines()
    for line in lines:
        print(printable(line))
    print(printable(f"page: {page}"), file=sys.stderr if given.json else sys.stdout)
    return 0
