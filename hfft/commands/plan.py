"""`hfft plan`: estimate the memory and time that a recipe needs on this machine."""

from __future__ import annotations

import argparse
import itertools

from hfft.errors import BadInput
from hfft.recipe.find import load_recipe
from hfft.run import importing
from hfft.wording import printable


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
