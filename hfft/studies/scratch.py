"""What pretraining saves: the same recipe from pretrained and from random weights, at several budgets of epochs."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from hfft.studies.arms import Arms, between, mean_of, seeds_in_words
from hfft.studies.curves import Estimate, first_step, over_seeds, reached
from hfft.studies.study import Child, Done, Figures, Study, as_items, ascending
from hfft.studies.table import Cell, Line, Plot, Row, Table
from hfft.wording import counted

RANDOM = {"backbone.init": "random", "layers": {"train": "all"}}
Epochs = Annotated[float, Field(gt=0)]
Budgets = Annotated[list[Epochs], BeforeValidator(as_items), Field(min_length=1), ascending("numbers of epochs")]


class Scratch(Study):
    """The same recipe from pretrained and from random weights (He et al. 2019, arXiv:1811.08883).

    Attributes:
        budgets: epochs of both.
        longer: random weights are also trained for so many times the steps; else being under-trained is measured.
    """

    name: ClassVar[str] = "scratch"
    question: str = "What does pretraining save, and when does a training from random weights catch up?"
    budgets: Budgets = Field(default=[1.0, 3.0, 10.0, 30.0])
    longer: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _epochs(self) -> Scratch:
        if self.recipe.training.get("max_steps", -1) > 0:
            raise ValueError("counts epochs, but the recipe sets training.max_steps; leave that out")
        return self

    def random_budgets(self) -> list[float]:
        """The epochs for which random weights are trained."""
        return sorted({*self.budgets, *(self.longer * budget for budget in self.budgets)})

    def plan(self, done: Done) -> list[Child]:
        """A child for each budget, start and seed."""
        arms: dict[str, dict[str, Any]] = {pretrained(b): {"training.num_train_epochs": b} for b in self.budgets}
        arms |= {scratch(b): {"training.num_train_epochs": b, **RANDOM} for b in self.random_budgets()}
        return self.each_seed(arms)

    def table(self, done: Done) -> Table:
        """A row for each budget: both starts, their difference, what is saved until equal."""
        arms = Arms.of(done, self.all_seeds)
        longer = f"random, {self.longer} x the epochs"
        found = []
        for budget in self.budgets:
            ours, theirs, more = (
                arms.cell(pretrained(budget)),
                arms.cell(scratch(budget)),
                arms.cell(scratch(self.longer * budget)),
            )
            cells = {"pretrained": ours, "random": theirs, "gain": ours.minus(theirs)}
            if self.longer > 1:
                cells |= {longer: more, "gain over it": ours.minus(more)}
            cells |= self._saved(done, budget)
            failed = arms.failed(pretrained(budget), scratch(budget), scratch(self.longer * budget))
            found.append(Row(counted(budget, "epoch"), cells, failed))
        columns = [name for name in found[-1].cells if any(row.cells[name].values for row in found)] or ["pretrained"]
        lines = (
            Line.of("pretrained", {b: arms.cell(pretrained(b)) for b in self.budgets}),
            Line.of("random", {b: arms.cell(scratch(b)) for b in self.random_budgets()}),
        )
        plots = [Plot("Final score over the budget", "epochs", arms.heading, lines, log=True), self._curves(arms)]
        return Table(self._answer(arms, found), tuple(columns), tuple(found), tuple(p for p in plots if p.lines))

    def _saved(self, done: Done, budget: float) -> dict[str, Cell]:
        """Steps and seconds until the pretrained run's learning curve reaches where random weights end, as what is saved."""
        steps, seconds = dict[int, float](), dict[int, float]()
        for seed in self.all_seeds:
            ours, theirs = (done.get(f"{arm(budget)}-{seed}", Figures()) for arm in (pretrained, scratch))
            mine, end = learning_curve(ours), learning_curve(theirs)
            if not mine or not end or not ours.steps or not ours.seconds or not theirs.seconds or not theirs.steps:
                continue
            at = first_step(mine, end[-1][1])
            if at < math.inf:
                steps[seed] = theirs.steps - at
                seconds[seed] = theirs.seconds - ours.seconds * at / ours.steps
        return {"steps saved": Cell(steps, digits=0), "seconds saved": Cell(seconds, digits=1)}

    def _curves(self, arms: Arms) -> Plot:
        """The learning curves of the largest budget that both starts had."""
        budget, lines = self.budgets[-1], []
        for name in (pretrained(budget), scratch(budget)):
            by_step: dict[float, dict[int, float]] = {}
            for seed in self.all_seeds:
                for step, value in learning_curve(arms.done.get(f"{name}-{seed}", Figures())):
                    by_step.setdefault(step, {})[seed] = arms.sign * value
            if by_step:
                lines.append(Line.of(name.partition("-")[0], {step: Cell(v) for step, v in by_step.items()}))
        return Plot(f"Learning curves, {counted(budget, 'epoch')}", "step", f"validation {arms.metric}", tuple(lines))

    def catches_up(self, arms: Arms) -> tuple[float, Estimate] | None:
        """The best budget of the pretrained start, and the epochs at which random weights reach its score there."""
        ours = arms.together([pretrained(b) for b in self.budgets])
        budgets = self.random_budgets()
        theirs = arms.together([scratch(b) for b in budgets])
        if not len(ours) or len(ours) != len(theirs):
            return None
        best = int(ours.mean(0).argmax())
        found = over_seeds(lambda o, t: reached(budgets, t.mean(0), float(o[:, best].mean())), ours, theirs)
        return self.budgets[best], found

    def _answer(self, arms: Arms, found: list[Row]) -> str:
        complete = [row for row in found if row.cells["gain"].values]
        if not complete:
            return f"{self.recipe.name}: nothing to compare yet."
        middle = complete[len(complete) // 2]
        seeds = seeds_in_words(len(middle.cells["gain"].values))
        said = (
            f"{self.recipe.name}: at {middle.arm} pretrained weights reach {arms.heading} "
            f"{mean_of(middle.cells['pretrained'])}, random ones {mean_of(middle.cells['random'])} "
            f"({arms.difference(middle.cells['gain'])}; n={arms.n}, {seeds})"
        )
        caught = self.catches_up(arms)
        if caught is not None:
            best, at = caught
            most = self.random_budgets()[-1]
            if at.value == math.inf:
                said += (
                    f"; random weights do not reach the best pretrained score ({best:g} epochs) within {most:g} epochs"
                )
            else:
                said += (
                    f"; random weights reach the best pretrained score ({best:g} epochs) at {between(at, most)} epochs"
                )
        saved = middle.cells["steps saved"].summary()
        if saved is not None:
            said += f"; until equal on validation, {saved.mean:.0f} steps are saved"
        return f"{said}."


def pretrained(budget: float) -> str:
    """The arm of pretrained weights."""
    return f"pretrained-{budget:g}"


def scratch(budget: float) -> str:
    """The arm of random weights."""
    return f"random-{budget:g}"


def learning_curve(figures: Figures) -> list[tuple[float, float]]:
    """(step, validation metric) of a training, with more being better; the metric is the recipe's first."""
    from hfft.tasks.problem import smaller_is_better

    name = figures.main("validation")
    if name is None:
        return []
    sign = -1 if smaller_is_better(name) else 1
    found: list[tuple[Any, Any]] = [
        (entry["step"], entry.get(f"eval_{name}")) for entry in figures.history if "step" in entry
    ]
    return [(float(step), sign * float(value)) for step, value in found if value is not None]
