"""The learning curves: loss, first metric, learning rate, gradient norm, and whatever the methods log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfft.report.chart import Series, curve
from hfft.report.record import Record
from hfft.tasks.measure import metric_names
from hfft.tasks.problem import PROBLEMS

# Logged by every training; the rest is of methods.
LOGGED = {"loss", "grad_norm", "learning_rate", "epoch", "step", "total_flos"}


def section(record: Record) -> dict[str, Any] | None:
    """A chart for each logged quantity, and the number of steps per epoch; None if nothing was trained."""
    if "use" in record.metrics:
        return None

    def series(name: str, colour: int, key: str) -> Series:
        return name, colour, [(row["step"], row[key]) for row in record.history if row.get(key) is not None]

    train, validation = record.split("train"), record.split("validation")
    metric = next(iter(metric_names(record.metrics.get("validation", {}))), "")
    unit = PROBLEMS[record.metrics["problem"]].unit
    charts = [
        curve(f"loss ({unit})", [series(train, 0, "loss"), series(validation, 1, "eval_loss")], log=True),
        curve(metric.replace("_", " "), [series(validation, 1, f"eval_{metric}")]),
        curve("learning rate of the head", [series(train, 0, "learning_rate")]),
        curve("gradient norm before clipping", [series(train, 0, "grad_norm")], log=True),
    ]
    charts += [curve(name.replace("_", " "), [series(train, 0, name)]) for name in _of_methods(record.history)]
    steps, epochs = record.metrics["train"]["steps"], record.metrics["train"]["epochs"]
    return {
        "charts": [chart for chart in charts if chart is not None],
        "steps_per_epoch": round(steps / epochs) if epochs else None,
    }


def _of_methods(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the terms and weights that methods logged, in the order of their first logs."""
    found = (
        name
        for row in history
        if not any(key.startswith(("eval_", "test_")) or key.endswith("_loss") for key in row)
        for name in row
    )
    return [name for name in dict.fromkeys(found) if name not in LOGGED]
