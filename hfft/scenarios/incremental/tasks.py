"""The tasks of a sequence: groups of the classes of one data set, in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from hfft import data
from hfft.console import quiet_libraries
from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing, nearest


def divide(names: Sequence[str], tasks: int | Sequence[Sequence[str]]) -> list[list[str]]:
    """The classes of each task: as many in each where a number of tasks is given, the first ones a class more.

    Args:
        names: all classes in order.

    Raises:
        BadInput: a class is unknown, or there are fewer classes than tasks.
    """
    if isinstance(tasks, int):
        if tasks * 2 > len(names):
            most = len(names) // 2
            raise BadInput(
                f"tasks: is {tasks}, but the data has {len(names)} classes, of which a task needs two; use at most {most}, or "
                f"name the classes of each task"
            )
        size, more = divmod(len(names), tasks)
        ends = [(t + 1) * size + min(t + 1, more) for t in range(tasks)]
        return [list(names[begin:end]) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    for name in (name for group in tasks for name in group):
        if name not in names:
            raise BadInput(f"tasks: no class {name!r} in the data{nearest(name, names)} (it has: {listing(names, 20)})")
    return [list(group) for group in tasks]


def tasks_of(recipe: Recipe, tasks: int | Sequence[Sequence[str]]) -> dict[str, Any]:
    """The classes of each task of a recipe's data, and the numbers of their rows; a child of a study.

    Returns:
        `tasks`: the classes of each; `rows`: split -> rows of each task; `train`: seconds.

    Raises:
        BadInput: a task has no classes to tell apart, a single row, or no rows to score.
    """
    started = time.perf_counter()
    quiet_libraries()
    if recipe.data.train_classes is not None:
        raise BadInput("data.train_classes: is what the tasks of a sequence set; leave it out")
    loaded, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    if not PROBLEMS[labels.problem].classes:
        raise BadInput(f"tasks: {labels.problem} has no single class for each row, which tasks are groups of")
    if loaded.test is None:
        raise BadInput("data.test: there is no test split, on which all tasks are scored; set data.test=0.2")
    groups = divide(labels.names, tasks)
    rows = {
        split: [sum(counts[name] for name in group) for group in groups] for split, counts in loaded.classes.items()
    }
    for t, group in enumerate(groups):
        there = {name: loaded.classes["train"][name] for name in group}
        empty = [name for name, count in there.items() if not count]
        if empty:
            raise BadInput(f"tasks: train has no row of {listing(empty)}; leave such classes out")
        if rows["train"][t] < 2:
            raise BadInput(f"tasks: task {t + 1} ({listing(group)}) has a single row in train; join it to another task")
    return {"tasks": groups, "rows": rows, "train": {"seconds": round(time.perf_counter() - started, 3)}}
