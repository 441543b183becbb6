"""Texts -> token ids, augmented from (seed, epoch, row) alone where the recipe says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import BatchEncoding

from hfft.data.augment.grammar import ComposeTexts
from hfft.data.columns import RowError
from hfft.data.masking import MaskStep
from hfft.data.stream import Cell

Seeds = Sequence[tuple[int, ...]]


class TextStep:
    """Texts -> token ids, truncated to the tokenizer's `model_max_length`; padding and mask are added per batch.

    Args:
        columns: role (`text`, `text_pair`) -> column.
        draws: gives each row its draw for masking, in masked language modelling.
        augmentation: what is done to the texts before, drawn from (seed, epoch, row); None for nothing.
    """

    def __init__(
        self,
        tokenizer: Any,
        columns: Mapping[str, str],
        split: str,
        draws: MaskStep | None = None,
        augmentation: ComposeTexts | None = None,
        seed: int = 0,
    ):
        self.tokenizer, self.split, self.draws = tokenizer, split, draws
        self.text, self.pair = columns["text"], columns.get("text_pair")
        self.augmentation, self.seed, self.draw = augmentation, seed, 0
        self.further: ComposeTexts | None = None  # follows the augmentation, in this draw
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()  # persistent workers see it change

    @property
    def epoch(self) -> int:
        """The epoch used in augmentation draws."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        """Use this epoch in draws from now on, in running workers too."""
        self._epoch.fill_(epoch)

    @property
    def read(self) -> list[str]:
        """Columns that are replaced by the model's inputs."""
        return [column for column in (self.text, self.pair) if column is not None]

    def __call__(self, batch: Mapping[str, list[Any]]) -> dict[str, Any]:
        """Columns of several rows -> columns of model inputs, not augmented.

        Raises:
            DataError: a row has no text.
        """
        return dict(self.encoded(batch))

    def encoded(self, batch: Mapping[str, list[Any]], seeds: Seeds | None = None) -> BatchEncoding:
        """The same, as the tokenizer gives it.

        Args:
            seeds: what each row's augmentation is drawn from; None for none.

        Raises:
            DataError: a row has no text.
        """
        for column in self.read:
            for row, value in zip(batch["row"], batch[column], strict=True):
                if not isinstance(value, str) or not value.strip():
                    raise RowError(
                        f"split {self.split}, row {row}: column {column!r} holds no text ({value!r}); fix or drop it"
                    )
        if seeds is not None:
            batch = self._augmented(batch, seeds)
        seconds = batch[self.pair] if self.pair else None
        return self.tokenizer(batch[self.text], seconds, truncation=True, return_attention_mask=False)

    def augmented(self, batch: Mapping[str, list[Any]]) -> dict[str, Any]:
        """Columns of several rows -> columns of model inputs, augmented for the current epoch."""
        return dict(self.encoded(batch, [self.seeds(self.epoch, row) for row in batch["row"]]))

    def seeds(self, epoch: int, row: int) -> tuple[int, ...]:
        """What the augmentation of a row is drawn from."""
        return (self.seed, epoch, row, *([self.draw] if self.draw and self.further is None else []))

    def _augmented(self, batch: Mapping[str, list[Any]], seeds: Seeds) -> Mapping[str, list[Any]]:
        """The columns with their texts augmented, row by row: first as in training, then by what follows in this draw."""
        if self.augmentation is not None:
            batch = self._changed(batch, self.augmentation, seeds)
        if self.further is not None:
            batch = self._changed(batch, self.further, [(*seed, self.draw) for seed in seeds])
        return batch

    def _changed(self, batch: Mapping[str, list[Any]], ops: ComposeTexts, seeds: Seeds) -> Mapping[str, list[Any]]:
        roles = {"text": self.text, **({"text_pair": self.pair} if self.pair else {})}
        changed: dict[str, list[str]] = {column: [] for column in self.read}
        for i, seed in enumerate(seeds):
            row = {column: values[i] for column, values in batch.items()}
            texts = {role: row[column] for role, column in roles.items()}
            found = ops(texts, np.random.default_rng(seed), row)
            for role, column in roles.items():
                changed[column].append(found[role])
        return {**batch, **changed}

    def cut(self, batch: Mapping[str, list[Any]], tokens: BatchEncoding) -> list[bool]:
        """Whether the tokenizer cut each row. Only rows that reach the limit are looked at.

        A fast tokenizer keeps what it cut off; for another, these rows are tokenised again, in full.
        """
        full = [len(ids) >= self.tokenizer.model_max_length for ids in tokens["input_ids"]]
        if tokens.encodings is not None:
            return [at_limit and bool(row.overflowing) for at_limit, row in zip(full, tokens.encodings, strict=True)]
        rows = [i for i, at_limit in enumerate(full) if at_limit]
        if not rows:
            return full
        texts = [[batch[column][i] for i in rows] for column in self.read]
        whole = self.tokenizer(*texts, truncation=False, return_attention_mask=False, verbose=False)["input_ids"]
        for i, ids in zip(rows, whole, strict=True):
            full[i] = len(ids) > len(tokens["input_ids"][i])
        return full

    def of_cells(self, cells: list[Cell]) -> list[dict[str, Any]]:
        """Rows of a stream -> inputs; draws depend on the pass and the place in it, since row numbers restart in each shard."""
        seeds = None if self.augmentation is None else [self.seeds(cell.epoch, cell.place) for cell in cells]
        names = [name for name in cells[0].row if name != "labels"] if cells else []
        tokens = self.encoded({name: [cell.row[name] for cell in cells] for name in names}, seeds)
        rows = [{name: values[i] for name, values in tokens.items()} for i in range(len(cells))]
        for row, cell in zip(rows, cells, strict=True):
            if self.draws is None:
                row["labels"] = cell.row["labels"]
            else:
                row["draw"] = self.draws.draw(cell.place, cell.epoch)
        return rows
