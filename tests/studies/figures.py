"""What children of a study came to, made up for the tests of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfft.studies.study import Figures


def came_to(
    accuracy: float, *, steps: int = 100, seconds: float = 10.0, curve: Sequence[float] = (), **more: Any
) -> Figures:
    """The figures of a run: test accuracy, and validation accuracies at even distances over its steps."""
    scored = {"accuracy": accuracy, "loss": 0.1, "n": 500}
    train = {"steps": steps, "seconds": seconds, "n": 300}
    each = steps // max(len(curve), 1)
    history = [{"step": each * (i + 1), "eval_accuracy": value} for i, value in enumerate(curve)]
    metrics: dict[str, Any] = {"test": scored, "train": {**train, **more.pop("train", {})}, **more}
    if curve:
        metrics["validation"] = {"accuracy": curve[-1], "loss": 0.1, "n": 30}
    return Figures(metrics, history)


def seeds_of(arms: Mapping[str, Sequence[float]], **given: Any) -> dict[str, Figures]:
    """Name of a child -> its figures, from the accuracies of each arm by seed 1, 2, …"""
    return {f"{arm}-{i + 1}": came_to(value, **given) for arm, values in arms.items() for i, value in enumerate(values)}
