"""Generality against specificity: what each way of learning keeps of the old task, beside what it learns of the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from hfft.data.spec import NONE
from hfft.recipe import Recipe
from hfft.runs import RunFolder
from hfft.studies.arms import Arms, in_points, mean_of, merged, seeds_in_words
from hfft.studies.study import Child, Done, Figures, Study, against, among, as_items, ascending
from hfft.studies.table import Cell, Line, Plot, Row, Table

ALL = "all"
# Ways of learning -> their overrides.
WAYS: dict[str, dict[str, Any]] = {
    ALL: {"layers.train": ["all"]},
    "head": {"layers.train": ["head"]},
    "last-2": {"layers.train": ["last-2"]},
    "lora": {"layers.train": ["head"], "layers.adapter": {"type": "lora"}},
    "l2_sp": {"layers.train": ["all"], "strategy.l2_sp.weight": 0.01},  # the paper's
    "lwf": {"layers.train": ["all"], "strategy.lwf": {}},
}
WISE_FT = "wise-ft"
OLD, NEW = "old task", "new task"
Shares = Annotated[list[Annotated[float, Field(gt=0, lt=1)]], BeforeValidator(as_items), ascending("shares")]


class Retention(Study):
    """Ways of learning, each scored on the new task and, by the backbone's own classifier, on the old one (`score.old_task`).

    Attributes:
        methods: which ways of learning besides that of all layers: the head alone, the last two blocks, LoRA, L2-SP, LwF.
        alphas: shares of the way from the start of the run in which all layers learn to its end: WiSE-FT (arXiv:2109.01903).
    """

    name: ClassVar[str] = "retention"
    question: str = "What does each way of learning keep of the old task?"
    methods: Annotated[list[str], BeforeValidator(as_items), among(name for name in WAYS if name != ALL)] = Field(
        default=[name for name in WAYS if name != ALL]
    )
    alphas: Shares = Field(default=[0.25, 0.5, 0.75])

    @model_validator(mode="after")
    def _has_old_rows(self) -> Retention:
        if self.recipe.problem != "single_label_classification" or self.recipe.tasks:
            raise ValueError("compares accuracies, which needs one task with one class for each row")
        if self.recipe.score.old_task is None:
            raise ValueError("needs rows of the task that the backbone was pretrained on; name them in score.old_task")
        if self.alphas and self.recipe.data.validation == NONE:
            raise ValueError("has alphas, which need validation rows, but data.validation is none; use alphas=[]")
        return self

    def ways(self) -> dict[str, dict[str, Any]]:
        """Arm -> overrides."""
        none: dict[str, Any] = {"layers.freeze": [], "layers.adapter": None}
        return {name: {**none, **WAYS[name]} for name in (ALL, *self.methods)}

    def plan(self, done: Done) -> list[Child]:
        """A run for each seed and way, and what is measured of those that are there."""
        runs = self.each_seed({arm: {"score.scorecard": "off", **given} for arm, given in self.ways().items()})
        found = list(runs)
        for child in runs:
            if child.name not in done or done[child.name].failed is not None:
                continue
            found.append(_measuring(f"{child.arm}-kept", child, "of_run", {}))
            if child.arm == ALL:
                found += [_measuring(_between(a), child, "of_interpolation", {"alpha": a}) for a in self.alphas]
        return found

    def table(self, done: Done) -> Table:
        """A row for the start, each way and each share; scores on both tasks, and their differences to all layers learning."""
        arms = Arms.of(done, self.all_seeds)
        names = {arm: f"{arm}-kept" for arm in self.ways()} | {f"{WISE_FT} {a:g}": _between(a) for a in self.alphas}
        found = [Row("start", {OLD: arms.cell(f"{ALL}-kept", before)})]
        for arm, measured in names.items():
            cells = {NEW: arms.cell(measured), OLD: arms.cell(measured, after)}
            runs = (arm, measured) if arm in self.ways() else (measured,)
            found.append(Row(arm, cells, merged(*(arms.failed(run) for run in runs))))
        for column in (NEW, OLD):
            found = against(found, column, ALL, _minus(column))
        rows = {row.arm: row for row in found}
        columns = (NEW, _minus(NEW), OLD, _minus(OLD))
        return Table(self._answer(arms, rows, done), columns, tuple(found), self._plots(arms, rows))

    def _answer(self, arms: Arms, rows: Mapping[str, Row], done: Done) -> str:
        lost = rows["start"].cells[OLD].minus(rows[ALL].cells[OLD])
        if lost.summary() is None:
            return f"{self.recipe.name}: nothing to compare yet."
        means = {arm: kept for arm, row in rows.items() if (kept := _kept_for_nothing(row.cells)) is not None}
        said = ""
        if means:
            best = max(means, key=lambda arm: means[arm])
            new, old = (rows[best].cells[_minus(column)] for column in (NEW, OLD))
            said = f"; of the ways that are not seen to learn less, {best} keeps the most: {in_points(old)} on the old task "
            said += f"beside that, {in_points(new)} on the new one"
        old_rows = next(figures.metrics["old_task"] for figures in done.values() if "old_task" in figures.metrics)
        seeds = seeds_in_words(len(rows[ALL].seeds))
        return (
            f"{self.recipe.name}: where all layers learn, the new task comes to {mean_of(rows[ALL].cells[NEW])} (n={arms.n}) and "
            f"the old one falls from {mean_of(rows['start'].cells[OLD])} by {in_points(lost).removeprefix('+')} "
            f"(n={old_rows['n']}){said} ({seeds})."
        )

    def _plots(self, arms: Arms, rows: Mapping[str, Row]) -> tuple[Plot, ...]:
        """The old task over the new one: a point for each way, and a line for what lies between start and end."""
        between = [f"{WISE_FT} {a:g}" for a in self.alphas]
        lines = [_points(f"{ALL}, {WISE_FT}" if between else ALL, [rows[arm] for arm in (*between, ALL)])]
        lines += [_points(arm, [rows[arm]]) for arm in self.methods]
        shown = tuple(line for line in lines if line.points)
        title = "The old task over the new one"
        return (Plot(title, f"{arms.heading} on the new task", "accuracy on the old task", shown),) if shown else ()


def of_run(recipe: Recipe, child: str) -> dict[str, Any]:
    """The score of another child on its own task, and its accuracy on the old one.

    Raises:
        RunError: the old head does not fit it, or there are no rows of the old task.
    """
    return _figures(recipe, child)


def of_interpolation(recipe: Recipe, child: str, alpha: float) -> dict[str, Any]:
    """The same of the weights at a share of the way from the start of that child to its end."""
    from hfft.pipeline.soup.soup import soup

    mixed = recipe.output_dir / "interpolated"
    soup([str(recipe.output_dir.parent / child)], [], f"{alpha:g}", mixed, fresh=True, say=lambda line: None)
    return _figures(recipe, str(mixed.relative_to(recipe.output_dir.parent)))


def _figures(recipe: Recipe, child: str) -> dict[str, Any]:
    from hfft.studies.measured_blocks import blocks_of

    block = blocks_of(recipe, child, ["retention"])["blocks"]["retention"]
    kept = {name: block[name]["value"] for name in ("before", "after")}
    scored = RunFolder(recipe.output_dir.parent / child).metrics_of_run()
    new: dict[str, Any] = {split: scored[split] for split in ("test", "validation") if split in scored}
    return {**new, "old_task": {**block["old_task"], **kept, "agreement": block["agreement"]}}


def before(figures: Figures) -> float | None:
    """Accuracy of the pretrained model on the old task."""
    return figures.metrics.get("old_task", {}).get("before")


def after(figures: Figures) -> float | None:
    """Accuracy of the trained model with the old head."""
    return figures.metrics.get("old_task", {}).get("after")


def _measuring(arm: str, child: Child, function: str, options: Mapping[str, Any]) -> Child:
    given = {"child": child.name, **options}
    return Child(arm, child.seed, child.overrides, measure=f"{__name__}:{function}", options=given)


def _between(alpha: float) -> str:
    return f"{WISE_FT}-{alpha:g}"


def _minus(column: str) -> str:
    return f"{column} minus {ALL}"


def _kept_for_nothing(cells: Mapping[str, Cell]) -> float | None:
    """How much more of the old task is kept, if no interval says that less of the new one is learned."""
    old, new = (cells.get(_minus(column), Cell()).summary() for column in (OLD, NEW))
    return old.mean if old is not None and new is not None and new.n > 1 and new.high >= 0 else None


def _points(name: str, rows: list[Row]) -> Line:
    """The old task's mean with its interval at the new task's mean."""
    found: list[tuple[float, float, float, float]] = []
    for row in rows:
        if (new := row.cells[NEW].summary()) is not None:
            found += Line.of(name, {new.mean: row.cells[OLD]}).points
    return Line(name, found)
