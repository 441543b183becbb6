"""Does sharing a backbone help? Each of several tasks by itself, all of them together, and ways of weighing them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from hfft.recipe.several_tasks import FOR_TASKS, TaskEntry, of_task
from hfft.studies.arms import Arms, merged, plus_minus, seeds_in_words
from hfft.studies.study import Child, Done, Study, against, among, as_items
from hfft.studies.table import Cell, Row, Table
from hfft.tasks.problem import PROBLEMS, SMALLER_IS_BETTER

METHODS: dict[str, dict[str, Any]] = {
    "uncertainty": {"strategy.uncertainty": True},
    "grad_norm": {"strategy.grad_norm": {}},
    "pcgrad": {"strategy.pcgrad": {"tasks": True}},
    "equal": {"strategy.mixing": "equal"},
    "sqrt": {"strategy.mixing": "sqrt"},
}
ALONE, TOGETHER = "alone", "together"


class SeveralTasks(Study):
    """The tasks of a recipe, each by itself with the same recipe and as many epochs, together, and together in further ways.

    Attributes:
        methods: ways besides the recipe's own: `uncertainty`, `grad_norm`, `pcgrad`, and `equal` or `sqrt`, of mixing.
    """

    name: ClassVar[str] = "tasks"
    question: str = "Does a task learn better among others, on one backbone?"
    seeds: int | list[int] = 3
    methods: Annotated[list[str], BeforeValidator(as_items), among(METHODS)] = Field(
        default=["uncertainty", "grad_norm", "pcgrad"]
    )

    @model_validator(mode="after")
    def _several(self) -> SeveralTasks:
        if not self.recipe.tasks:
            raise ValueError(f"needs a recipe of several tasks, but {self.recipe.name} has one")
        return self

    def plan(self, done: Done) -> list[Child]:
        """For each seed, a child for each task by itself, and one for each way of learning them together."""
        plain = {"score.single_task": False, "score.scorecard": "off", "publish": {}}
        arms: dict[str, dict[str, Any]] = {}
        for entry in self.recipe.tasks:
            own = of_task(self.recipe, entry)
            sections = {key: own[key] for key in ("data", "problem_type", "strategy")}
            best = [key for key in ("metric_for_best_model", "greater_is_better") if key in self.recipe.training]
            sections |= {f"training.{key}": own["training"].get(key) for key in best}
            alone = {"tasks": [], "head.per_task": False, "score.metrics": entry.metrics}
            arms[f"{ALONE}-{entry.name}"] = {**sections, **plain, **alone}
        arms[TOGETHER] = plain
        for name in self.methods:
            without = {f"strategy.{key}": None for key in FOR_TASKS if key != "mixing"}
            arms[name] = {**plain, **without, **METHODS[name]}
        return self.each_seed(arms)

    def table(self, done: Done) -> Table:
        """A row for each way, with the first metric of each task and its difference to the task by itself."""
        arms = Arms.of(done, self.all_seeds)
        seeds, found, columns = self.all_seeds, [Row(ALONE, {}, self._failed(arms))], list[str]()
        found += [Row(name, {}, arms.failed(name)) for name in (TOGETHER, *self.methods)]
        for entry in self.recipe.tasks:
            metric, split = first_metric(entry), self._split(done, entry)
            n = next(
                (figures.n(split) for name, figures in done.items() if name.startswith(f"{ALONE}-{entry.name}-")), 0
            )
            column, minus = f"{entry.name}: {split} {metric} (n={n})", f"{entry.name} minus alone"
            for i, row in enumerate(found):
                name, key = (
                    (f"{ALONE}-{entry.name}", metric) if row.arm == ALONE else (row.arm, f"{entry.name}_{metric}")
                )
                values = {seed: done[f"{name}-{seed}"].value(split, key) for seed in seeds if f"{name}-{seed}" in done}
                cell = Cell({seed: value for seed, value in values.items() if value is not None})
                found[i] = Row(row.arm, {**row.cells, column: cell}, row.failed)
            found = against(found, column, ALONE, minus)
            columns += [column, minus]
        seconds = {arm: arms.cell(arm, lambda figures: figures.seconds, digits=1) for arm in (TOGETHER, *self.methods)}
        found = [Row(row.arm, {**row.cells, "seconds": seconds.get(row.arm, Cell())}, row.failed) for row in found]
        return Table(self._answer(found), (*columns, "seconds"), tuple(found), ())

    def _split(self, done: Done, entry: TaskEntry) -> str:
        """The split that a task is judged by: test, or validation without one."""
        mine = [figures for name, figures in done.items() if name.startswith(f"{ALONE}-{entry.name}-")]
        return "test" if not mine or any(figures.main("test") for figures in mine) else "validation"

    def _failed(self, arms: Arms) -> dict[int, str]:
        return merged(*(arms.failed(f"{ALONE}-{entry.name}") for entry in self.recipe.tasks))

    def _answer(self, found: list[Row]) -> str:
        """What sharing changed for each task, in the recipe's own way."""
        row, said, most = next(row for row in found if row.arm == TOGETHER), [], 0
        for entry in self.recipe.tasks:
            cell = row.cells.get(f"{entry.name} minus alone", Cell())
            if (summary := cell.summary()) is None:
                continue
            sign = -1 if first_metric(entry) in SMALLER_IS_BETTER else 1
            what = "not clearly different" if summary.n < 2 or not summary.differs else None
            what = what or ("better" if sign * summary.mean > 0 else "worse")
            said.append(f"{entry.name} {what} ({first_metric(entry)} {plus_minus(cell, 1, 4)})")
            most = max(most, summary.n)
        if not said:
            return f"{self.recipe.name}: nothing to compare yet."
        return f"{self.recipe.name}, together against alone: {'; '.join(said)} ({seeds_in_words(most)})."


def first_metric(entry: TaskEntry) -> str:
    """The metric that a task is judged by."""
    return entry.metrics[0] if entry.metrics else PROBLEMS[entry.problem_type].default_metrics[0]
