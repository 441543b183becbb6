"""The features of a pretrained network: what it computes of each row, before any head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.features.extract import extract
    from hfft.features.recipe_features import Features, layers_of_recipe, of_recipe

__getattr__, __all__ = names(
    __name__,
    {
        "Features": "hfft.features.recipe_features",
        "extract": "hfft.features.extract",
        "layers_of_recipe": "hfft.features.recipe_features",
        "of_recipe": "hfft.features.recipe_features",
    },
)
