"""Texts that are augmented and tokenised when they are read, so that every epoch reads other ones."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from hfft.data.augment import grammar
from hfft.data.identity import table_digest
from hfft.data.text_step import TextStep
from hfft.data.texts import Ragged, TextRows, flat, ragged

BLOCK = 1000  # rows tokenised at once to count the tokens of a view


class AugmentedTexts(TextRows):
    """Rows of texts as token ids, augmented from (seed, epoch, row) and tokenised when read.

    Args:
        plain: the rows tokenised as they are: rows are batched by these lengths, which augmentation changes little.
        texts: the same rows as texts.
        known: a digest of what the token ids depend on besides the texts.
    """

    step: Any

    def __init__(self, plain: Dataset, texts: Dataset, step: TextStep, known: str):
        super().__init__(plain)
        self.texts, self.step, self.known = texts.remove_columns(["labels"]), step, known
        self._labels = self.rows.select_columns(["labels"]).with_format("arrow")

    def __getitem__(self, i: int) -> dict[str, Any]:
        tokens = self.step.augmented(self.texts[[i]])
        return {**{name: values[0] for name, values in tokens.items()}, "labels": self.rows[i]["labels"]}

    def __getitems__(self, indices: list[int]) -> Ragged:
        tokens = self.step.augmented(self.texts[indices])
        rows = [{name: values[i] for name, values in tokens.items()} for i in range(len(indices))]
        return {**ragged(rows), "labels": flat(self._labels[indices]["labels"].combine_chunks())}

    def identity(self) -> str:
        """A digest of the texts, the labels and the tokenizer, without augmentation."""
        return hashlib.sha256(repr((super().identity(), table_digest(self.texts), self.known)).encode()).hexdigest()

    def in_draw(self, draw: int, augment: Sequence[Any] = ()) -> AugmentedTexts:
        """The same rows with another augmentation, drawn from (seed, epoch, row, draw); 0 is that of the rows themselves.

        Args:
            augment: operations as in a recipe; only these are then drawn anew, and follow the rows' own augmentation.
        """
        other = self._copy()
        other.step.draw = draw
        other.step.further = grammar.compose_texts(list(augment)) if augment else None
        return other

    def in_epoch(self, epoch: int) -> AugmentedTexts:
        """The same rows as augmented in that epoch, regardless of the current epoch."""
        other = self._copy()
        other.step._epoch = torch.tensor(epoch)
        return other

    def view_lengths(self, views: int) -> np.ndarray:
        """Number of tokens of each row as augmented in the first epochs, `(views * N,)`."""
        found = []
        for view in range(views):
            step = self.in_epoch(view).step
            for start in range(0, len(self), BLOCK):
                tokens = step.augmented(self.texts[start : start + BLOCK])
                found += [len(ids) for ids in tokens["input_ids"]]
        return np.array(found, np.int64)

    def _copy(self) -> AugmentedTexts:
        other = copy.copy(self)
        other.step = copy.copy(self.step)
        return other


class PlainTexts(TextRows):
    """Rows of texts as token ids that are not augmented themselves, but can be read in other draws.

    Args:
        plain: the rows tokenised as they are.
        texts, step, known: as for `AugmentedTexts`.
    """

    def __init__(self, plain: Dataset, texts: Dataset, step: TextStep, known: str):
        super().__init__(plain)
        self._source = plain, texts, step, known

    def set_epoch(self, epoch: int) -> None:
        """Batch by length anew, and draw for this epoch."""
        super().set_epoch(epoch)
        self._source[2].epoch = epoch

    def in_draw(self, draw: int, augment: Sequence[Any] = ()) -> TextRows:
        """The same rows, augmented by these operations alone, drawn from (seed, epoch, row, draw)."""
        return AugmentedTexts(*self._source).in_draw(draw, augment) if augment else self
