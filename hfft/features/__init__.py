"""The features of a pretrained network: what it computes of each row, before any head.

The package itself can be called: `hfft.features(source, data)` is `hfft.features.export.features`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.features.recipe_features import Features, layers_of_recipe, of_recipe

__getattr__, __all__ = names(
    __name__,
    {
        "Features": "hfft.features.recipe_features",
        "layers_of_recipe": "hfft.features.recipe_features",
        "of_recipe": "hfft.features.recipe_features",
    },
)


class _Callable(ModuleType):
    """The package as a function, since the name `hfft.features` is both."""

    def __call__(self, source: str, data: str, **how: Any) -> Any:
        """See `hfft.features.export.features`."""
        from hfft.features.export import features

        return features(source, data, **how)


sys.modules[__name__].__class__ = _Callable
