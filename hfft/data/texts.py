"""Rows of token ids, fetched a batch at a time from Arrow, batched by length and padded once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import DataCollatorForLanguageModeling

from hfft.data.identity import table_digest
from hfft.data.masking import MaskStep, masked
from hfft.tasks.problem import PROBLEMS

LENGTH = "length"  # column of each row's number of tokens, written as the text is tokenised
CUT = "cut"  # column of whether the text was longer than the limit
CHUNK = 32  # global batches among which rows of like length are gathered; transformers takes 50
TOGETHER = 4  # of these, what is frozen runs together the rows of so many

Ragged = dict[str, tuple[np.ndarray, np.ndarray]]  # column -> its values end to end, and how many are each row's


class TextRows(torch.utils.data.Dataset):
    """Tokenised rows; a batch of them is fetched whole, as ragged columns, never row by row.

    Attributes:
        lengths: (N,) tokens of each row.
        cut: number of rows whose text was longer than the limit.
        epoch: the epoch that the rows are read for.
        step: gives each row the draw it is masked by, where the task is to fill in what is hidden.
    """

    step: MaskStep | None = None

    def __init__(self, rows: Dataset):
        known = CUT in rows.column_names
        self.cut = int(rows.select_columns(CUT).with_format("numpy")[:][CUT].sum()) if known else 0
        self.rows = rows.remove_columns([LENGTH, *([CUT] if known else [])])
        self._arrow = self.rows.with_format("arrow")
        self.lengths = rows.select_columns(LENGTH).with_format("numpy")[:][LENGTH]
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.rows[i] if self.step is None else self.step(self.rows[i])

    def __getitems__(self, indices: list[int]) -> Ragged:
        columns = self._arrow[indices]
        found = {name: flat(columns[name].combine_chunks()) for name in columns.column_names}
        if self.step is not None:
            numbers, each = found.pop("row")
            found["draw"] = np.array([self.step.draw(int(number)) for number in numbers]), each
        return found

    def identity(self) -> str:
        """A digest of the token ids and labels."""
        return table_digest(self.rows)

    def masked_by(self, step: MaskStep) -> TextRows:
        """The same rows, with the draws they are masked by."""
        other = copy.copy(self)
        other.step = step
        return other

    def set_epoch(self, epoch: int) -> None:
        """Batch by length, and mask, anew for this epoch."""
        self.epoch = epoch
        if self.step is not None:
            self.step.epoch = epoch


def flat(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """The values of an Arrow column end to end, and how many are each row's."""
    if not hasattr(column, "offsets"):
        return column.to_numpy(zero_copy_only=False), np.ones(len(column), int)
    return column.flatten().to_numpy(zero_copy_only=False), np.diff(column.offsets.to_numpy())


def ragged(rows: Sequence[dict[str, Any]]) -> Ragged:
    """The same of single rows, such as a stream gives."""
    found = {}
    for name in rows[0]:
        cells = [np.atleast_1d(row[name]) for row in rows]
        found[name] = np.concatenate(cells), np.array([len(cell) for cell in cells])
    return found


def padded(values: np.ndarray, lengths: np.ndarray, fill: int, left: bool = False) -> np.ndarray:
    """Rows of `values` as `(B, L)`, L the longest, filled up at their end, or at their start where `left`."""
    longest = int(lengths.max())
    batch = np.full((len(lengths), longest), fill, np.int64)
    places = np.arange(longest)
    batch[places >= longest - lengths[:, None] if left else places < lengths[:, None]] = values
    return batch


@dataclass(frozen=True)
class TextCollate:
    """Rows of token ids -> what the tokenizer would have given for them, padded to the longest, and labels.

    Attributes:
        mask: hides tokens of rows with draws, where the task is to fill them in.
    """

    tokenizer: Any
    problem: str
    mask: DataCollatorForLanguageModeling | None = None

    def __call__(self, rows: Ragged | list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        columns = dict(ragged(rows) if isinstance(rows, list) else rows)
        labels = columns.pop("labels", None)
        ids, lengths = columns["input_ids"]
        if self.mask is not None:
            hidden, hints = masked(self.mask, ids, lengths, columns.pop("draw")[0])
            columns |= {"input_ids": (hidden, lengths), "labels": (hints, lengths)}
        fills = {
            "input_ids": self.tokenizer.pad_token_id,
            "token_type_ids": self.tokenizer.pad_token_type_id,
            "labels": -100,
        }
        left = self.tokenizer.padding_side == "left"
        batch = {name: torch.from_numpy(padded(*column, fills.get(name, 0), left)) for name, column in columns.items()}
        if "attention_mask" in self.tokenizer.model_input_names:
            batch["attention_mask"] = torch.from_numpy(padded(np.ones(len(ids), int), lengths, 0, left))
        if labels is not None and self.mask is None:
            batch["labels"] = PROBLEMS[self.problem].label_tensor(labels[0].reshape(len(lengths), -1))
        return batch


def by_length(lengths: np.ndarray, batch: int, seed: int, epoch: int) -> np.ndarray:
    """An order of all rows whose every `batch` are of like length: a function of seed and epoch, else random.

    Rows are permuted, sorted by length within chunks of up to 32 batches (a quarter of the rows at most), and the
    batches permuted. The longest batch comes first, so that one too large for the memory shows in the first step; the
    rows that fill no batch come last.

    Args:
        lengths: (N,).
        batch: rows of a step, over all micro-batches and processes: the order is the same for every split of it.
    """
    rng = np.random.default_rng((seed, epoch))
    batches, rest = _sorted_batches(lengths, batch, rng)
    batches = batches[rng.permutation(len(batches))]
    if len(batches):
        longest = int(lengths[batches].max(1).argmax())
        batches[[0, longest]] = batches[[longest, 0]]
    return np.concatenate([batches.ravel(), rest[np.argsort(-lengths[rest], kind="stable")]])


def _chunk(batches: int) -> int:
    return max(min(batches // 4, CHUNK), 1)


def _sorted_batches(lengths: np.ndarray, batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(batches, batch) of rows, neighbours of like length, and the rows that fill none."""
    order = rng.permutation(len(lengths))
    full = len(order) // batch * batch
    order, rest = order[:full], order[full:]
    chunks = np.arange(full) // (batch * _chunk(full // batch))
    return order[np.lexsort((-lengths[order], chunks))].reshape(-1, batch), rest


class ByLength(Sampler[int]):
    """The order in which rows are trained on: `by_length`, of the epoch that the rows are at."""

    def __init__(self, rows: TextRows, batch: int, seed: int):
        self.rows, self.batch, self.seed = rows, batch, seed
        self._beside: tuple[int, np.ndarray, np.ndarray] | None = None  # epoch, its batches sorted, batch of each row

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        return iter(by_length(self.rows.lengths, self.batch, self.seed, self.rows.epoch).tolist())

    def beside(self, row: int, tokens: int) -> np.ndarray:
        """The rows of the epoch's batch that a row is in and of a few of like length: what can well run together.

        A function of seed and epoch; empty where they have more than `tokens`, padding included, or the row is in no full batch.
        """
        lengths, epoch = self.rows.lengths, self.rows.epoch
        if self._beside is None or self._beside[0] != epoch:
            batches, _ = _sorted_batches(lengths, self.batch, np.random.default_rng((self.seed, epoch)))
            batch_of = np.full(len(lengths), -1)
            batch_of[batches] = np.arange(len(batches))[:, None]
            self._beside = epoch, batches, batch_of
        _, batches, batch_of = self._beside
        chunk = _chunk(len(batches))
        first = (begin := batch_of[row] // chunk * chunk) + (batch_of[row] - begin) // TOGETHER * TOGETHER
        end = min(first + TOGETHER, begin + chunk) if batch_of[row] >= 0 else first
        rows = batches[first:end].ravel()
        return rows if len(rows) * lengths[rows].max(initial=0) <= tokens else rows[:0]


def longest_first(lengths: np.ndarray) -> list[int]:
    """The order in which rows are scored: least padding, and the most memory at the first batch."""
    return np.argsort(-lengths, kind="stable").tolist()
