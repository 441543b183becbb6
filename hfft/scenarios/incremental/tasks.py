"""The tasks of a sequence: groups of the classes of one data set, or several data sets with classes of their own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from hfft import data
from hfft.console import quiet_libraries
from hfft.data import columns
from hfft.data.source import load_raw
from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.scenarios.incremental.memory import LABEL
from hfft.scenarios.incremental.new_rows import HELD_OUT, joined, read_new, with_test, write_data
from hfft.scenarios.incremental.scored import check_scorable
from hfft.wording import listing, nearest

DATA = "data"  # in the folder of the child that joins data sets


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


def is_paths(tasks: int | Sequence[Sequence[str]]) -> bool:
    """Whether tasks are data sets, not groups of classes."""
    return not isinstance(tasks, int) and all(isinstance(one, str) for one in tasks)


def read_sets(recipe: Recipe, paths: Sequence[str]) -> tuple[dict[str, Dataset], list[list[str]], dict[str, str]]:
    """`train` and `test` of several data sets together, the classes of each, and role -> column.

    They are read as the recipe reads its own; a fifth of the rows is scored where a set has no test split.

    Raises:
        BadInput: a class is in two of them.
    """
    found: list[dict[str, Dataset]] = []
    groups: list[list[str]] = []
    roles: dict[str, str] | None = None
    for path in paths:
        own = {"path": path, "name": None, "data_files": None, "data_dir": None, "revision": None, "validation": "none"}
        section = recipe.data.model_copy(update=own)
        if roles is None:
            first = columns.typed(load_raw(section).splits[section.train])
            roles = {
                role: name for role, name in columns.find(first, section, recipe.the_task).items() if role != "label"
            }
        share = recipe.data.test if isinstance(recipe.data.test, float) else HELD_OUT
        section = section.model_copy(update={"test": None} if isinstance(section.test, float) else {})
        found.append(with_test(read_new(section, recipe.the_task, roles), share, recipe.seed, recipe.problem))
        groups.append(sorted(set(found[-1]["train"][LABEL])))
        twice = [name for group in groups[:-1] for name in group if name in groups[-1]]
        if twice:
            raise BadInput(
                f"tasks: class {twice[0]!r} is in {path} and in a data set before it; each class belongs to one task; "
                f"with the same classes in each, name the others in data.mix, with data.columns.domain=set and --tasks domains"
            )
    assert roles is not None
    return {name: joined([one[name] for one in found]) for name in ("train", "test")}, groups, roles


def tasks_of(recipe: Recipe, tasks: int | Sequence[Sequence[str]], write: bool = True) -> dict[str, Any]:
    """The classes of each task of a recipe's data, and the numbers of their rows; a child of a study.

    Args:
        tasks: their number, the classes of each, or a data set for each: these are then joined in `data/` of the child's folder.

    Returns:
        `tasks`: the classes of each; `rows`: split -> rows of each task; `columns`: role -> column, of joined data sets;
        `train`: seconds.

    Raises:
        BadInput: a task has no classes to tell apart, a single row, or no rows to score.
    """
    started = time.perf_counter()
    quiet_libraries()
    if recipe.data.train_classes is not None:
        raise BadInput("data.train_classes: is what the tasks of a sequence set; leave it out")
    if is_paths(tasks):
        check_scorable(recipe.problem)
        parts, groups, roles = read_sets(recipe, [str(path) for path in tasks])  # type: ignore[union-attr]
        if write:
            write_data(parts, [name for group in groups for name in group], recipe.output_dir / DATA)
        counts = {split: Counter(rows[LABEL]) for split, rows in parts.items()}
        rows = {split: [sum(found[name] for name in group) for group in groups] for split, found in counts.items()}
        check_rows(groups, counts["train"], rows["train"])
        seconds = round(time.perf_counter() - started, 3)
        return {"tasks": groups, "rows": rows, "columns": roles, "train": {"seconds": seconds}}
    loaded, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    check_scorable(labels.problem, loaded)
    groups = divide(labels.names, tasks)
    rows = {
        split: [sum(counts[name] for name in group) for group in groups] for split, counts in loaded.classes.items()
    }
    check_rows(groups, loaded.classes["train"], rows["train"])
    return {"tasks": groups, "rows": rows, "train": {"seconds": round(time.perf_counter() - started, 3)}}


def check_rows(groups: Sequence[Sequence[str]], counts: Mapping[str, int], rows: Sequence[int]) -> None:
    """Raise BadInput if a class has no training rows, a task a single one, or the first task a single class.

    Args:
        counts: class -> training rows.
        rows: training rows of each task.
    """
    for t, group in enumerate(groups):
        empty = [name for name in group if not counts[name]]
        if empty:
            raise BadInput(f"tasks: train has no row of {listing(empty)}; leave such classes out")
        if rows[t] < 2:
            raise BadInput(f"tasks: task {t + 1} ({listing(group)}) has a single row in train; join it to another task")
    if len(groups[0]) < 2:
        raise BadInput(f"tasks: the first one has the one class {groups[0][0]!r}; a classifier needs two or more")
