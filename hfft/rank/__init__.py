"""Which pretrained model suits some data: scores of features, without fine-tuning. `hfft.rank(recipe, backbones)` ranks."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Rank(ModuleType):
    """The package, which is called like the function that it is for: `hfft.rank.ranking.rank`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from hfft.rank.ranking import rank

        return rank(*args, **kwargs)


sys.modules[__name__].__class__ = _Rank
