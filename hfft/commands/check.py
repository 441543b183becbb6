"""`hfft check`: check a recipe; with --deep, also test that it will run to the end."""

from __future__ import annotations

import argparse

from hfft.recipe.find import load_recipe
from hfft.run import importing
from hfft.wording import printable


def run(given: argparse.Namespace) -> int:
    """Check the recipe; with --deep, also do once everything that a run will do."""
    recipe = load_recipe(given.recipe, *given.overrides)
    if given.deep:
        with importing():
            from hfft.pipeline import deep_check

        for line in deep_check.check(recipe):
            print(printable(line), flush=True)
    print(printable(f"{recipe.name}: no mistakes found"))
    return 0
