"""What rows without labels are worth where few have one: methods that learn from them, beside learning from the few alone."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from hfft.studies.arms import Arms, merged, seeds_in_words
from hfft.studies.study import Child, Done, Study, against, among, as_items, ascending
from hfft.studies.table import Cell, Line, Plot, Row, Table
from hfft.wording import counted, listing

METHODS = ("pseudo_label", "mean_teacher", "fixmatch", "flexmatch", "freematch")
ALONE, AUGMENTED = "supervised", "augmented"
Shots = Annotated[
    list[Annotated[int, Field(ge=1)]], BeforeValidator(as_items), Field(min_length=1), ascending("numbers of rows")
]


class SemiSupervised(Study):
    """Each method beside the same steps on the labelled rows alone; a seed draws those rows and is the run's seed.

    The arm `augmented` learns the labelled rows with the operations of the strong views, which is part of what FixMatch does.

    Attributes:
        shots: labelled rows of each class, nested for one seed.
        methods: which of the family `semi_supervised`.
        on: the set of `data.sets` with the rows without labels.
        options: options of all methods that have them, such as ratio and strong.
        steps: optimiser steps of each run.
        augment: operations of `data.augment` for the arm `augmented`; empty leaves it out.
    """

    name: ClassVar[str] = "semi-supervised"
    question: str = "Do rows without labels help where few rows have one?"
    seeds: int | list[int] = 3
    shots: Shots = Field(default=[4, 40])
    methods: Annotated[list[str], BeforeValidator(as_items), among(METHODS)] = Field(default=list(METHODS))
    on: str = "unlabelled"
    options: dict[str, Any] = Field(default={})
    steps: int = Field(default=300, ge=1)
    augment: list[str | dict[str, Any]] = Field(default=[])

    @model_validator(mode="after")
    def _has_rows(self) -> SemiSupervised:
        if self.recipe.problem != "single_label_classification":
            raise ValueError(f"needs rows of one class each, but the problem is {self.recipe.problem}")
        if self.on not in self.recipe.data.sets:
            known = listing(self.recipe.data.sets) or "none"
            raise ValueError(f"on is {self.on!r}, which is not in data.sets (known: {known})")
        return self

    def arms(self) -> dict[str, dict[str, Any]]:
        """Arm -> overrides, for any number of shots."""
        none: dict[str, Any] = {f"strategy.{name}": None for name in METHODS}
        found = {ALONE: none}
        if self.augment:
            found[AUGMENTED] = {**none, "data.augment": [*self.recipe.data.augment, *self.augment]}
        for name in self.methods:
            found[name] = {**none, f"strategy.{name}": self.method(name)}
        return found

    def method(self, name: str) -> dict[str, Any]:
        """The options of a method: the recipe's own, and those of the study that it has."""
        from hfft.strategy.spec import Strategy

        own = getattr(self.recipe.strategy, name)
        fields = {key: value for key, value in self.options.items() if key in _options(Strategy, name)}
        return {**({} if own is None else own.plain()), **fields, "on": self.on}

    def plan(self, done: Done) -> list[Child]:
        """A child for each seed, number of shots and arm."""
        children = []
        for seed in self.all_seeds:
            for k in self.shots:
                few: dict[str, Any] = {"data.shots": k, "data.shots_seed": seed, "training.max_steps": self.steps}
                few |= {"training.eval_strategy": "no", "training.save_strategy": "no"}  # few rows are many epochs
                children += [Child(f"{arm}-{k}", seed, {**few, **more}) for arm, more in self.arms().items()]
        return children

    def table(self, done: Done) -> Table:
        """A row for each arm with its score at each number of shots, and the difference to the labelled rows alone."""
        arms = Arms.of(done, self.all_seeds)
        found = []
        for arm in self.arms():
            cells = {_shots(k): arms.cell(f"{arm}-{k}") for k in self.shots}
            cells["seconds"] = arms.cell(f"{arm}-{self.shots[-1]}", lambda figures: figures.seconds, digits=1)
            found.append(Row(arm, cells, merged(*(arms.failed(f"{arm}-{k}") for k in self.shots))))
        for k in self.shots:
            found = against(found, _shots(k), ALONE, _minus(k))
        columns = (*(name for k in self.shots for name in (_shots(k), _minus(k))), "seconds")
        lines = tuple(Line.of(row.arm, {float(k): row.cells[_shots(k)] for k in self.shots}) for row in found)
        plot = Plot(
            "Score over labelled rows of each class", "labelled rows of each class", arms.heading, lines, log=True
        )
        return Table(self._answer(arms, found), columns, tuple(found), (plot,))

    def _answer(self, arms: Arms, found: list[Row]) -> str:
        said, most = [], 0
        for k in self.shots:
            alone = found[0].cells[_shots(k)].summary()
            differences = {row.arm: row.cells.get(_minus(k), Cell()) for row in found[1:] if row.arm != AUGMENTED}
            means = {arm: summary.mean for arm, cell in differences.items() if (summary := cell.summary()) is not None}
            if alone is None or not means:
                continue
            best = max(means, key=lambda arm: arms.sign * means[arm])
            harmful = [arm for arm in means if arms.sign * means[arm] < 0]
            worse = f", worse than without: {listing(harmful)}" if harmful else ""
            by = arms.difference(differences[best])
            said.append(f"with {k}, {alone.mean:.3f} from these alone, and {best} {by}{worse}")
            most = max(most, alone.n)
        if not said:
            return f"{self.recipe.name}: nothing to compare yet."
        scored = f"{arms.heading} by labelled rows of each class"
        return f"{self.recipe.name}, {scored}: {'; '.join(said)} (n={arms.n}, {seeds_in_words(most)})."


def _options(strategy: Any, name: str) -> set[str]:
    """The options of a method of the family."""
    kinds = strategy.model_fields[name].annotation.__args__
    return set(next(kind for kind in kinds if kind is not type(None)).model_fields)


def _shots(k: int) -> str:
    return counted(k, "shot")


def _minus(k: int) -> str:
    return f"{_shots(k)} minus {ALONE}"
