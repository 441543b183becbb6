"""`hfft plan`: estimate the memory and time that a recipe needs on this machine."""

from __future__ import annotations

import argparse
import itertools

from hfft.commands.arguments import takes_recipe
from hfft.errors import BadInput
from hfft.recipe.find import load_recipe
from hfft.run import importing
from hfft.wording import printable

HELP = "the memory and time that a recipe needs on this machine, and how alternatives would change them"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    takes_recipe(command)
    command.add_argument("--profile", action="store_true", help="also show where the time of one training step goes")


def run(given: argparse.Namespace) -> int:
    """Print the memory and time of a recipe, estimated from a few measured steps."""
    recipe = load_recipe(given.recipe, *given.overrides)
    if recipe.use != "fine-tune":
        raise BadInput(f"use: is {recipe.use}, which trains no network; hfft plan measures steps of training")
    with importing():
        from hfft.plan import plan

    for line in itertools.chain(plan.plan(recipe), plan.profile(recipe) if given.profile else ()):
        print(printable(line), flush=True)
    return 0
