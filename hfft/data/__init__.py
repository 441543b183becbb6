"""Part 5, the data pipeline: from a raw split to model inputs, through maps, augmentation and streaming.

Its names load on first use: the grammar of a recipe reads `augment` in here, and must not wait for `datasets` and torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Splits": "hfft.data.load",
    "Stream": "hfft.data.stream",
    "load_splits": "hfft.data.load",
    "Prepared": "hfft.data.inputs",
    "prepare": "hfft.data.inputs",
    "fingerprints": "hfft.data.fingerprint",
}

__all__ = ["Prepared", "Splits", "Stream", "fingerprints", "load_splits", "prepare"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
