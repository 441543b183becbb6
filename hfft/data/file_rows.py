"""Rows whose inputs are files: decoded and augmented when read, so that nothing is written to disk."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from hfft.data.augment import grammar
from hfft.data.columns import RowError
from hfft.data.identity import settings_of, table_digest
from hfft.data.stored_files import as_files, file_digest
from hfft.data.stream import Cell


class FileStep:
    """One file -> the model's input, augmented from (seed, epoch, row) alone.

    No shared generator is used, so any number of workers, any split over processes and any resumed run draws the same.

    Attributes:
        version: of what is done to a file; what is stored of files read in another way is not used.
    """

    version: int = 1

    def __init__(self, processor: Any, column: str, split: str, augmentation: Callable | None, seed: int):
        self.processor, self.column, self.split = processor, column, split
        self.augmentation, self.seed, self.draw = augmentation, seed, 0
        self.further: Callable | None = None  # follows the augmentation, in this draw
        self._epoch = torch.zeros(
            (), dtype=torch.long
        ).share_memory_()  # shared, so that persistent workers see it change

    @property
    def epoch(self) -> int:
        """The epoch used in augmentation draws."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        """Use this epoch in draws from now on, in running workers too."""
        self._epoch.fill_(epoch)

    def decoded(self, stored: Any, row: int) -> Any:
        """What a file holds.

        Raises:
            RowError: there is no file, or it cannot be decoded.
        """
        raise NotImplementedError

    def compose(self, augment: Sequence[Any]) -> Callable | None:
        """The operations of a recipe's `augment` list as one function; None for none."""
        return grammar.compose(list(augment)) if augment else None

    def __call__(self, value: Any, row: int, drawn: tuple[int, int] | None = None) -> dict[str, Any]:
        """The model's input, without a batch dimension.

        Args:
            drawn: what the draws depend on besides the seed; default: epoch and row.
        """
        raise NotImplementedError

    def applied(
        self, value: Any, row: int, drawn: tuple[int, int] | None, operate: Callable[[Any, Any, Any], Any]
    ) -> Any:
        """The value after both augmentations, each with a generator of its own.

        Args:
            operate: (augmentation, value, generator) -> value.
        """
        own = 0 if self.further is not None else self.draw
        for augmentation, draw in ((self.augmentation, own), (self.further, self.draw)):
            if augmentation is None:
                continue
            try:
                value = operate(augmentation, value, np.random.default_rng(self.seeds(row, drawn, draw)))
            except ValueError as error:  # such as a crop larger than the image
                raise RowError(f"split {self.split}, row {row}: {error}") from None
        return value

    def seeds(self, row: int, drawn: tuple[int, int] | None, draw: int = 0) -> tuple[int, ...]:
        """The seed of a row's draws."""
        return (self.seed, *(drawn or (self.epoch, row)), *([draw] if draw else []))

    def of_cells(self, cells: list[Cell]) -> list[dict[str, Any]]:
        """Rows of a stream -> inputs; draws depend on the pass and the place in it, since row numbers restart in each shard."""
        found = []
        for cell in cells:
            row = cell.row["row"]
            value = self.decoded(cell.row[self.column], row)
            labels = {"labels": cell.row["labels"]} if "labels" in cell.row else {}  # none of a task without labels
            found.append({**self(value, row, (cell.epoch, cell.place)), **labels})
        return found


class FileRows(torch.utils.data.Dataset):
    """Rows of files as model inputs, decoded when read.

    Args:
        content: a digest of each file, `(N,)`, 0 where it is not known; without it `identity` reads the files.
    """

    def __init__(self, rows: Dataset, step: FileStep, content: np.ndarray | None = None):
        self.rows, self.step = as_files(rows, step.column), step
        self.content = content

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.__getitems__([i])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        columns, step = self.rows[indices], self.step
        cells = zip(columns[step.column], columns["row"], strict=True)
        found = [step(step.decoded(stored, row), row) for stored, row in cells]
        if "labels" not in columns:  # of a task without labels
            return found
        return [{**row, "labels": label} for row, label in zip(found, columns["labels"], strict=True)]

    def identity(self) -> str:
        """A digest of the files, the labels, and what is done to each file except augmentation."""
        column, content = self.step.column, self.content
        if content is None:
            content = np.array([file_digest(row[column]) for row in self.rows.select_columns([column])], np.int64)
        unknown = self.rows.select(np.flatnonzero(content == 0)).select_columns([column])
        parts = (
            table_digest(self.rows.remove_columns([column])),
            content.tobytes(),
            table_digest(unknown) if len(unknown) else "",
            settings_of(self.step.processor),
            self.step.version,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def set_epoch(self, epoch: int) -> None:
        """Use this epoch in augmentation."""
        self.step.epoch = epoch

    def in_draw(self, draw: int, augment: Sequence[Any] = ()) -> FileRows:
        """The same rows with another augmentation, drawn from (seed, epoch, row, draw); 0 is that of the rows themselves.

        Args:
            augment: operations as in a recipe; only these are then drawn anew, and follow the rows' own augmentation.
        """
        other = copy.copy(self)
        other.step = copy.copy(self.step)
        other.step.draw = draw
        other.step.further = other.step.compose(augment)
        return other

    def in_epoch(self, epoch: int) -> FileRows:
        """The same rows as augmented in that epoch, regardless of the current epoch."""
        other = copy.copy(self)
        other.step = copy.copy(self.step)
        other.step._epoch = torch.tensor(epoch)
        return other
