"""The frozen cache: frozen layers run once per row, and their outputs are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.frozen_cache.frozen_cache import FrozenCache, FrozenCacheSettings
    from hfft.frozen_cache.spec import FrozenCacheSpec

__getattr__, __all__ = names(
    __name__,
    {
        "FrozenCache": "hfft.frozen_cache.frozen_cache",
        "FrozenCacheSettings": "hfft.frozen_cache.frozen_cache",
        "FrozenCacheSpec": "hfft.frozen_cache.spec",
    },
)
