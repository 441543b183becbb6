"""Choose one argument of a classifier from a grid, on validation rows or by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from hfft.classifier.fitted import Model
from hfft.classifier.spec import MULTI, SINGLE

FOLDS = 5
PATIENCE = 8  # values in a row that are worse than the best, after which the rest of a grid, ever less regularised, is not tried
# fits the models of a grid on rows and targets, one after the other
Path = Callable[[np.ndarray, np.ndarray, Sequence[Any]], Iterator[Model]]


@dataclass(frozen=True)
class Choice:
    """The value that was chosen.

    Attributes:
        value: of the argument.
        scores: one per value of the grid, greater is better.
        on: the rows that were scored, in words.
        notes: lines to tell.
    """

    value: Any
    scores: list[float]
    on: str
    notes: tuple[str, ...] = ()


def choose(
    path: Path,
    grid: Sequence[Any],
    x: np.ndarray,
    y: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray] | None,
    problem: str,
    seed: int,
    default: Any,
) -> Choice:
    """The first value of the grid with the best score.

    The score is accuracy, of several labels that of all labels, of a regression R². Without validation rows it is the mean
    of a stratified cross-validation of the training rows.

    After `PATIENCE` values in a row that are worse than the best before them, the rest is not tried: the least
    regularised fits take longest, and overfit most.

    Args:
        grid: values, the strongest regularisation first, so that it wins among equals.
        default: the value where no cross-validation is possible, since a class has a single row.
    """
    if validation is not None:
        scores = _patient(score(model, *validation, problem) for model in path(x, y, grid))
        return Choice(grid[int(np.argmax(scores))], scores, f"{len(validation[1])} validation rows")
    least = int(np.bincount(y).min()) if problem == SINGLE else len(y)
    folds = min(FOLDS, least)
    if folds < 2:
        note = f"a class has a single row, so that nothing can be chosen by cross-validation: {default} is used"
        return Choice(default, [], "nothing", (note,))
    splitter = (StratifiedKFold if problem == SINGLE else KFold)(folds, shuffle=True, random_state=seed)
    parts = [(train, held) for train, held in splitter.split(x, y)]
    paths = [path(x[train], y[train], grid) for train, _ in parts]
    scores = _patient(
        float(
            np.mean([score(model, x[held], y[held], problem) for model, (_, held) in zip(models, parts, strict=True)])
        )
        for models in zip(*paths, strict=True)
    )
    return Choice(grid[int(np.argmax(scores))], scores, f"{folds}-fold cross-validation of {len(y)} training rows")


def _patient(scores: Iterable[float]) -> list[float]:
    found: list[float] = []
    for one in scores:
        found.append(one)
        # equal scores are no reason to stop: the strongest regularisations often answer alike
        if len(found) > PATIENCE and max(found[-PATIENCE:]) < max(found):
            break
    return found


def score(model: Model, x: np.ndarray, y: np.ndarray, problem: str) -> float:
    """Accuracy, or R² of a regression, on transformed features."""
    logits = model.logits(x)
    if problem == SINGLE:
        return float((logits.argmax(axis=1) == y).mean())
    if problem == MULTI:
        return float(((logits > 0) == y).mean())
    spread = np.square(y - y.mean(axis=0)).sum()
    return float(1 - np.square(logits - y).sum() / (spread or 1.0))
