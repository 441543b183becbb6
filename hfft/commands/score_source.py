"""The recipe of what `hfft score` is given."""

from __future__ import annotations

from hfft.recipe.recipe import Recipe
from hfft.run import importing


def recipe_of(source: str, overrides: list[str]) -> Recipe:
    """The recipe of a run, or the one published with a model, as `hfft.predict.trained.recipe_of`, which imports torch."""
    with importing():
        from hfft.predict import trained

    return trained.recipe_of(source, overrides)
