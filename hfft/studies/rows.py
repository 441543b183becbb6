"""What pretraining is worth in labelled rows: the gain over random weights at several numbers of rows, and a forecast."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from hfft.studies.arms import Arms, between, mean_of, seeds_in_words
from hfft.studies.curves import Estimate, fit_inverse_power, forecast, worth
from hfft.studies.scratch import RANDOM
from hfft.studies.study import Child, Done, Figures, Numbers, Study, ascending
from hfft.studies.table import Cell, Line, Plot, Row, Table
from hfft.wording import counted

EVALUATED = {"eval_strategy": "steps", "eval_steps": 0.2, "save_strategy": "steps", "save_steps": 0.2}


class Rows(Study):
    """The gain of pretraining over the number of training rows, which are nested for one seed.

    Attributes:
        rows: training rows of each arm (`data.max_train_samples`); more than there are means all.
        equal: `steps`: every number of rows is trained for as many steps as the recipe's epochs of the largest number are;
            `epochs`: for the recipe's epochs, so that few rows also mean few steps.
        more: rows beyond the largest number for which the score is forecast.
    """

    name: ClassVar[str] = "rows"
    question: str = "How many labelled rows is pretraining worth?"
    rows: Annotated[Numbers, ascending("numbers of rows")] = Field(default=[20, 50, 100, 300, 1200])
    equal: Literal["steps", "epochs"] = "steps"
    more: int = Field(default=200, ge=1)

    def plan(self, done: Done) -> list[Child]:
        """A child for each number of rows, start and seed."""
        fixed = self.steps() if self.equal == "steps" else {}
        arms: dict[str, dict[str, Any]] = {}
        for rows in self.rows:
            arms[pretrained(rows)] = {"data.max_train_samples": rows, **fixed}
            arms[scratch(rows)] = {"data.max_train_samples": rows, **fixed, **RANDOM}
        return self.each_seed(arms)

    def steps(self) -> dict[str, Any]:
        """The overrides that give every arm the same steps, with the same number of evaluations."""
        training = self.recipe.training
        batch = training.get("per_device_train_batch_size", 8)
        batch = (32 if batch == "auto" else batch) * training.get("gradient_accumulation_steps", 1)
        epochs = training.get("num_train_epochs", 3)
        steps = training.get("max_steps", -1)
        steps = steps if steps > 0 else math.ceil(math.ceil(self.rows[-1] / batch) * epochs)
        return {f"training.{key}": value for key, value in {"max_steps": steps, **EVALUATED}.items()}

    def table(self, done: Done) -> Table:
        """A row for each number of rows: both starts, the gain, and what pretraining is worth in rows."""
        arms = Arms.of(done, self.all_seeds)
        sizes = {rows: self.trained_rows(arms, rows) for rows in self.rows}
        found = []
        for rows in self.rows:
            ours, theirs = arms.cell(pretrained(rows)), arms.cell(scratch(rows))
            cells = {"pretrained": ours, "random": theirs, "gain": ours.minus(theirs)}
            estimate = self.worth(arms, rows, sizes)
            if estimate is not None:
                cells["is worth rows"] = Cell(text=between(estimate, list(sizes.values())[-1]))
            found.append(Row(counted(sizes[rows], "row"), cells, arms.failed(pretrained(rows), scratch(rows))))
        lines = tuple(
            Line.of(name, {sizes[rows]: arms.cell(arm(rows)) for rows in self.rows})
            for name, arm in (("pretrained", pretrained), ("random", scratch))
        )
        plot = Plot("Score over training rows", "training rows", arms.heading, lines, log=True)
        notes = tuple(filter(None, [self._of_forecast(arms, sizes)]))
        answer = self._answer(arms, sizes)
        return Table(answer, ("pretrained", "random", "gain", "is worth rows"), tuple(found), (plot,), notes)

    def trained_rows(self, arms: Arms, rows: int) -> int:
        """The rows that were trained on: fewer than asked for if there are no more."""
        for arm in (pretrained(rows), scratch(rows)):
            for seed in self.all_seeds:
                n = arms.done.get(f"{arm}-{seed}", Figures()).metrics.get("train", {}).get("n")
                if n:
                    return min(rows, int(n))
        return rows

    def worth(self, arms: Arms, rows: int, sizes: dict[int, int]) -> Estimate | None:
        """How many rows random weights need for the score of pretrained ones on so many."""
        measured = arms.together([pretrained(rows), *map(scratch, self.rows)])
        if not len(measured) or len(self.rows) < 2:
            return None
        return worth([sizes[r] for r in self.rows], measured[:, 1:], measured[:, 0])

    def headline(self, arms: Arms, sizes: dict[int, int]) -> tuple[int, Estimate] | None:
        """The number of rows that the answer names: the recipe's own, or the largest that random weights can match."""
        found = {rows: value for rows in self.rows if (value := self.worth(arms, rows, sizes)) is not None}
        own = self.recipe.data.max_train_samples
        if own in found:
            return own, found[own]
        bounded = [rows for rows, value in found.items() if value.value < math.inf]
        rows = bounded[-1] if bounded else next(iter(found), None)
        return None if rows is None else (rows, found[rows])

    def _answer(self, arms: Arms, sizes: dict[int, int]) -> str:
        chosen = self.headline(arms, sizes)
        if chosen is None:
            return f"{self.recipe.name}: nothing to compare yet."
        rows, value = chosen
        like = between(value, list(sizes.values())[-1])
        ours, theirs = arms.cell(pretrained(rows)), arms.cell(scratch(rows))
        return (
            f"{self.recipe.name}: {sizes[rows]} rows with pretrained weights are worth {like} "
            f"with random ones ({arms.heading} {mean_of(ours)} against {mean_of(theirs)} on the same rows, "
            f"{arms.difference(ours.minus(theirs))}; n={arms.n}, {seeds_in_words(len(ours.values))})."
        )

    def _of_forecast(self, arms: Arms, sizes: dict[int, int]) -> str | None:
        """What an inverse-power fit of the pretrained curve forecasts, and how far it was off for the largest number of rows."""
        measured = arms.together([pretrained(rows) for rows in self.rows])
        at = [sizes[rows] for rows in self.rows]
        if arms.sign < 0 or not len(measured) or len(at) < 3 or measured.max() > 1 or measured.min() < 0:
            return None
        if len(set(at[:-1])) < 2:  # the data has no more rows than the smallest size
            return None
        largest, next_ = at[-1], at[-1] + self.more
        expected = forecast(at, measured, next_)
        now = 1 - fit_inverse_power(np.tile(at, len(measured)), 1 - measured.ravel())(largest)
        held_out = forecast(at[:-1], measured[:, :-1], largest)
        actual = float(measured[:, -1].mean())
        within = "within" if held_out.low <= actual <= held_out.high else "outside"
        return (
            f"forecast (inverse power): {self.more} more labels than {largest} would bring "
            f"{100 * (expected.value - now):+.1f} points; fitted without the {largest} rows, it expected "
            f"{_interval(held_out)} there and {actual:.3f} was measured, {within} the interval"
        )


def pretrained(rows: int) -> str:
    """The arm of pretrained weights."""
    return f"pretrained-{rows}"


def scratch(rows: int) -> str:
    """The arm of random weights."""
    return f"random-{rows}"


def _interval(found: Estimate) -> str:
    bounded = math.isfinite(found.low)
    return f"{found.value:.3f}" + (f" [{found.low:.3f}, {found.high:.3f}]" if bounded else "")
