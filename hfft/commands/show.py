"""`hfft show`: print a recipe with all its defaults, and the table of layers."""

from __future__ import annotations

import argparse

from hfft.commands.arguments import takes_recipe
from hfft.recipe import yaml_lines
from hfft.recipe.find import load_recipe
from hfft.run import importing
from hfft.wording import block

HELP = "print a recipe with all its defaults, and the table of its layers"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    takes_recipe(command)
    command.add_argument(
        "--recipe-only", action="store_true", help="without the table of layers, so that no model is loaded"
    )


def run(given: argparse.Namespace) -> int:
    """Print the resolved recipe, then the table of layers."""
    recipe = load_recipe(given.recipe, *given.overrides)
    print(yaml_lines.dump(recipe.resolved()), end="")
    if not given.recipe_only:
        with importing():
            from hfft.pipeline.deep_check import show

        print(block(["", *show(recipe)]))
    return 0
