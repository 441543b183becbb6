"""Augmentations of sounds, each a pure function of its input and a generator.

`op(wave, rng, **arguments) -> wave` for values `(T,)` at a model's rate, and `op(spectrogram, rng, **arguments)` for
`(frames, bins)`. All randomness comes from the given generator. An op never changes its input, and may return it. Ranges are
checked by `hfft.data.augment.parse`, not by the ops.
"""

from typing import Annotated

import numpy as np
from annotated_types import Predicate
from numpy.random import Generator
from pydantic import Field

from hfft.data.augment.image_ops import Count, Probability, Width

_Number = Annotated[float, Field(strict=True, ge=-100, le=100)]
_Ordered = Predicate(lambda pair: pair[0] <= pair[1])
Decibels = Annotated[tuple[_Number, _Number], _Ordered, Field(description="an ordered pair in [-100, 100]")]
Seconds = Annotated[float, Field(strict=False, gt=0, description="a number in (0, inf)")]


def random_segment(wave: np.ndarray, rng: Generator, rate: int, seconds: Seconds = 5.0) -> np.ndarray:
    """A part of this length at a uniformly drawn place; a shorter sound stays as it is."""
    length = max(round(seconds * rate), 1)
    if len(wave) <= length:
        return wave
    start = int(rng.integers(len(wave) - length + 1))
    return wave[start : start + length]


def time_shift(wave: np.ndarray, rng: Generator, share: Probability = 0.1) -> np.ndarray:
    """Move a sound by at most this share of its length, later or earlier; silence fills the gap."""
    most = round(share * len(wave))
    by = int(rng.integers(-most, most + 1))
    moved = np.zeros_like(wave)
    moved[max(by, 0) : len(wave) + min(by, 0)] = wave[max(-by, 0) : len(wave) - max(by, 0)]
    return moved


def gain(wave: np.ndarray, rng: Generator, db: Decibels = (-6.0, 6.0)) -> np.ndarray:
    """Make a sound louder by a number of decibels, drawn uniformly; below 0 it becomes quieter."""
    return wave * np.float32(10 ** (rng.uniform(*db) / 20))


def add_noise(wave: np.ndarray, rng: Generator, snr: Decibels = (10.0, 30.0), p: Probability = 1.0) -> np.ndarray:
    """Add white noise with probability `p`, at a signal-to-noise ratio in decibels that is drawn uniformly."""
    if rng.random() >= p:
        return wave
    return with_noise(wave, rng, rng.uniform(*snr))


def with_noise(wave: np.ndarray, rng: Generator, snr: float) -> np.ndarray:
    """A sound with white noise at a signal-to-noise ratio in decibels; silence stays silent."""
    power = float(np.mean(np.square(wave, dtype=np.float64)))
    scale = np.sqrt(power / 10 ** (snr / 10))
    return wave + (rng.standard_normal(len(wave)) * scale).astype(np.float32)


def time_mask(spectrogram: np.ndarray, rng: Generator, width: Width = 48, count: Count = 1) -> np.ndarray:
    """Hide `count` spans of frames, each of a width drawn from 0 to `width`, by the mean (SpecAugment, arXiv:1904.08779)."""
    return _masked(spectrogram, rng, width, count, 0)


def frequency_mask(spectrogram: np.ndarray, rng: Generator, width: Width = 48, count: Count = 1) -> np.ndarray:
    """Hide `count` bands of frequencies, each of a width drawn from 0 to `width` bins, by the mean (SpecAugment)."""
    return _masked(spectrogram, rng, width, count, 1)


def _masked(spectrogram: np.ndarray, rng: Generator, width: int, count: int, axis: int) -> np.ndarray:
    found, size = spectrogram.copy(), spectrogram.shape[axis]
    for _ in range(count):
        span = int(rng.integers(min(width, size) + 1))
        start = int(rng.integers(size - span + 1))
        found[(slice(None),) * axis + (slice(start, start + span),)] = spectrogram.mean()
    return found
