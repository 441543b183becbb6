"""Sounds drawn as spectrograms, so that an image network can hear them."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, log10
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hfft.data.sounds import Sound, resampled

if TYPE_CHECKING:
    from hfft.data.render_spec import Render

RANGE = 80.0  # decibels from black to white
MARGIN = 0.1  # seconds after what is drawn, for the filter of the resampling
WINDOW = 0.025  # seconds of sound in a column of pixels
AT_ONCE = 128  # windows that are transformed together, which bounds the memory
LOWEST = 1e-10  # power below which a sound counts as silent


def spectrogram(sound: Sound, how: Render) -> Image.Image:
    """The log mel spectrogram of a sound's first `seconds`: time from left to right, low frequencies below, white is loudest.

    A shorter sound is followed by silence. Loudness is relative to the loudest point, so that a sound and the same sound played
    softly are one image.

    Returns:
        A grey image of `size`.
    """
    height, width = how.size
    seconds, rate = how.heard
    given = sound["array"][
        : ceil((seconds + MARGIN) * sound["sampling_rate"])
    ]  # the rest would be resampled for nothing
    wave = resampled({**sound, "array": given}, rate)[: max(round(seconds * rate), 1)]
    length = max(round(WINDOW * rate), 2)
    starts = np.round(np.arange(width) * seconds * rate / width).astype(int)  # of each column's window
    padded = np.pad(wave, (length // 2, max(int(starts[-1]) + length - len(wave), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[starts] * np.hanning(length)
    size = _fft_size(length, height, rate)
    filters = _mel_filters(size, height, rate)
    power = np.concatenate(
        [np.square(np.abs(np.fft.rfft(frames[i : i + AT_ONCE], size))) @ filters for i in range(0, width, AT_ONCE)]
    )  # (width, height)
    loudest = power.max()
    if loudest < LOWEST:
        return Image.new("L", (width, height))
    decibels = 10 * np.log10(np.maximum(power / loudest, LOWEST))
    levels = np.clip(1 + decibels / RANGE, 0, 1) * 255
    return Image.fromarray(np.ascontiguousarray(np.rint(levels).astype(np.uint8).T[::-1]))


def _fft_size(length: int, height: int, rate: int) -> int:
    """A power of two that holds a window and gives the lowest of `height` bands, the narrowest one, frequencies of its own."""
    step = 2595 * log10(1 + rate / 2 / 700) / (height + 1)  # in mel
    narrowest = 700 * (10 ** (step / 2595) - 1)
    return 1 << (max(length, ceil(2 * rate / narrowest)) - 1).bit_length()


@lru_cache(maxsize=8)
def _mel_filters(size: int, height: int, rate: int) -> np.ndarray:
    """Triangular filters `(size // 2 + 1, height)` on the mel scale, each of the same height."""
    from transformers.audio_utils import mel_filter_bank

    return mel_filter_bank(size // 2 + 1, height, 0.0, rate / 2, rate, norm=None, mel_scale="htk")
