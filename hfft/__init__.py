"""hfft: fine-tune pretrained image and text models of the Hugging Face ecosystem by recipe.

`load_recipe(name_or_path, *overrides)` checks a recipe, `finetune(recipe)` trains, scores and publishes it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfft.recipe import Recipe, load_recipe
    from hfft.workflow import Result, finetune

_HOMES = {
    "Recipe": "hfft.recipe",
    "load_recipe": "hfft.recipe",
    "Result": "hfft.workflow",
    "finetune": "hfft.workflow",
}

__all__ = ["Recipe", "Result", "__version__", "finetune", "load_recipe"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # torch loads with the first fine-tune, not with the first import
    if name not in _HOMES:
        if name in ("errors", "recipe"):
            return importlib.import_module(f"hfft.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
