"""`hfft check`: the grammar of a recipe; with --deep, the proof that it will run to its end."""

from __future__ import annotations

import argparse

from hfft.recipe.find import load_recipe
from hfft.run import importing


def run(given: argparse.Namespace) -> int:
    """The grammar; with --deep everything that a run will do, once."""
    recipe = load_recipe(given.recipe, *given.overrides)
    if given.deep:
        with importing():
            from hfft.pipeline import deep_check

        for line in deep_check.check(recipe):
            print(line, flush=True)
    print(f"{recipe.name}: good")
    return 0
