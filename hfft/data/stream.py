"""Streamed rows: read in the same order by any number of processes and workers, and turned into inputs where they are used.

The first process reads the stream and sends the others its rows as stored, so that it is downloaded once. Each process passes
its loader these rows instead of row numbers; only those of its own batches are tokenised, decoded or augmented, by the
loader's workers if there are any. So neither the order nor the draws depend on which process does the work, and a resumed
run skips the rows that it has seen without preparing them, or, if `datasets` can restore its position, without reading them.
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
from hfft.hub.errors import reading
from hfft.processes import by_first_process

BLOCK = 1000  # rows read at once without shuffling
PIECE = 250  # rows sent to other processes at once
MARKS = 1000  # blocks whose starts are remembered: more than the loader reads ahead


@dataclass(frozen=True, slots=True)
class Cell:
    """A stored row, with the inputs of its draws: the pass over the stream, and its place in that pass."""

    row: dict[str, Any]
    epoch: int
    place: int


class Stream:
    """A stream that knows its current epoch and, if its source states it, the number of rows of an epoch.

    It is indexed by cells from `StreamOrder`, not by row numbers.

    Args:
        size: rows of an epoch; None if unknown.
        make: cells -> inputs, one per row.
        buffer: rows that are shuffled together; 0 for none.

    Raises:
        TypeError: from `len`, if the size is unknown.
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
        self.count = 0  # number of rows in the last complete order

    def __len__(self) -> int:
        if self.size is None:
            raise TypeError("the stream does not state its size")
        return self.size

    def __getitems__(self, cells: list[Cell]) -> list[dict[str, Any]]:
        return self.make(cells)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self.make([cell])[0] for cell in self.read(self.epoch))

    def set_epoch(self, epoch: int) -> None:
        """Use this epoch in shuffling and augmentation."""
        self.epoch = epoch

    def read(
        self,
        epoch: int,
        place: int = 0,
        state: Any = None,
        note: Callable[..., None] | None = None,
        together: bool = False,
    ) -> Iterator[Cell]:
        """The rows of one pass, shuffled block by block: the order depends only on seed and epoch, and reading can resume.

        Args:
            place, state: recorded start of a block; reading continues there.
            note: called with place and state of each block's start, before its rows.
            together: all processes call this at the same time, and only the first one reads.
        """
        size = self.buffer if self.buffer > 1 else BLOCK
        for block, following in self._blocks(epoch, state, size, by_first_process if together else lambda read: read):
            if note is not None and block:
                note(place, state)
            state = following
            order: Any = range(len(block))
            if self.buffer > 1:
                order = np.random.default_rng((self.seed, epoch, place)).permutation(len(block))
            for at, i in enumerate(order, place):
                yield Cell(block[i], epoch, at)
            place += len(block)

    def _blocks(
        self, epoch: int, state: Any, size: int, shared: Callable[..., Callable[..., Any]]
    ) -> Iterator[tuple[list[dict[str, Any]], Any]]:
        """The blocks of one pass as stored, each with the state of `datasets` after it.

        Args:
            shared: wraps functions that read, so that all processes get what one of them has read.
        """
        begun: list[Iterator[dict[str, Any]]] = []  # where it is read

        @shared
        def piece(count: int) -> list[dict[str, Any]]:
            if not begun:
                self.rows.set_epoch(epoch)
                self.rows.load_state_dict(state or {})
                begun.append(iter(self.rows))
            with _quiet(), reading("the stream"):
                rows = list(itertools.islice(begun[0], count))
            self.rows.load_state_dict({})  # for the next pass
            return rows

        @shared
        def position() -> Any:
            return self.rows.state_dict()

        block: list[dict[str, Any]] = []
        while True:
            wanted = min(PIECE, size - len(block))
            rows = piece(wanted)
            block += rows
            ended = len(rows) < wanted
            if ended or len(block) == size:
                yield block, position()
                block = []
            if ended:
                return


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warning that a shuffle buffer is refilled: for a stream with shuffled shards the buffer is a single row."""
    log = logging.getLogger("datasets.iterable_dataset")
    log.addFilter(_of_no_buffer)
    try:
        yield
    finally:
        log.removeFilter(_of_no_buffer)


def _of_no_buffer(record: logging.LogRecord) -> bool:
    return "shuffle buffer" not in record.getMessage()


class StreamOrder(Sampler):
    """Yields the rows of a stream themselves, where another sampler would yield their numbers.

    In training, an epoch has as many rows as the stream states: if bad rows were left out, rows of the next pass replace them.
    If the stream states no size, passes follow each other in one endless epoch, and a batch may contain rows of two passes.

    Args:
        together: rows of a micro-batch over all processes, if there are several: the last one is padded with its own rows,
            which do not count (`count` is the number of those that do).
    """

    def __init__(self, stream: Stream, together: int = 1, training: bool = False):
        self.stream, self.together, self.training = stream, together, training
        self.resume: dict[str, Any] | None = None
        self._marks: deque[dict[str, Any]] = deque(maxlen=MARKS)

    def __len__(self) -> int:
        return len(self.stream)

    def mark(self, rows: int) -> dict[str, Any] | None:
        """The start of the block that contains the row after `rows` rows of the current epoch; for `resume`, as JSON."""
        found = [mark for mark in self._marks if mark["rows"] <= rows and mark["epoch"] == self.stream.epoch]
        return found[-1] if rows and found else None

    def __iter__(self) -> Iterator[Cell | None]:
        """The rows; None for those before the point where a resumed run continues."""
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

            for cell in stream.read(number, place, state, note, together=True):
                last.append(cell)
                count += 1
                yield cell
                if count == limit:
                    break
            if not self.training:
                break
            if count == begun and place == 0:
                raise DataError("the stream has no rows to train on; fix data.path, data.classes or the rows")
            number, place, state = number + 1, 0, None
        stream.count = count
        yield from itertools.islice(itertools.cycle(last), -count % self.together)
