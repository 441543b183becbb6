"""Streamed rows: read in one order, whatever the number of processes and workers, and made into inputs where they are used.

Each process that trains reads the stream itself and hands its loader rows as they are stored, in the place of row
numbers; only those of its own batches are tokenised, decoded or augmented, by the loader's workers where there are any. So
who makes what changes neither the order nor the draws, and what a resumed run has seen is passed over unmade, or,
where `datasets` can tell its place, is not even read.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import IterableDataset
from torch.utils.data import Sampler

from hfft.errors import DataError

BLOCK = 1000  # rows read at once where they are not shuffled
MARKS = 1000  # blocks whose beginnings are remembered: more than the loader is ahead of the training


@dataclass(frozen=True, slots=True)
class Cell:
    """A row as it is stored, and what its draws come from: which pass over the stream it is of, and its place in it."""

    row: dict[str, Any]
    epoch: int
    place: int


class Stream:
    """A stream that knows how many rows an epoch has, where its source states it, and which epoch it is.

    It is asked for cells, which `StreamOrder` gives, and not for row numbers.

    Args:
        size: rows of an epoch; None where that is not known.
        make: cells -> inputs, a row each.
        buffer: rows that are shuffled together; 0 for none.

    Raises:
        TypeError: by `len`, where the size is not known.
    """

    def __init__(
        self,
        rows: IterableDataset,
        size: int | None,
        make: Callable[[list[Cell]], list[dict[str, Any]]],
        buffer: int = 0,
        seed: int = 0,
    ):
        self.rows, self.size, self.make, self.buffer, self.seed = rows, size, make, buffer, seed
        self.epoch = 0
        self.count = 0  # rows that the last order gave to its end

    def __len__(self) -> int:
        if self.size is None:
            raise TypeError("the stream does not state its size")
        return self.size

    def __getitems__(self, cells: list[Cell]) -> list[dict[str, Any]]:
        return self.make(cells)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self.make([cell])[0] for cell in self.read(self.epoch))

    def set_epoch(self, epoch: int) -> None:
        """Shuffle and augment for this epoch."""
        self.epoch = epoch

    def read(
        self, epoch: int, place: int = 0, state: Any = None, note: Callable[..., None] | None = None
    ) -> Iterator[Cell]:
        """The rows of one pass, shuffled block by block: an order that seed and epoch decide, which can be taken up again.

        Args:
            place, state: a block's beginning that was noted; reading goes on there.
            note: is told place and state of each block's beginning, before its rows.
        """
        self.rows.set_epoch(epoch)
        self.rows.load_state_dict(state or {})
        rows, size = iter(self.rows), self.buffer if self.buffer > 1 else BLOCK
        while True:
            with _quiet():
                block = list(itertools.islice(rows, size))
            self.rows.load_state_dict({})  # for the next pass
            if note is not None and block:
                note(place, state)
            state = self.rows.state_dict()
            order: Any = range(len(block))
            if self.buffer > 1:
                order = np.random.default_rng((self.seed, epoch, place)).permutation(len(block))
            for at, i in enumerate(order, place):
                yield Cell(block[i], epoch, at)
            place += len(block)
            if len(block) < size:
                return


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that a shuffle buffer is refilled: the one of a stream of shuffled shards holds a single row."""
    log = logging.getLogger("datasets.iterable_dataset")
    log.addFilter(_of_no_buffer)
    try:
        yield
    finally:
        log.removeFilter(_of_no_buffer)


def _of_no_buffer(record: logging.LogRecord) -> bool:
    return "shuffle buffer" not in record.getMessage()


class StreamOrder(Sampler):
    """Gives the rows of a stream themselves, where a sampler gives their numbers.

    In training, an epoch is as many rows as the stream states: where bad ones were left out, the next pass fills it up.
    Where the stream states nothing, passes follow each other in one epoch without end, and a batch may hold rows of two.

    Args:
        together: rows of a micro-batch over all processes, where these are several: the last one is filled up with its own
            rows, which do not count (`count` says how many do).
    """

    def __init__(self, stream: Stream, together: int = 1, training: bool = False):
        self.stream, self.together, self.training = stream, together, training
        self.resume: dict[str, Any] | None = None
        self._marks: deque[dict[str, Any]] = deque(maxlen=MARKS)

    def __len__(self) -> int:
        return len(self.stream)

    def mark(self, rows: int) -> dict[str, Any] | None:
        """Where the block began that holds the row after so many of the running epoch; for `resume`, in JSON."""
        found = [mark for mark in self._marks if mark["rows"] <= rows and mark["epoch"] == self.stream.epoch]
        return found[-1] if rows and found else None

    def __iter__(self) -> Iterator[Cell | None]:
        """The rows; None for those before the place where a resumed run goes on."""
        stream, mark, self.resume = self.stream, self.resume, None
        epoch = stream.epoch
        if mark is None or mark["epoch"] != epoch:
            mark = {"epoch": epoch, "pass": epoch, "rows": 0, "place": 0, "state": None}
        self._marks.clear()
        count, last = mark["rows"], deque[Cell](maxlen=self.together)
        yield from itertools.repeat(None, count)
        limit = stream.size if self.training else None
        number, place, state = mark["pass"], mark["place"], mark["state"]
        while limit is None or count < limit:
            begun = count

            def note(place: int, state: Any, number: int = number, before: int = count - place) -> None:
                mark = {"epoch": epoch, "pass": number, "rows": before + place, "place": place, "state": state}
                self._marks.append(mark)

            for cell in stream.read(number, place, state, note):
                last.append(cell)
                count += 1
                yield cell
                if count == limit:
                    break
            if not self.training:
                break
            if count == begun and place == 0:
                raise DataError("the stream gives no rows to train on; mend data.path, data.classes or the rows")
            number, place, state = number + 1, 0, None
        stream.count = count
        yield from itertools.islice(itertools.cycle(last), -count % self.together)
