"""A checked recipe from YAML text or a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfft.recipe.recipe import Recipe
from hfft.recipe.validate import validated


def build(given: str | Mapping[str, Any], source: str, name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """The checked recipe from YAML text, or from its sections as a dictionary.

    Each mistake starts with `source`, and for YAML with its line number.

    Raises:
        RecipeError: all mistakes together, one line each.
    """
    return validated(Recipe, given, source, name, overrides)
