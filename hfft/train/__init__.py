"""Train: one Trainer subclass, and the arguments it runs with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.train.arguments import training_arguments
    from hfft.train.trainer import FineTuner

__getattr__, __all__ = names(
    __name__,
    {
        "training_arguments": "hfft.train.arguments",
        "FineTuner": "hfft.train.trainer",
    },
)
