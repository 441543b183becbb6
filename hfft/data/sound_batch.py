"""Sounds of several lengths in one batch, and the same sounds in batches without padding.

The first layers of many speech models normalise over time, so that padding changes their outputs. Training pads, as is usual;
what is scored or predicted runs beside sounds of its own length alone, as a pipeline runs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from hfft.tasks.problem import PROBLEMS

LENGTHS = "input_lengths"  # in a batch with padding: length of each row's inputs, `(B,)`
MOST = 2**21  # values of waves that run forward together, at most: two minutes at 16 kHz


@dataclass(frozen=True)
class AudioCollate:
    """Rows of a model's inputs -> batch, padded to its longest row.

    Attributes:
        padding: the value of the padding; that of masks is 0.
    """

    problem: str
    padding: float = 0.0
    modality: str = "audio"

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        labels = PROBLEMS[self.problem].label_tensor(np.array([row["labels"] for row in rows]).reshape(len(rows), -1))
        return {"labels": labels, **sound_batch(rows, self.padding)}


def sound_batch(rows: Sequence[Mapping[str, Any]], padding: float = 0.0) -> dict[str, Tensor]:
    """Inputs of several sounds as one batch, with their lengths where these differ."""
    names = [name for name in rows[0] if name != "labels"]
    lengths = [len(rows[i][names[0]]) for i in range(len(rows))]
    if len(set(lengths)) == 1:
        return {name: torch.stack([row[name] for row in rows]) for name in names}
    longest = max(lengths)

    def padded(values: Tensor) -> Tensor:
        value = padding if values.is_floating_point() else 0
        return pad(values, (0, 0) * (values.ndim - 1) + (0, longest - len(values)), value=value)

    found = {name: torch.stack([padded(row[name]) for row in rows]) for name in names}
    return {**found, LENGTHS: torch.tensor(lengths)}


def without_lengths(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch as the model takes it."""
    return {name: value for name, value in batch.items() if name != LENGTHS}


def unpadded(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """A batch with padding as batches without: each of neighbouring rows of the same length, which bounds memory as well."""
    lengths = batch[LENGTHS].tolist()
    longest, size = max(lengths), len(lengths)
    found = []
    begin = 0
    for end in range(1, size + 1):
        full = (end - begin + 1) * lengths[begin] > MOST
        if end == size or lengths[end] != lengths[begin] or full:
            found.append(_rows(batch, begin, end, lengths[begin], longest, size))
            begin = end
    return found


def _rows(batch: dict[str, Any], begin: int, end: int, length: int, longest: int, size: int) -> dict[str, Any]:
    def part(value: Any) -> Any:
        if not isinstance(value, Tensor) or len(value) != size:
            return value
        return value[begin:end, :length] if value.ndim > 1 and value.shape[1] == longest else value[begin:end]

    return {name: part(value) for name, value in batch.items() if name != LENGTHS}
