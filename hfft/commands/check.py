"""`hfft check`: check a recipe; with --deep, also test that it will run to the end."""

from __future__ import annotations

import argparse

from hfft.commands.arguments import takes_recipe
from hfft.data.tables.check import check_files
from hfft.errors import BadInput
from hfft.evaluate.further import check_paths
from hfft.recipe.find import load_recipe
from hfft.recipe.training_arguments import missing_trackers
from hfft.run import importing
from hfft.wording import listing, printable

HELP = "check a recipe; with --deep, test that it will run to the end"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    takes_recipe(command)
    command.add_argument(
        "--deep", action="store_true", help="data, one training and evaluation step, save and reload, hub"
    )


def run(given: argparse.Namespace) -> int:
    """Check the recipe and the first lines of its local files; with --deep, also do once everything that a run will do."""
    recipe = load_recipe(given.recipe, *given.overrides)
    if missing := missing_trackers(recipe.training.get("report_to")):
        raise BadInput(f"training.report_to: {listing(missing)} is not installed; install it, or leave it out")
    check_files(recipe.data, recipe.the_task)
    check_paths(recipe.score)
    if given.deep:
        with importing():
            from hfft.pipeline import deep_check

        for line in deep_check.check(recipe):
            print(printable(line), flush=True)
    print(printable(f"{recipe.name}: no mistakes found"))
    return 0
