"""Series of numbers, such as sensors': each row a table of time steps and channels, standardised by the training rows."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from datasets import Dataset, Features, IterableDataset, List, Value
from transformers import AutoFeatureExtractor, PatchTSTConfig

from hfft.data.audit import BadRow
from hfft.data.columns import RowError, folder_of, holds_text
from hfft.data.digest import digest_of
from hfft.data.identity import settings_of, table_digest
from hfft.data.modality.base import Inputs, Rows
from hfft.data.spec import Data
from hfft.data.stream import Cell
from hfft.errors import DataError
from hfft.feature_extraction_series import SeriesFeatureExtractor
from hfft.tasks.problem import PROBLEMS
from hfft.wording import first_line

AutoFeatureExtractor.register(PatchTSTConfig, SeriesFeatureExtractor, exist_ok=True)  # hfft finds it by its name
SeriesFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")  # its source is saved beside a model, for others
FEATURE = List(List(Value("float32")))
FILES = (".csv", ".tsv", ".txt", ".npy")


class SeriesInputs(Inputs):
    """One series per row in the column with role `series`: `(time steps, channels)`, `(time steps,)`, or a file of one."""

    def plays(self, role: str, feature: Any) -> bool:
        """Whether a column contains series."""
        return _depth(feature) == 2

    def read(self, rows: Rows, columns: Mapping[str, str], data: Data, split: str, source: str) -> Rows:
        """Convert a column of series, or of paths of files, to lists of time steps; paths start at the folder of their file."""
        column = columns["series"]
        feature = (rows.features or {})[column]
        if holds_text(feature):
            folder = folder_of(data, source)

            def read(value: Any) -> Any:
                return read_file(folder / value).tolist()
        elif _depth(feature) == 1:

            def read(value: Any) -> Any:
                return [[number] for number in value]
        elif _depth(feature) == 2:

            def read(value: Any) -> Any:
                return value
        else:
            raise DataError(f"data.columns.series: column {column!r} has type {feature}, not series; choose another")

        def one(value: Any) -> dict[str, Any]:
            return {column: None if value is None else read(value)}

        features = Features({**(rows.features or {}), column: FEATURE})
        return rows if feature == FEATURE else rows.map(one, input_columns=[column], features=features)

    def digest(self, row: tuple[Any, ...], names: Sequence[str]) -> int:
        """The digest of a series' numbers."""
        return _digest(_array(row[0], names[0]))

    def decode_row(self, row: dict[str, Any], columns: Mapping[str, str], split: str, number: int) -> dict[str, Any]:
        """A row with its series as an array."""
        column = columns["series"]
        try:
            return {**row, column: _array(row[column], column)}
        except BadRow as bad:
            raise RowError(f"split {split}, row {number}: {bad}; fix or drop it") from None

    def of_row(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> Any:
        """The series as an array."""
        return np.asarray(row[columns["series"]], np.float32)

    def plain(self, value: Any) -> Any:
        """The series as an array `(time steps, channels)`."""
        found = np.asarray(value, np.float32)
        return found[:, None] if found.ndim == 1 else found

    def open(self, argument: str, note: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
        """The series in a file, or in all files of a folder, sorted by name."""
        path = Path(argument)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.suffix.lower() in FILES)
            if not files:
                raise DataError(f"no series in {argument}; give .csv or .npy files, one series each")
            return ((str(file), _or_error(file)) for file in files)
        if not path.is_file():
            raise DataError(f"no file {argument!r}; give a .csv or .npy file of one series")
        return iter([(argument, _or_error(path))])

    def make_processor(self, config: Any, length: int | None, channels: int | None, **given: Any) -> Any:
        """The feature extractor of a model: the sizes are those of its config where they are not given."""
        known = {"length": length or getattr(config, "context_length", None), "channels": channels}
        known["channels"] = channels or getattr(config, "num_input_channels", None)
        return SeriesFeatureExtractor(**{**{k: v for k, v in known.items() if v is not None}, **given})

    def fit(self, processor: Any, tasks: Mapping[str, tuple[Mapping[str, Rows], Mapping[str, str]]]) -> None:
        """Set the mean and the standard deviation of each channel from the training rows, unless they are known.

        Raises:
            DataError: a row has another length or number of channels than the model reads, or the rows are a stream.
        """
        found = [
            (f"task {task}, split {split}" if task else f"split {split}", split, table, columns["series"])
            for task, (rows, columns) in tasks.items()
            for split, table in rows.items()
        ]
        if any(isinstance(table, IterableDataset) for _, _, table, _ in found):
            raise DataError("data.streaming: series are standardised over all training rows; use data.streaming=false")
        wanted = (processor.length, processor.channels)
        count, total, squares = 0, np.zeros(processor.channels), np.zeros(processor.channels)
        for where, split, table, column in found:
            for i, value in enumerate(table.select_columns([column])[column]):
                one = np.asarray(value, np.float64)
                if one.shape != wanted:
                    raise DataError(_misfit(where, i, one.shape, wanted))
                if split == "train":
                    count, total, squares = count + len(one), total + one.sum(0), squares + (one**2).sum(0)
        if processor.mean is None and processor.std is None:
            mean = total / count
            std = np.sqrt(np.maximum(squares / count - mean**2, 0))
            processor.mean = mean.tolist()
            processor.std = np.where(std > 1e-8, std, 1.0).tolist()  # a channel that never changes stays at zero

    def batch(self, inputs: Sequence[Any], processor: Any) -> dict[str, Any]:
        """The feature extractor's output for series.

        Raises:
            DataError: a series has another length or number of channels than the model reads.
        """
        try:
            return dict(processor([self.plain(one) for one in inputs], return_tensors="pt"))
        except ValueError as error:
            raise DataError(f"{first_line(error)}; cut or resample it") from error

    def blank(self, processor: Any) -> dict[str, Any]:
        """One series of waves."""
        steps = np.arange(processor.length)[:, None] / (3 + np.arange(processor.channels))
        return self.batch([np.sin(steps)], processor)

    def step(
        self,
        processor: Any,
        columns: Mapping[str, str],
        split: str,
        seed: int = 0,
        augment: Sequence[Any] = (),
        on_device: Any = None,
        draws: Any = None,
    ) -> SeriesStep:
        """A series -> the model's input."""
        return SeriesStep(processor, columns["series"])

    def rows(self, rows: Dataset, step: SeriesStep, known: str, content: np.ndarray | None = None) -> SeriesRows:
        """Rows that are standardised when read."""
        return SeriesRows(rows, step, content)

    def collate(self, processor: Any, problem: str, mlm_probability: float | None = None) -> SeriesCollate:
        """Stacks the inputs of the model."""
        return SeriesCollate(problem)


@dataclass
class SeriesStep:
    """A series -> the model's input.

    Attributes:
        augmentation: none; as for other rows, so that a cache can ask.
    """

    processor: Any
    column: str
    augmentation: None = None
    epoch: int = 0

    def __call__(self, values: Sequence[Any]) -> np.ndarray:
        return self.processor(list(values))["past_values"]

    def of_cells(self, cells: list[Cell]) -> list[dict[str, Any]]:
        """Rows of a stream -> inputs."""
        found = self([np.asarray(cell.row[self.column], np.float32) for cell in cells])
        return [{"past_values": one, "labels": cell.row["labels"]} for one, cell in zip(found, cells, strict=True)]


class SeriesRows(torch.utils.data.Dataset):
    """Rows of series as model inputs.

    Args:
        content: a digest of each series, `(N,)`.
    """

    def __init__(self, rows: Dataset, step: SeriesStep, content: np.ndarray | None = None):
        self.rows, self.step, self._content = rows, step, content

    @cached_property
    def content(self) -> np.ndarray:
        """A digest of each series, `(N,)`."""
        if self._content is not None and (self._content != 0).all():
            return self._content
        stored = self.rows.select_columns([self.step.column])[self.step.column]
        return np.array([_digest(_array(one, self.step.column)) for one in stored], np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.__getitems__([i])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        columns = self.rows[indices]
        found = self.step([np.asarray(value, np.float32) for value in columns[self.step.column]])
        return [{"past_values": x, "labels": y} for x, y in zip(found, columns["labels"], strict=True)]

    def identity(self) -> str:
        """A digest of the series, the labels and how they are standardised."""
        parts = (table_digest(self.rows), settings_of(self.step.processor))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def in_draw(self, draw: int, augment: Sequence[Any] = ()) -> SeriesRows:
        """The same rows: series are not augmented.

        Raises:
            DataError: they should be.
        """
        if augment:
            raise DataError(
                "strategy: augmented views are drawn of images and texts, not of series; leave the method out"
            )
        return self


@dataclass(frozen=True)
class SeriesCollate:
    """Rows of series -> batch."""

    problem: str

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        labels = PROBLEMS[self.problem].label_tensor(np.array([row["labels"] for row in rows]).reshape(len(rows), -1))
        return {"labels": labels, "past_values": torch.from_numpy(np.stack([row["past_values"] for row in rows]))}


def read_file(path: Path) -> np.ndarray:
    """A series `(time steps, channels)` float32 from a `.npy` file, or from a table with a line for each time step and perhaps
    a header.

    Raises:
        DataError: there is no such file, or it holds something else than numbers.
    """
    try:
        if path.suffix.lower() == ".npy":
            found = np.load(path, allow_pickle=False)
        else:
            text = path.read_text(encoding="utf-8-sig")
            sep = "\t" if "\t" in text else ";" if ";" in text else ","
            lines = [line for line in csv.reader(io.StringIO(text), delimiter=sep) if line]
            start = 0 if not lines or _is_number(lines[0][0]) else 1
            found = np.array([[float(cell) for cell in line] for line in lines[start:]])
        found = np.asarray(found, np.float32)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is no series of numbers ({first_line(error)}); fix or drop it") from error
    if found.ndim not in (1, 2) or not found.size:
        raise DataError(f"{path}: has shape {found.shape}; expected (time steps, channels)")
    return found[:, None] if found.ndim == 1 else found


def _or_error(file: Path) -> Any:
    try:
        return read_file(file)
    except DataError as error:
        return error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _depth(feature: Any) -> int:
    """How many axes the arrays of a column have; 0 if it holds no numbers."""
    if isinstance(feature, datasets.Array2D):
        return 2
    depth = 0
    while hasattr(feature, "feature") and not isinstance(feature.feature, dict):
        feature, depth = feature.feature, depth + 1
    numbers = isinstance(feature, Value) and ("int" in feature.dtype or "float" in feature.dtype)
    return depth if numbers else 0


def _array(value: Any, name: str) -> np.ndarray:
    """A stored series as an array `(T, C)` of finite numbers.

    Raises:
        BadRow: it is none.
    """
    if value is None or not len(value):
        raise BadRow(f"no series in column {name!r}")
    try:
        found = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise BadRow(f"column {name!r} has time steps with different numbers of channels") from None
    if not np.isfinite(found).all():
        raise BadRow(f"column {name!r} has a value that is missing or not finite")
    return found


def _digest(one: np.ndarray) -> int:
    """A digest of a series' numbers and shape."""
    return digest_of(repr(one.shape).encode() + one.tobytes())


def _misfit(where: str, row: int, shape: tuple[int, ...], wanted: tuple[int, int]) -> str:
    return (
        f"{where}, row {row}: has {shape[0]} time steps of {shape[-1]} channels, but the model reads {wanted[0]} of "
        f"{wanted[1]}; cut the series into windows of one length, and set the model's to it, as in "
        f"backbone.config={{context_length: {shape[0]}, num_input_channels: {shape[-1]}}}"
    )
