"""What the held-out figures of a run do not say by themselves: chance, classes that are never found, few rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfft.evaluate.intervals import wilson
from hfft.tasks.measure import FEW
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing

SHOWN = 10  # classes that a line lists
UNEVEN = 3  # times the rows of the smallest class that the largest has, from which on class weights may help


def findings(
    scores: Mapping[str, Mapping[str, Any]],
    problem: str,
    train: Mapping[str, int],
    weighted: bool = False,
    constants: Mapping[str, float] | None = None,
    remedy: str | None = None,
) -> list[str]:
    """One line for each finding, with the split, its rows and the key of a recipe that bears on it.

    Args:
        scores: split -> its metrics and table of classes, as `score_splits` returns them.
        train: class -> rows of train; empty if they are unknown.
        weighted: whether the classes were weighted already.
        constants: split -> loss of the best constant answer to a regression.
        remedy: what may help a poor model; default: the keys of a recipe with which it was trained.
    """
    found = []
    remedy = remedy or _remedy({} if weighted or not PROBLEMS[problem].classes else train)
    for split, score in scores.items():
        n, table = int(score["metrics"]["n"]), score.get("classes") or []
        where = f"{split} (n={n})"
        poor = []
        if PROBLEMS[problem].classes and table:
            poor += _majority(table, n)
        if table:
            poor += _never_found(table)
        elif constants and split in constants:
            poor += _constant(score["metrics"]["loss"], constants[split])
        ends = [""] * (len(poor) - 1) + [f"; {remedy}"]  # once for a split
        found += [f"{where}: {what}{end}" for what, end in zip(poor, ends, strict=False)]
        if n < FEW:
            found.append(f"{where}: {_few(table, n) if PROBLEMS[problem].classes and table else _little(n)}")
    return found


def _majority(table: Sequence[Mapping[str, Any]], n: int) -> list[str]:
    """A classifier that is right no more often than the best constant answer."""
    most = max(table, key=lambda row: row["n"])
    right = _right(table)
    if right > most["n"]:
        return []
    return [f"accuracy {right / n:.3f} is no better than always answering {most['class']!r} ({most['n'] / n:.3f})"]


def _never_found(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Classes none of whose rows was recognised."""
    lost = [f"{row['class']!r} (of {row['n']})" for row in table if row["n"] and not row["recall"]]
    if not lost:
        return []
    which = "class" if len(lost) == 1 else f"{len(lost)} of {len(table)} classes:"
    return [f"recall 0 for {which} {listing(lost, SHOWN)}"]


def _constant(loss: float, constant: float) -> list[str]:
    """A regression that is no better than the mean of the true values."""
    if loss < constant:
        return []
    return [f"mean squared error {loss:.4g} is no better than always answering the mean of the split ({constant:.4g})"]


def _right(table: Sequence[Mapping[str, Any]]) -> int:
    return sum(round(row["recall"] * row["n"]) for row in table)


def _remedy(train: Mapping[str, int]) -> str:
    longer = "raise training.learning_rate or train longer (training.num_train_epochs)"
    counts = [count for count in train.values() if count]
    if counts and max(counts) >= UNEVEN * min(counts):
        return (
            f"train has {min(counts)} to {max(counts)} rows a class: try strategy.class_weights=balanced, or {longer}"
        )
    return longer


def _few(table: Sequence[Mapping[str, Any]], n: int) -> str:
    right = _right(table)
    low, high = wilson(right, n)
    return f"so few rows say little; an accuracy of {right / n:.3f} may be {low:.2f} to {high:.2f} (95 %)"


def _little(n: int) -> str:
    return f"so few rows say little; a single row weighs {1 / n:.0%}"
