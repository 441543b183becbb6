"""Corruptions of sounds at five severities.

The draws are those of (seed, row, corruption) and the same for the five severities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hfft.data.augment.sound_ops import with_noise

Corruption = Callable[[np.ndarray, int, np.random.Generator, float], np.ndarray]


def white_noise(wave: np.ndarray, rate: int, rng: np.random.Generator, snr: float) -> np.ndarray:
    """White noise at a signal-to-noise ratio in decibels."""
    return with_noise(wave, rng, snr)


def reverberation(wave: np.ndarray, rate: int, rng: np.random.Generator, seconds: float) -> np.ndarray:
    """The echo of a room: noise that fades by 60 dB in this time, as loud in sum as the sound itself."""
    from scipy.signal import fftconvolve

    t = np.arange(max(round(seconds * rate), 2)) / rate
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / seconds)
    echo = fftconvolve(wave, tail / np.sqrt(np.square(tail).sum()))[: len(wave)]
    return (wave + echo).astype(np.float32)


def clipping(wave: np.ndarray, rate: int, rng: np.random.Generator, share: float) -> np.ndarray:
    """Cut the loudest share of the values off, as an overdriven microphone does."""
    limit = float(np.quantile(np.abs(wave), 1 - share))
    return wave.clip(-limit, limit)


def low_pass(wave: np.ndarray, rate: int, rng: np.random.Generator, highest: float) -> np.ndarray:
    """Leave out frequencies above this one, in Hz, as a telephone does."""
    parts = np.fft.rfft(wave)
    parts[np.fft.rfftfreq(len(wave), 1 / rate) > highest] = 0
    return np.fft.irfft(parts, len(wave)).astype(np.float32)


def dropped_packets(wave: np.ndarray, rate: int, rng: np.random.Generator, share: float) -> np.ndarray:
    """Silence in pieces of 20 ms, each with this probability."""
    size = max(round(0.02 * rate), 1)
    lost = (rng.random(-(-len(wave) // size)) < share).repeat(size)[: len(wave)]
    return np.where(lost, np.float32(0), wave)


CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "white_noise": (white_noise, (20.0, 15.0, 10.0, 5.0, 0.0)),
    "reverberation": (reverberation, (0.1, 0.2, 0.4, 0.8, 1.6)),
    "clipping": (clipping, (0.02, 0.05, 0.1, 0.2, 0.4)),
    "low_pass": (low_pass, (3000.0, 2000.0, 1500.0, 1000.0, 500.0)),
    "dropped_packets": (dropped_packets, (0.02, 0.05, 0.1, 0.2, 0.4)),
}


def corrupted(sound: Mapping[str, Any], name: str, seed: int, row: int) -> list[dict[str, Any]]:
    """A sound at the five severities of a corruption."""
    number = list(CORRUPTIONS).index(name)
    change, levels = CORRUPTIONS[name]
    wave, rate = np.asarray(sound["array"], np.float32), int(sound["sampling_rate"])
    return [
        {"array": change(wave, rate, np.random.default_rng((seed, row, number)), level), "sampling_rate": rate}
        for level in levels
    ]
