"""How a model does on parts of a split and on other splits, and what it says of them without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfft.evaluate.intervals import bootstrap, difference_of_shares, figure, wilson

FEWEST = 10  # rows of a group that can be the worst


@dataclass(frozen=True)
class Result:
    """How right the model is on each row.

    Attributes:
        name: `accuracy`, of rows that are right or wrong, or `mae`, the mean absolute error.
        values: `(N,)`: 1 and 0, or absolute errors.
    """

    name: str
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def of(self, rows: np.ndarray) -> Result:
        """The same of some rows."""
        return Result(self.name, self.values[rows])

    @property
    def badness(self) -> float:
        """The figure, larger where the model does worse."""
        return float(self.values.mean()) * (1 if self.name == "mae" else -1)

    def figure(self, seed: int) -> dict[str, Any]:
        """The mean with its interval: Wilson's of a share, else of the bootstrap."""
        if self.name == "accuracy":
            right = int(self.values.sum())
            return figure(right / len(self), *wilson(right, len(self)))
        return bootstrap(lambda weights: {"mean": weights @ self.values / len(self)}, len(self), seed)["mean"]

    def gap(self, other: Result, seed: int) -> dict[str, Any]:
        """How much worse the model does on other rows, with an interval: Newcombe's, else of the bootstrap of both."""
        if self.name == "accuracy":
            right, others = int(self.values.sum()), int(other.values.sum())
            low, high = difference_of_shares(right, len(self), others, len(other))
            return figure(right / len(self) - others / len(other), low, high)
        both = np.concatenate([self.values, other.values])
        first = np.arange(len(both)) < len(self)

        def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
            here, there = weights * first, weights * ~first
            with np.errstate(invalid="ignore"):
                return {"gap": there @ both / there.sum(1) - here @ both / here.sum(1)}

        return bootstrap(figures, len(both), seed)["gap"]


def groups(values: Sequence[Any], result: Result, seed: int) -> list[dict[str, Any]]:
    """The figure of the rows with each value, `(N,)`, the worst first; those with fewer than FEWEST rows last."""
    names = np.array([str(value) for value in values], dtype=object)
    found = []
    for name in sorted(set(names)):
        part = result.of(names == name)
        found.append((len(part) < FEWEST, part.badness * -1, name, part))
    return [
        {"group": name, "n": len(part), part.name: part.figure(seed)}
        for *_, name, part in sorted(found, key=lambda one: one[:3])
    ]


def negative_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Negative entropy of each row's probabilities `(N, C)`: how sure the model is, `(N,)`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(probabilities > 0, probabilities * np.log(probabilities), 0).sum(1)


def atc_threshold(confidences: np.ndarray, right: np.ndarray) -> float:
    """The confidence that as many rows of validation reach as are right (ATC: Garg et al. 2022).

    Args:
        confidences: `(N,)`.
        right: whether each row is answered right, `(N,)`.
    """
    wrong = int((~right).sum())
    return float("inf") if wrong == len(right) else float(np.sort(confidences)[wrong])


def atc(confidences: np.ndarray, threshold: float) -> float:
    """The accuracy that ATC expects of rows without labels: the share that reaches the threshold."""
    return float((confidences >= threshold).mean())
