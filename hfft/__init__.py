"""hfft: fine-tune pretrained image, text and audio models of the Hugging Face ecosystem by recipe.

`load_recipe(recipe, *overrides)` checks a recipe, given by name, file or dictionary, `finetune(recipe)` trains, scores
and publishes it, `load_predictor(source)` loads the result for prediction, and `load_predictors` loads several adapters
on one backbone. `features(source, data)` computes the features of a data set, `rank(recipe, backbones)` ranks pretrained
models for a recipe, and `study(name, recipe)` makes several runs and says what they come to together.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.pipeline.finetune import Result, finetune
    from hfft.predict.predictor import load_predictor, load_predictors
    from hfft.recipe.find import load_recipe
    from hfft.recipe.recipe import Recipe
    from hfft.studies.run import study

__version__ = "0.2.0"
_named, __all__ = names(
    __name__,
    {
        "Recipe": "hfft.recipe.recipe",
        "Result": "hfft.pipeline.finetune",
        "finetune": "hfft.pipeline.finetune",
        "load_predictor": "hfft.predict.predictor",
        "load_predictors": "hfft.predict.predictor",
        "load_recipe": "hfft.recipe.find",
        "study": "hfft.studies.run",
    },
)
__all__ += ["__version__"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:  # torch is imported with the first fine-tune, not with hfft
    return importlib.import_module(f"hfft.{name}") if name in ("errors", "features", "rank", "recipe") else _named(name)
