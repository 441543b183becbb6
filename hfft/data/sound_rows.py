"""Rows of sounds as model inputs: each as a pipeline makes it of that sound alone, augmented from (seed, epoch, row)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Features, Value

from hfft.data.augment import grammar
from hfft.data.columns import RowError
from hfft.data.file_rows import FileRows, FileStep
from hfft.data.sounds import NotASound, Sound, length_at, read_sound, resampled, seconds_of
from hfft.data.stored_files import file_of, is_empty, is_remote, path_of
from hfft.wording import printable

SEGMENT = "random_segment"


class AudioStep(FileStep):
    """One sound -> the model's input, as a pipeline makes it of that sound alone."""

    def decoded(self, stored: Any, row: int) -> Sound:
        """The sound in a file."""
        return decoded(stored, self.column, self.split, row)

    def compose(self, augment: Sequence[Any]) -> grammar.ComposeSounds | None:
        """The operations of a recipe's `augment` list for sounds."""
        return grammar.compose_sounds(list(augment)) if augment else None

    def __call__(self, sound: Sound, row: int, drawn: tuple[int, int] | None = None) -> dict[str, Any]:
        rate = self.processor.sampling_rate
        wave = resampled(sound, rate)
        wave = self.applied(wave, row, drawn, lambda augmentation, one, rng: augmentation(one, rng, rate))
        made = self.processor(wave, sampling_rate=rate, return_tensors="pt")
        found = {name: value[0] for name, value in made.items()}
        if reads_waves(self.processor) or (self.augmentation is None and self.further is None):
            return found
        name = next(iter(found))
        turned = _bins_first(found[name], self.processor)
        values = (found[name].T if turned else found[name]).numpy()
        # draws of their own, since the generator begins as that for the wave did
        values = self.applied(
            values, row, drawn, lambda augmentation, one, rng: augmentation.masked(one, rng.spawn(1)[0])
        )
        return {**found, name: torch.from_numpy(np.ascontiguousarray(values.T if turned else values))}


class AudioRows(FileRows):
    """Rows of sounds as model inputs; cutting them is left out where no sound is longer."""

    def __init__(self, rows: Dataset, step: AudioStep, content: np.ndarray | None = None):
        super().__init__(rows, step, content)
        self.segment: float | None = None
        augmentation: Any = step.augmentation
        if augmentation is None:
            return
        longest = np.inf if np.isnan(self.seconds).any() else self.seconds.max(initial=0)
        kept = [(name, a) for name, a in augmentation.steps if name != SEGMENT or a.get("seconds", 5) < longest]
        step.augmentation = grammar.ComposeSounds(tuple(kept)) if kept else None
        self.segment = next((a.get("seconds", 5) for name, a in kept if name == SEGMENT), None)

    @cached_property
    def seconds(self) -> np.ndarray:
        """How long each sound lasts, `(N,)`, NaN where its header is not read; found once per machine."""
        column = self.step.column
        found = self.rows.select_columns([column]).map(
            _seconds,
            input_columns=[column],
            remove_columns=[column],
            features=Features(seconds=Value("float64")),
            desc="measure sounds",
        )
        return np.array(found["seconds"][:], np.float64)

    @property
    def varied(self) -> str | None:
        """Why rows cannot be stored as equally large inputs; None if they can."""
        if not reads_waves(self.step.processor) and whole_seconds(self.step.processor) is not None:
            return None
        seconds = self.seconds if self.segment is None else self.seconds.clip(max=self.segment)
        lengths = np.unique(length_at(seconds, self.step.processor.sampling_rate))
        return "sounds of different lengths are padded to their batch" if len(lengths) != 1 else None


def decoded(stored: Any, column: str, split: str, row: int) -> Sound:
    """The sound in a stored file.

    Raises:
        RowError: there is none, or it cannot be decoded.
    """
    where = f"split {split}, row {row}" if split else f"row {row}"
    if is_empty(stored):
        raise RowError(f"{where}: no sound in column {column!r}; fix or drop it")
    named = f": {printable(path)}" if (path := path_of(stored)) else ""
    try:
        return read_sound(file_of(stored))
    except NotASound as error:
        raise RowError(f"{where}: {error}{named}; fix or drop it") from None
    except OSError as error:
        raise RowError(f"{where}: the file cannot be read ({error.strerror}){named}; fix or drop it") from None


def reads_waves(processor: Any) -> bool:
    """Whether a processor gives the values of sounds, and no spectrograms."""
    return getattr(processor, "feature_size", 1) == 1 and not hasattr(processor, "num_mel_bins")


def whole_seconds(processor: Any) -> float | None:
    """How much of a sound a processor reads that pads all to one length; None if it reads any length whole."""
    if hasattr(processor, "chunk_length"):  # Whisper
        return float(processor.chunk_length)
    if hasattr(processor, "max_length") and hasattr(processor, "num_mel_bins"):  # AST: frames of 25 ms every 10 ms
        return (processor.max_length * 160 + 240) / processor.sampling_rate
    return None


def masked_seconds(model: Any, processor: Any) -> float:
    """The length of the spans that a model of waves masks in training; 0 if it masks none."""
    config = getattr(model, "config", None)
    if not getattr(config, "apply_spec_augment", False) or not getattr(config, "mask_time_prob", 0):
        return 0.0
    strides = getattr(config, "conv_stride", ())
    return config.mask_time_length * math.prod(strides) / processor.sampling_rate if strides else 0.0  # type: ignore[union-attr]


def _bins_first(values: torch.Tensor, processor: Any) -> bool:
    """Whether a spectrogram is `(bins, frames)`, as Whisper's, and not `(frames, bins)`."""
    bins = getattr(processor, "num_mel_bins", processor.feature_size)
    return values.shape[0] == bins and values.shape[1] != bins


def _seconds(stored: Any) -> dict[str, float]:
    known = not is_empty(stored) and not is_remote(stored)
    return {"seconds": seconds_of(stored["bytes"], stored["path"]) if known else float("nan")}
