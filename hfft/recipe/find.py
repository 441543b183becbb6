"""Find recipes by name or path: those shipped with the package, and the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfft.errors import BadInput, RecipeError
from hfft.recipe.build import build
from hfft.recipe.recipe import Recipe
from hfft.wording import listing, nearest


def shipped() -> dict[str, Path]:
    """Name -> file of the recipes shipped with the package (installed, or beside it in a checkout)."""
    return {path.stem: path for path in sorted(recipes_folder().glob("*.yaml"))}


def recipes_folder() -> Path:
    """The folder of the shipped recipes, whose `studies/` has the shipped studies."""
    here = Path(__file__).parents[1]
    return here / "recipes" if (here / "recipes").is_dir() else here.parent / "recipes"


def find_recipe(name_or_path: str | Path) -> Path:
    """The file of a recipe from its name or path.

    Raises:
        BadInput: the name is neither a shipped recipe nor a file.
    """
    known = shipped()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    path = Path(name_or_path)
    if os.path.isfile(path / "recipe.yaml"):
        return path / "recipe.yaml"
    if str(name_or_path) in (study.stem for study in recipes_folder().glob("studies/*.yaml")):
        raise BadInput(f"recipe {str(name_or_path)!r} is a study of several runs; use hfft study {name_or_path}")
    if not os.path.isfile(path):  # pathlib's is_file raises if the name is too long for a file
        raise BadInput(
            f"recipe {str(name_or_path)!r} is neither a shipped recipe nor a file"
            f"{nearest(str(name_or_path), known)} (shipped: {listing(known, 30)})"
        )
    return path


def load_recipe(recipe: str | Path | Mapping[str, Any], *overrides: str) -> Recipe:
    """The checked recipe for a name, a file, or a dictionary of sections, with `section.key=value` overrides (in YAML).

    Raises:
        RecipeError: all mistakes together, one line each.
        BadInput: there is no such recipe.
    """
    if isinstance(recipe, Mapping):
        return build(recipe, source="recipe", name="recipe", overrides=overrides)
    path = find_recipe(recipe)
    source = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise RecipeError([f"{source}:{line}  byte 0x{byte:02x} is not UTF-8; save the file as UTF-8 text"]) from None
    except OSError as error:
        raise BadInput(f"recipe {source!r} cannot be read: {error.strerror}") from None
    return build(text, source=source, name=path.stem, overrides=overrides)
