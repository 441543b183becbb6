"""What a finished model answers to the rows of a split, with the features that its head reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from hfft.predict import Predictor
from hfft.predict.head_inputs import BATCH, logits_and_features


@dataclass(frozen=True)
class Answers:
    """Answers in the order of the rows.

    Attributes:
        logits: `(N, C)` float32.
        features: `(N, D)` float32, what the head's last layer reads.
        labels: classes `(N,)`.
    """

    logits: np.ndarray
    features: np.ndarray
    labels: np.ndarray


def answers(predictor: Predictor, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Answers:
    """The answers to rows with their `labels`, read a few batches at a time.

    Args:
        columns: role -> column.
    """
    reader, rest = predictor.modality.inputs, iter(rows)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    labels: list[int] = []
    while some := list(islice(rest, BATCH * reader.gathered)):
        logits, features = logits_and_features(predictor, [reader.of_row(row, columns) for row in some], BATCH)
        found.append((logits.numpy(), features.numpy()))
        labels += [row["labels"] for row in some]
    logits_, features_ = (np.concatenate(part) for part in zip(*found, strict=True))
    return Answers(logits_, features_, np.array(labels))
