"""The recipe section `tasks`: several tasks on one backbone, each with its data, target and loss. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hfft.data.spec import NONE, Data
from hfft.evaluate.spec import metric
from hfft.recipe.yaml_lines import Path
from hfft.spec import Spec
from hfft.strategy.tasks.row_losses import RowLosses
from hfft.tasks.table import ProblemType

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe

FEWEST = 2
# Methods of `strategy` that are for several tasks, and mean nothing to one.
FOR_TASKS = ("mixing", "uncertainty", "grad_norm")


class TaskEntry(Spec):
    """One of several tasks.

    Attributes:
        name: its name, and that of its model's folder.
        problem_type: kind of target, by the config's `problem_type`.
        data: its rows; keys that all tasks share can stand in the recipe's own section `data`.
        loss: methods of `strategy` that change the loss of its rows, such as `focal` or `class_weights`.
        weight: factor of its rows' losses.
        metrics: its metrics; default: the usual ones of its problem.
    """

    name: str = Field(pattern=r"^[\w][\w-]*$", max_length=60)
    problem_type: ProblemType = "single_label_classification"
    data: Data
    loss: RowLosses = RowLosses()
    weight: float = Field(default=1.0, gt=0)
    metrics: list[Annotated[str, AfterValidator(metric)]] = Field(default=[])


def spread(values: Any) -> Any:
    """A recipe's sections with the shared keys of `data` in each task, and the first task's `data` as the recipe's own."""
    tasks = values.get("tasks") if isinstance(values, Mapping) else None
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, Mapping) for task in tasks):
        return values
    shared = values.get("data") or {}
    if not isinstance(shared, Mapping):
        return values
    full = [{**task, "data": _merged(shared, task.get("data") or {})} for task in tasks]
    return {**values, "tasks": full, "data": full[0]["data"]}


def _merged(shared: Mapping[str, Any], own: Any) -> Any:
    """A task's own keys over those that all share; of columns, role by role."""
    if not isinstance(own, Mapping):
        return own
    found = {**shared, **own}
    both = shared.get("columns"), own.get("columns")
    if all(isinstance(columns, Mapping) for columns in both):
        found["columns"] = {**both[0], **both[1]}  # type: ignore[dict-item]
    return found


def of_task(recipe: Recipe, entry: TaskEntry) -> dict[str, Any]:
    """The sections of a recipe for one of the tasks alone, with the same backbone, layers, strategy and training."""
    values = recipe.plain()
    strategy = {
        key: value for key, value in values["strategy"].items() if key not in FOR_TASKS and not _of_tasks(key, value)
    }
    values |= {
        "name": f"{recipe.name}-{entry.name}",
        "problem_type": entry.problem_type,
        "data": entry.data.plain(),
        "strategy": {**strategy, **entry.loss.plain()},
        "head": {**values["head"], "per_task": False},
        "score": {**values["score"], "metrics": entry.metrics, "single_task": False},
        "publish": {},
        "training": _chosen_by(values["training"], entry.name, [one.name for one in recipe.tasks]),
    }
    del values["tasks"]
    return values


def _chosen_by(training: Mapping[str, Any], task: str, tasks: Sequence[str]) -> Mapping[str, Any]:
    """The section `training` of one task: a metric of the task chooses the best model by its own name, another's by no name."""
    metric = str(training.get("metric_for_best_model") or "").removeprefix("eval_")
    owner = max((name for name in tasks if metric.startswith(f"{name}_")), key=len, default=None)
    if owner is None:
        return training
    rest = {key: value for key, value in training.items() if key not in ("metric_for_best_model", "greater_is_better")}
    return {**rest, "metric_for_best_model": metric.removeprefix(f"{task}_")} if owner == task else rest


def _of_tasks(key: str, value: Any) -> bool:
    """Whether an option of a method is for several tasks."""
    return key == "pcgrad" and isinstance(value, Mapping) and bool(value.get("tasks"))


def task_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """What no single task can say: names that occur twice, and sections that each task has of its own."""
    found: list[tuple[Path, str]] = []
    names = [entry.name for entry in recipe.tasks]
    if len(names) < FEWEST:
        found.append(
            (("tasks",), f"has {len(names)} entry; expected {FEWEST} at least: a single task needs no such list")
        )
    for i, name in enumerate(names):
        if name in names[:i]:
            found.append((("tasks", i, "name"), f"is {name!r}, as that of an earlier task; use another"))
    if not recipe.the_task.labelled:
        found.append((("tasks",), f"have labels each, but task {recipe.task} makes its own; use another task"))
    if recipe.problem_type != "single_label_classification":
        found.append((("problem_type",), "is each task's own; set it in the entries of tasks"))
    if recipe.score.metrics:
        found.append((("score", "metrics"), "are each task's own; set tasks[].metrics"))
    for key in ("calibrate", "from_scratch", "shift", "old_task"):
        if getattr(recipe.score, key) not in ("none", False, None, {}):
            found.append((("score", key), "is for a single task; leave it out"))
    if recipe.published_as == "adapter":
        found.append(
            (("publish", "as"), "is adapter, but each task is saved as a model of its own; use an adapter that merges")
        )
    for i, entry in enumerate(recipe.tasks):
        data, here = entry.data, ("tasks", i)
        for key, given in (("streaming", data.streaming), ("sets", data.sets), ("labels", data.labels == NONE)):
            if given:
                found.append(((*here, "data", key), "is not for one of several tasks; leave it out"))
    return found


def single_checks(
    recipe: Recipe, given: Mapping[str, Any], check: Callable[[Recipe], list[tuple[Path, str]]]
) -> list[tuple[Path, str]]:
    """What `check` finds in the recipes of the single tasks, each where the recipe says it.

    Args:
        given: the recipe's own sections, in which all tasks may share keys of `data`.
    """
    found: dict[tuple[Path, str], None] = {}
    for i, entry in enumerate(recipe.tasks):
        single = type(recipe).model_validate(of_task(recipe, entry))
        for path, what in check(single):
            if (place := _place(path, i, entry)) is not None:
                found[(at_home(place, given), what)] = None
    return list(found)


def _place(path: Path, i: int, entry: TaskEntry) -> Path | None:
    """Where a recipe with `tasks` says what a single task's recipe says at a path; None for what is checked for all together."""
    head, rest = (path[0] if path else ""), path[1:]
    if head in ("data", "problem_type"):
        return ("tasks", i, *path)
    if path[:2] == ("score", "metrics"):
        return ("tasks", i, "metrics", *path[2:])
    if head == "strategy" and rest and rest[0] in entry.loss.changed():
        return ("tasks", i, "loss", *rest)
    return None


def at_home(path: Path, given: Mapping[str, Any]) -> Path:
    """A path below a task's `data` as one below the recipe's own, if the key is written there and not in the task."""
    if path[:1] != ("tasks",) or len(path) < 4 or path[2] != "data":
        return path
    tasks, shared, key = given.get("tasks"), given.get("data"), path[3]
    own = tasks[path[1]].get("data") if isinstance(tasks, list) else None  # type: ignore[index]
    here = isinstance(shared, Mapping) and key in shared and not (isinstance(own, Mapping) and key in own)
    return ("data", *path[3:]) if here else path


def without_spread(found: list[tuple[Path, str]], given: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Mistakes each once: not those of the `data` that `spread` put beside the tasks, and shared keys where they are written."""
    if not isinstance(given.get("tasks"), list) or not given["tasks"]:
        return found
    return list(dict.fromkeys((at_home(path, given), what) for path, what in found if path[:1] != ("data",)))
