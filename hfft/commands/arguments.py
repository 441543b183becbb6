"""Arguments that several commands take."""

from __future__ import annotations

import argparse


def takes_recipe(command: argparse.ArgumentParser) -> None:
    """A recipe, and overrides of its values."""
    command.add_argument("recipe", help="name of a shipped recipe, or a path")
    command.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a value of the recipe")


def takes_rows(command: argparse.ArgumentParser) -> None:
    """Which rows of `--data` are read, and how."""
    command.add_argument("--split", help="its split (default: the only one, or test)")
    command.add_argument("--column", help="the column of images or texts (default: as in the run)")
    command.add_argument("--pair-column", metavar="COLUMN", help="the column of second texts (default: as in the run)")
    command.add_argument("--id", metavar="COLUMN", help="the column of ids (default: as in the run, else row numbers)")
    command.add_argument(
        "--read",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="how tables are written, as in the data section of a recipe: encoding=cp1252, sep=';'; may be repeated",
    )
