"""Which settings are best: the product of some values, chosen on validation and reported on test."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from hfft.studies.study import USUAL_DIGITS, Child, Done, Study, against, better, rows, usual_columns
from hfft.studies.table import Row, Table
from hfft.studies.words import split_commas

CHOSEN = "chosen"


class Grid(Study):
    """Every combination of some values, `training.learning_rate=1e-5,3e-5 layers.train=head,all`; validation chooses.

    Attributes:
        axes: `section.key` -> its values.
    """

    name: ClassVar[str] = "grid"
    question: str = "Which settings are best?"
    axes: dict[str, list[Any]] = Field(min_length=1)
    seeds: int | list[int] = 3

    @field_validator("axes")
    @classmethod
    def _different(cls, value: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in value.items():
            if not values or any(item in values[:i] for i, item in enumerate(values)):
                raise ValueError(f"of {key} are {values}; expected one or more different values")
        return value

    @classmethod
    def from_words(cls, overrides: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """An override with several values between commas is an axis; one with a single value is the base recipe's."""
        from hfft.studies.words import option_values

        base, axes = [], {}
        for word in overrides:
            key, equals, text = word.partition("=")
            if equals and len(split_commas(text)) > 1:
                axes[key.strip()] = option_values(text)
            else:
                base.append(word)
        return base, {"axes": axes} if axes else {}

    @property
    def arms(self) -> dict[str, dict[str, Any]]:
        """Arm -> overrides, the last axis varying fastest."""
        found: dict[str, dict[str, Any]] = {}
        for values in itertools.product(*self.axes.values()):
            overrides = dict(zip(self.axes, values, strict=True))
            name = arm_name(overrides)
            while name in found:
                name += "+"
            found[name] = overrides
        return found

    def plan(self, done: Done) -> list[Child]:
        """A child for each seed and combination."""
        return self.each_seed(self.arms)

    def table(self, done: Done) -> Table:
        """The figures of each combination, and what the chosen one comes to on rows that did not choose it."""
        found = rows(self.plan(done), done, columns := usual_columns(done), USUAL_DIGITS)
        by_split = {name.split()[0]: name for name in columns if name.split()[0] in ("validation", "test")}
        if not by_split:
            return Table(f"{self.recipe.name}: no run has finished.", tuple(columns), tuple(found))
        if "validation" not in by_split:
            answer = f"{self.recipe.name}: nothing was chosen, since there is no validation split; the test rows must not choose."
            return Table(answer, tuple(columns), tuple(found))
        judge = by_split["validation"]
        chosen = choose(found, judge, len(self.all_seeds))
        if chosen is None:
            return Table(f"{self.recipe.name}: no run has finished.", tuple(columns), tuple(found))
        shown = by_split.get("test", judge)
        found = against(found, shown, chosen.arm, f"minus {CHOSEN}")
        order = [shown, f"minus {CHOSEN}", *(name for name in columns if name != shown)]
        return Table(self._answer(chosen, by_split), tuple(order), tuple(found))

    def _answer(self, chosen: Row, by_split: Mapping[str, str]) -> str:
        seeds = len(chosen.seeds)

        def figure(split: str) -> str:
            return f"{by_split[split].removeprefix(split).strip()}: {chosen.cells[by_split[split]]}"

        said = f"{self.recipe.name}: of {len(self.arms)} arms, {chosen.arm} is best on validation, which chose it"
        said += f" ({figure('validation')})"
        if "test" in by_split:
            said += f"; on test, which did not, it comes to {figure('test')}"
        else:
            said += ", so that this figure is too good; there is no test split to check it on"
        return f"{said}; {seeds} seed{'s' if seeds != 1 else ''}."


def choose(found: Sequence[Row], column: str, seeds: int) -> Row | None:
    """The row with the best mean of a column, `<split> <metric> …`: the first of equals, of rows with all seeds if any has.

    Args:
        seeds: number of seeds that a whole row has.
    """
    metric = column.split()[1]
    scored = [row for row in found if column in row.cells and row.cells[column].values]
    whole = [row for row in scored if len(row.cells[column].values) == seeds]
    best = None
    for row in whole or scored:
        summary = row.cells[column].summary()
        if summary is not None and (best is None or better(metric, summary.mean, best[1])):
            best = row, summary.mean
    return None if best is None else best[0]


def arm_name(overrides: Mapping[str, Any]) -> str:
    """`learning_rate=1e-05,train=last-2`, in characters that may name a folder."""
    parts = (f"{key.rpartition('.')[2]}={_short(value)}" for key, value in overrides.items())
    return ",".join(parts)[:100]


def _short(value: Any) -> str:
    text = str(value) if not isinstance(value, list | dict) else repr(value)
    return re.sub(r"[^\w.+-]+", "-", text).strip("-") or "none"
