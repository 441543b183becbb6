"""Part 4, the strategy: what is minimised, and what stands beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.strategy.losses import balanced_weights, logits_of, per_example
    from hfft.strategy.terms import Term, build, l2_sp

__getattr__, __all__ = names(
    __name__,
    {
        "balanced_weights": "hfft.strategy.losses",
        "logits_of": "hfft.strategy.losses",
        "per_example": "hfft.strategy.losses",
        "Term": "hfft.strategy.terms",
        "build": "hfft.strategy.terms",
        "l2_sp": "hfft.strategy.terms",
    },
)
