"""`hfft rank`: which pretrained model, or which of its layers, suits a recipe's data."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from hfft.commands.arguments import takes_recipe
from hfft.errors import BadInput
from hfft.recipe.find import load_recipe
from hfft.run import importing
from hfft.wording import block, printable

OVERRIDE = re.compile(r"[a-z_]+(\.\w+)*=")  # no hub id has an equals sign


HELP = "which pretrained model, or which of its layers, suits a recipe's data"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    takes_recipe(command)
    command.add_argument("--backbones", nargs="*", metavar="MODEL", help="hub ids, folders, runs or adapters")
    command.add_argument("--backbones-file", metavar="FILE", help="a file with one of them per line")
    command.add_argument("--rows", type=int, default=2000, help="training rows to rank on (default: 2000)")
    command.add_argument("--layers", action="store_true", help="rank the layers of one model")
    command.add_argument("--verify", type=int, default=0, metavar="N", help="fine-tune the best N briefly, and compare")
    command.add_argument(
        "--output", metavar="FOLDER", help="folder of the page and tables (default: runs/<recipe>-rank)"
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")
    command.add_argument("--csv", action="store_true", help="print CSV instead of the table")


def run(given: argparse.Namespace) -> int:
    """Print the table of a ranking, and write its files."""
    words = [*(given.backbones or ())]
    overrides = [*given.overrides, *(word for word in words if OVERRIDE.match(word))]
    names = [word for word in words if not OVERRIDE.match(word)]
    recipe = load_recipe(given.recipe, *overrides)
    if given.json and given.csv:
        raise BadInput("--json and --csv are two forms of one table; give one of them")
    with importing():
        from hfft.rank.candidates import read_names
        from hfft.rank.ranking import ranking, writable
        from hfft.rank.table import as_csv

    if given.backbones_file is not None:
        names += read_names(given.backbones_file)
    if not names and (given.backbones is not None or given.backbones_file is not None or not given.layers):
        raise BadInput(
            "no model is named; give hub ids, folders or runs after --backbones, or a file by --backbones-file"
        )
    formed = given.json or given.csv

    def say(line: str) -> None:
        print(printable(line), file=sys.stderr if formed else sys.stdout, flush=True)

    folder = Path(given.output) if given.output is not None else Path(f"{recipe.output_dir}-rank")
    writable(folder, "--output")
    found = ranking(recipe, names, given.rows, given.layers, given.verify, folder, say)
    page = found.write(folder)
    if formed:
        print(block((found.json() if given.json else as_csv(found.rows)).splitlines()))
    else:
        for line in ["", *found.lines()]:
            say(line)
    say(f"written: {page}, with rank.json and rank.csv beside it")
    return 0
