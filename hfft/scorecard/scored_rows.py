"""The rows that blocks run the model on again: at most a stated number, in the order of the split."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor

from hfft.errors import BadInput
from hfft.scorecard.evidence import Evidence
from hfft.scorecard.sampling import sampled
from hfft.tasks.problem.base import Problem


@dataclass(frozen=True)
class SomeRows:
    """Rows of a split as the predictor takes them.

    Attributes:
        numbers: their places in the split, `(N,)`, in its order.
        inputs: images (PIL), texts or pairs of texts.
        labels: in the model's order of classes, `(N,)` or `(N, C)`.
        rule: how they were chosen, in words.
    """

    numbers: np.ndarray
    inputs: list[Any]
    labels: Tensor
    rule: str


def drawn_rows(evidence: Evidence, most: int) -> SomeRows:
    """All rows of the split, or a sample of `most`, drawn by the seed."""
    rows, size = _rows(evidence)
    if size is None or size <= most:
        return _read(evidence, rows, np.arange(size or most), "all" if size is not None else f"the first {most:,}")
    return _read(evidence, rows, sampled(size, most, evidence.seed), f"{most:,} of {size:,}, drawn by the seed")


def first_rows(evidence: Evidence, most: int) -> SomeRows:
    """The first `most` rows, as benchmarks of attacks take them; drawn ones where these lack a class, as in sorted rows."""
    rows, size = _rows(evidence)
    if size is None or size <= most:
        return drawn_rows(evidence, most)
    everyone = np.asarray(rows.with_format("numpy", columns=["labels"])["labels"])
    if everyone.ndim == 1 and len(np.unique(everyone[:most])) < len(np.unique(everyone)):
        return drawn_rows(evidence, most)
    return _read(evidence, rows, np.arange(most), f"the first {most:,} of {size:,}")


def right(problem: Problem, logits: Tensor, labels: Tensor) -> np.ndarray:
    """Whether each row is answered right, `(N,)`: its class, or for several classes all decisions at 0.5."""
    if problem.classes:
        return (logits.argmax(1) == labels).cpu().numpy()
    return ((problem.probabilities(logits) > 0.5) == (labels > 0.5)).all(1).cpu().numpy()


def _rows(evidence: Evidence) -> tuple[Any, int | None]:
    """The rows of the split, and their number; None for a stream."""
    rows = getattr(evidence.splits, evidence.split)
    if rows is None:
        raise BadInput(
            f"the recipe's data has no {evidence.split} split any more; score the model on the data of its run"
        )
    return rows, len(rows) if hasattr(rows, "__len__") else None


def _read(evidence: Evidence, rows: Any, numbers: np.ndarray, rule: str) -> SomeRows:
    some = rows.select(numbers) if hasattr(rows, "select") else list(islice(rows, len(numbers)))
    inputs, labels = evidence.held.read(some)
    return SomeRows(numbers[: len(inputs)], inputs, labels, rule)
