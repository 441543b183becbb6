"""The recipe: its parts' specs together, with finding, overriding, checking and resolving. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.recipe.find import find_recipe, load_recipe, recipes_folder, shipped
    from hfft.recipe.recipe import Recipe

__getattr__, __all__ = names(
    __name__,
    {
        "find_recipe": "hfft.recipe.find",
        "load_recipe": "hfft.recipe.find",
        "recipes_folder": "hfft.recipe.find",
        "shipped": "hfft.recipe.find",
        "Recipe": "hfft.recipe.recipe",
    },
)
