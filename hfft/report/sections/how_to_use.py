"""The lines that use the finished model."""

from __future__ import annotations

import shlex
from typing import Any

from hfft.report.record import Record
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.table import TASKS


def section(record: Record) -> dict[str, Any] | None:
    """The lines of a `pipeline` and of `hfft predict`; None for a task that hfft knows no pipeline of."""
    metrics = record.metrics
    task, folder = TASKS.get(metrics["task"]), record.folder or f"runs/{metrics['recipe']}"
    if task is None:
        return None
    use, first = metrics.get("use") or {}, next(iter(metrics.get("tasks", {})), None)
    return {
        "model": f"{folder}/model" if first is None else f"{folder}/model/{first}",
        "of_task": "" if first is None else f" --task {first}",
        "quoted": shlex.quote(folder),
        "pipeline": task.pipeline,
        "example": task.example,
        "top_k": PROBLEMS[metrics["problem"]].multi_label,
        "code": metrics.get("own_code"),
        "plain": bool(task.pipeline) and bool(use.get("plain", True)) and metrics.get("stock_loads", True),
        "labelled": task.labelled,
        "rejects": (record.block("unknown") or {}).get("target")
        if "threshold" in (record.block("unknown") or {})
        else None,
    }
