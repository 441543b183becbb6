"""Companions: rows that methods read in addition to those of a batch, their row numbers, and the orders that methods set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from hfft.data.joined_rows import fetched, joined
from hfft.strategy.method import Companion, Method, defines
from hfft.strategy.needs import row_numbers

ROW_NUMBERS = "row_numbers"  # in a batch: which rows it contains


@dataclass(frozen=True)
class RowNumbers:
    """The numbers `(B,)` of a batch's rows, and the parts read in addition; not a container that would be moved to a device."""

    rows: np.ndarray
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Fetched:
    """Rows as a loader fetched them, before they are collated."""

    numbers: RowNumbers
    rows: Any


class AccompaniedRows(Dataset):
    """Training rows; each batch is read with its companions and collated together: `(K * B, …)`, the task's rows first.

    Args:
        rows, collate: as without companions. Rows with `offsets` contain those of the sets, under these numbers.
        sets: further sets of rows by name.
        length: rows of an epoch if a method sets their order; Accelerate uses it for the size of the last batch.
        count: number of training rows if `rows` contain those of the sets as well.
    """

    def __init__(
        self,
        rows: Any,
        collate: Callable[[Any], dict[str, Any]],
        methods: Sequence[Method],
        sets: Mapping[str, Any],
        seed: int,
        length: int | None = None,
        count: int | None = None,
    ):
        self.rows, self._collate, self.methods, self.sets, self.seed = rows, collate, methods, sets, seed
        self.offsets: Mapping[str | None, int] | None = getattr(rows, "offsets", None)
        self.count = len(rows) if count is None else count
        self.total_dataset_length = self.total_length = self.count if length is None else length
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()  # persistent workers see it change
        self._drawn: dict[str, Any] = {}  # rows in other draws

    @property
    def epoch(self) -> int:
        """The epoch for which companions are drawn."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw companions for this epoch from now on."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Fetched:
        return self.__getitems__([i])

    def __getitems__(self, indices: list[int]) -> Fetched:
        numbers = np.asarray(indices, np.int64)
        beside: dict[str, Companion] = {}
        for method in self.methods:
            beside |= method.companions(numbers, self.epoch, self.seed)
        if self.offsets is not None:  # one store has the rows of all sets
            places = [numbers, *(self.offsets[companion.of] + companion.rows for companion in beside.values())]
            return Fetched(RowNumbers(numbers, tuple(beside)), fetched(self.rows, np.concatenate(places)))
        found = [fetched(self.rows, numbers)]
        for companion in beside.values():
            found.append(fetched(self._source(companion), companion.rows))
        return Fetched(RowNumbers(numbers, tuple(beside)), joined(found))

    def _source(self, companion: Companion) -> Any:
        """The rows that a companion reads, in its draw."""
        rows = self.rows if companion.of is None else self.sets[companion.of]
        if not companion.draw:
            return rows
        key = repr((companion.of, companion.draw, companion.augment))
        if key not in self._drawn:
            self._drawn[key] = rows.in_draw(companion.draw, companion.augment)
        return self._drawn[key]

    def collate(self, found: Any) -> dict[str, Any]:
        """Collate all parts into one batch."""
        return {**self._collate(found.rows), ROW_NUMBERS: found.numbers}


class MethodOrder(Sampler[int]):
    """The order of rows set by a method."""

    def __init__(self, method: Method, epoch: Callable[[], int], seed: int):
        self.method, self.epoch, self.seed = method, epoch, seed
        self.length = len(method.order(0, seed))

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        return iter(self.method.order(self.epoch(), self.seed).tolist())


@contextlib.contextmanager
def accompanied(trainer: Any, rows: Any) -> Iterator[Any]:
    """A trainer's training rows with their companions; inside, the trainer's collator is set for them."""
    if not row_numbers(trainer.methods) and trainer.order is None:
        yield rows
        return
    before, length = trainer.data_collator, None if trainer.order is None else len(trainer.order)
    count = len(trainer.train_dataset)
    beside = [method for method in trainer.methods if defines(method, "companions")]
    trainer.accompanied_rows = AccompaniedRows(rows, before, beside, trainer.sets, trainer.args.seed, length, count)
    trainer.data_collator = trainer.accompanied_rows.collate
    try:
        yield trainer.accompanied_rows
    finally:
        trainer.data_collator = before
