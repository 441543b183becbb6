"""Predict with a finished model on new inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.predict.predictor import Predictor, load_predictor, load_predictors

__getattr__, __all__ = names(
    __name__,
    {
        "Predictor": "hfft.predict.predictor",
        "load_predictor": "hfft.predict.predictor",
        "load_predictors": "hfft.predict.predictor",
    },
)
