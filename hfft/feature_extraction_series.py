"""The feature extractor of series of numbers, such as sensors': each channel in units of its spread over the training rows.

Imports only numpy and transformers: saved beside a model, it loads without hfft.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin


class SeriesFeatureExtractor(FeatureExtractionMixin):
    """Series of one length -> `past_values` (B, T, C): `(x - mean) / std` of each channel.

    Args:
        length: time steps of a series, T.
        channels: values of a time step, C.
        mean, std: of each channel, C numbers; without them values are passed on as they are.
    """

    model_input_names = ["past_values"]  # noqa: RUF012  # as transformers declares it

    def __init__(
        self,
        length: int = 512,
        channels: int = 1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.length, self.channels, self.mean, self.std = length, channels, mean, std

    def __call__(self, series: Any, return_tensors: str | None = None) -> BatchFeature:
        """A batch of one series `(T, C)` or several; `(T,)` is one of a single channel.

        Raises:
            ValueError: a series has another length or number of channels.
        """
        first = np.shape(series[0])  # of the first time step, or of the first series
        single = len(first) == 1 if self.channels > 1 else first in ((), (1,))
        rows = [self._row(np.asarray(one, np.float32)) for one in ([series] if single else series)]
        return BatchFeature({"past_values": np.stack(rows)}, tensor_type=return_tensors)

    def _row(self, one: np.ndarray) -> np.ndarray:
        one = one[:, None] if one.ndim == 1 else one
        if one.shape != (self.length, self.channels):
            raise ValueError(f"a series of shape {one.shape}, but the model reads ({self.length}, {self.channels})")
        if self.mean is not None:
            one = one - np.asarray(self.mean, np.float32)
        if self.std is not None:
            one = one / np.asarray(self.std, np.float32)
        return one
