"""Sounds: decoded, brought to the model's rate and augmented when read, so that nothing is written to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
import torch
from datasets import Dataset, Features, IterableDataset, Value

from hfft.data.audit import BadRow
from hfft.data.augment import grammar
from hfft.data.columns import folder_of, holds_text
from hfft.data.digest import digest_of
from hfft.data.modality.base import Inputs, OnDevice, Rows
from hfft.data.open_files import open_files
from hfft.data.sound_batch import MOST, AudioCollate, sound_batch, without_lengths
from hfft.data.sound_paths import SOUNDS
from hfft.data.sound_rows import SEGMENT, AudioRows, AudioStep, decoded, masked_seconds, reads_waves, whole_seconds
from hfft.data.sounds import (
    NotASound,
    Sound,
    as_sound,
    is_silent,
    library,
    open_sound,
    read_sound,
    resampled,
    write_wav,
)
from hfft.data.spec import Data
from hfft.data.stored_files import FILE, as_files, dated, file_of, full_paths, is_empty, is_remote, path_of
from hfft.errors import DataError

LONG = 60.0  # seconds from which on a note says that a sound is scored whole


class AudioInputs(Inputs):
    """One sound per row, in the column with role `audio`."""

    gathered = 4
    threads = True

    def plays(self, role: str, feature: Any) -> bool:
        """Whether a column contains sounds."""
        return isinstance(feature, datasets.Audio) or _fields(feature) in (
            {"bytes", "path"},
            {"array", "sampling_rate"},
        )

    def read(self, rows: Rows, columns: Mapping[str, str], data: Data, split: str, source: str) -> Rows:
        """Convert a column of paths (relative ones start at the folder of their file), bytes, or values with a rate to files."""
        library()
        role, column = next(iter(columns.items()))
        stream, feature = isinstance(rows, IterableDataset), rows.features[column]
        if holds_text(feature):
            rows = full_paths(rows, role, column, folder_of(data, source), SOUNDS, FILE)
        elif {"array", "sampling_rate"} <= _fields(feature):
            rows = _mapped(rows, column, _as_wav)
        elif isinstance(feature, Value) and feature.dtype in ("binary", "large_binary"):
            rows = _mapped(rows, column, _as_file)
        elif not isinstance(feature, datasets.Audio) and _fields(feature) != {"bytes", "path"}:
            raise DataError(f"data.columns.{role}: column {column!r} has type {feature}, not sounds; choose another")
        if stream:
            return rows.cast_column(column, FILE)
        if holds_text(rows.features[column]):
            rows = rows.cast_column(column, datasets.Audio(decode=False))
        return dated(as_files(cast(Dataset, rows), column), column)

    def decode_row(self, row: dict[str, Any], columns: Mapping[str, str], split: str, number: int) -> dict[str, Any]:
        """A row with its sound decoded."""
        column = columns["audio"]
        return {**row, column: decoded(row[column], column, split, number)}

    def digest(self, row: tuple[Any, ...], names: Sequence[str]) -> int:
        """The digest of a sound's file, after a test that it can be decoded."""
        return self.inspect(row, names)[0]

    def file(self, row: tuple[Any, ...]) -> str | None:
        """The path of the sound."""
        return path_of(row[0])

    def inspect(self, row: tuple[Any, ...], names: Sequence[str]) -> tuple[int, str]:
        """`digest`, and whether the sound is silent."""
        (stored,) = row
        if is_empty(stored):
            raise BadRow(f"no sound in column {names[0]!r}")
        if is_remote(stored):
            return 0, ""
        try:
            content = file_of(stored)
            sound = read_sound(content)
        except (NotASound, OSError) as error:
            why = str(error) if isinstance(error, NotASound) else f"the file cannot be read ({error.strerror})"
            raise BadRow(why, file=path_of(stored)) from None
        return digest_of(content), "the sound is silent" if is_silent(sound) else ""

    def of_row(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> Any:
        """The sound as a dict of `array` and `sampling_rate`."""
        value = row[columns["audio"]]
        stored = value is None or "array" not in value
        return decoded(value, columns["audio"], "", row.get("row", 0)) if stored else value

    def is_one(self, inputs: Any) -> bool:
        """Whether this is one sound and no list of sounds."""
        array = isinstance(inputs, np.ndarray | torch.Tensor) and inputs.ndim == 1 and len(inputs) > 0
        return array or isinstance(inputs, str | Path | bytes | Mapping)

    def served(self, value: Any, pipe: Any) -> Any:
        """A sound at the model's rate, since a pipeline needs torchaudio to bring it there."""
        rate = pipe.feature_extractor.sampling_rate
        return {"array": resampled(as_sound(value, rate), rate), "sampling_rate": rate}

    def open(self, argument: str, note: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
        """The sound in a file, or all sounds below a folder, sorted by name."""
        library()
        return open_files(argument, SOUNDS, _opened, note)

    def check_limit(self, model: Any, wanted: int | None) -> None:
        """Raise if the recipe limits sounds in tokens."""
        if wanted is not None:
            raise DataError("data.max_length: is a limit in tokens; for sounds set data.max_length_seconds")

    def augmentation(self, data: Data) -> list[Any]:
        """Cutting to `data.max_length_seconds`, then `data.augment`."""
        return [{SEGMENT: {"seconds": data.max_length_seconds}}, *data.augment]

    def limit_notes(self, rows: Mapping[str, Any], processor: Any, model: Any, taken: int = 0) -> list[str]:
        """One line for each split with sounds of which a part is read, or that are long, or short for the model's own mask.

        Of a stream they are not known.

        Raises:
            DataError: all training sounds are shorter than the spans that the model masks.
        """
        notes, most, masked = [], whole_seconds(processor), masked_seconds(model, processor)
        for name, found in rows.items():
            if not isinstance(found, AudioRows):
                continue
            if name == "train" and (short := int((found.seconds < masked).sum())):
                notes.append(_of_short_sounds(short, len(found), masked))
            cut = min((limit for limit in (found.segment, most) if limit is not None), default=None)
            long = int((found.seconds > (LONG if cut is None else cut)).sum())
            if not long:
                continue
            which = f"split {name}: {long} of {len(found)} sounds are longer than"
            if cut is None:
                notes.append(
                    f"{which} {LONG:g} s and are read whole; memory grows with the square of the length: cut them into pieces"
                )
            elif cut == most:
                notes.append(f"{which} {cut:.4g} s, all that {type(processor).__name__} reads: the beginning counts")
            else:
                notes.append(f"{which} {cut:g} s (data.max_length_seconds): in each epoch a part is drawn anew")
        return notes

    def batch(self, inputs: Sequence[Any], processor: Any) -> dict[str, Any]:
        """The processor's output for sounds, padded to the longest."""
        return without_lengths(sound_batch(self._rows(inputs, processor), processor.padding_value))

    def blank(self, processor: Any) -> dict[str, Any]:
        """One second of soft noise."""
        rate = processor.sampling_rate
        noise = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
        return self.batch([{"array": noise, "sampling_rate": rate}], processor)

    def on_device(self, processor: Any) -> OnDevice:
        """Leaves out the lengths, which the model does not read."""
        return without_lengths

    def step(
        self,
        processor: Any,
        columns: Mapping[str, str],
        split: str,
        seed: int = 0,
        augment: Sequence[Any] = (),
        on_device: Any = None,
        draws: Any = None,
    ) -> AudioStep:
        """Sounds -> the model's inputs.

        Raises:
            DataError: an operation is on spectrograms, but the model reads waves.
        """
        composed = grammar.compose_sounds(list(augment)) if augment else None
        if composed is not None and composed.on_spectrograms and reads_waves(processor):
            raise DataError(
                f"data.augment: {composed.on_spectrograms[0]} hides parts of a spectrogram, but {type(processor).__name__} "
                f"gives waves; set backbone.config={{mask_time_prob: 0.05}} or mask_feature_prob, its own SpecAugment"
            )
        return AudioStep(processor, columns["audio"], split, composed, seed)

    def rows(self, rows: Dataset, step: AudioStep, known: str, content: np.ndarray | None = None) -> AudioRows:
        """Rows that are decoded when read."""
        return AudioRows(rows, step, content)

    def collate(self, processor: Any, problem: str, mlm_probability: float | None = None) -> AudioCollate:
        """Pads inputs to the longest of a batch."""
        return AudioCollate(problem, processor.padding_value)

    def batches(
        self, inputs: Sequence[Any], size: int, processor: Any, on_device: Any
    ) -> Iterator[tuple[Sequence[int], dict[str, Any]]]:
        """Batches without padding: sounds of the same length together."""
        rows = self._rows(inputs, processor)
        lengths = [next(iter(row.values())).numel() for row in rows]
        order = sorted(range(len(rows)), key=lengths.__getitem__)
        while order:
            length = lengths[order[0]]
            most = max(min(size, MOST // length), 1)
            places = [i for i in order[:most] if lengths[i] == length]
            order = order[len(places) :]
            yield places, sound_batch([rows[i] for i in places])

    def _rows(self, inputs: Sequence[Any], processor: Any) -> list[dict[str, Any]]:
        step = AudioStep(processor, "", "", None, 0)
        return [step(as_sound(one, processor.sampling_rate), 0) for one in inputs]


def _of_short_sounds(short: int, size: int, masked: float) -> str:
    """A note on training sounds that are shorter than the spans that the model masks, which fails in a batch of such alone.

    Raises:
        DataError: all are.
    """
    which = f"{short} of {size} sounds are shorter than the spans of {masked:.3g} s that the model masks in training"
    remedy = "set backbone.config={mask_time_length: 2} or another number of frames, or {apply_spec_augment: false}"
    if short == size:
        raise DataError(f"split train: {which}; {remedy}")
    return f"split train: {which}, and a batch of such sounds alone would fail; {remedy}"


def _fields(feature: Any) -> set[str]:
    """The names of a structure's fields that matter here; of other types none."""
    return set(feature) & {"bytes", "path", "array", "sampling_rate"} if isinstance(feature, dict) else set()


def _mapped(rows: Rows, column: str, change: Callable[[Any], Any]) -> Rows:
    features = Features({**(rows.features or {}), column: FILE})
    return rows.map(partial(_changed, column=column, change=change), input_columns=[column], features=features)


def _changed(value: Any, column: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    return {column: change(value)}


def _as_file(value: bytes | None) -> dict[str, Any]:
    return {"bytes": value, "path": None}


def _as_wav(value: Mapping[str, Any] | None) -> dict[str, Any]:
    whole = value is not None and value["array"] is not None and value["sampling_rate"]
    return {"bytes": write_wav(value) if whole else None, "path": None}  # type: ignore[arg-type]


def _opened(file: Path) -> Sound | DataError:
    """The sound in a file, or why it cannot be read."""
    try:
        return open_sound(file)
    except DataError as error:
        return error
