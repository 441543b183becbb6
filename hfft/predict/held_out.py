"""The held-out rows of a recipe, answered by a finished model whose classes may be in another order than the data's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hfft.errors import DataError
from hfft.predict.predictor import Predictor
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing

BATCH = 64


@dataclass(frozen=True)
class HeldOut:
    """A model beside the data that it is scored on.

    Attributes:
        columns: role -> column of the data.
        labels: the meaning of the model's outputs.
        order: class of the data -> the model's; None without classes.
    """

    predictor: Predictor
    columns: dict[str, str]
    labels: Labels
    order: Tensor | None

    @classmethod
    def of(cls, predictor: Predictor, columns: dict[str, str], data: Labels, source: str) -> HeldOut:
        """Match the classes of the data with those of the model from `source`, by name.

        Raises:
            DataError: the data has classes that the model does not know.
        """
        names = tuple(predictor.model.config.id2label.values()) if data.names else ()
        if unknown := [name for name in data.names if name not in names]:
            raise DataError(
                f"the data has classes that {source} does not know: {listing(unknown)}; the model's classes are {listing(names)}"
            )
        order = torch.tensor([names.index(name) for name in data.names]) if names else None
        return cls(predictor, columns, Labels.of(data.problem, names) if names else data, order)

    def inputs(self, rows: Iterable[dict[str, Any]]) -> Iterator[Any]:
        """What the predictor takes, one for each row."""
        reader = self.predictor.modality.inputs
        return (reader.of_row(row, self.columns) for row in rows)

    def answers(self, rows: Iterable[dict[str, Any]], size: int = BATCH) -> Iterator[tuple[Tensor, Tensor]]:
        """(logits, labels) of rows, batch by batch, in the model's order of classes.

        Args:
            size: rows that the model answers at once.
        """
        reader = self.predictor.modality.inputs
        pairs = ((reader.of_row(row, self.columns), row["labels"]) for row in rows)
        at_once = size * reader.gathered
        while batch := [pair for _, pair in zip(range(at_once), pairs, strict=False)]:
            yield (
                self.predictor.logits([x for x, _ in batch], size),
                self._labels(torch.tensor([label for _, label in batch])),
            )

    def read(self, rows: Iterable[dict[str, Any]]) -> tuple[list[Any], Tensor]:
        """What the predictor takes for rows, and their labels in the model's order of classes."""
        reader = self.predictor.modality.inputs
        pairs = [(reader.of_row(row, self.columns), row["labels"]) for row in rows]
        return [x for x, _ in pairs], self._labels(torch.tensor([label for _, label in pairs]))

    def _labels(self, labels: Tensor) -> Tensor:
        if self.order is None:
            return labels
        if PROBLEMS[self.labels.problem].classes:
            return self.order[labels]
        return torch.zeros(len(labels), self.labels.size).index_copy_(1, self.order, labels.float())
