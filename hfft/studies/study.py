"""A study: a question, a base recipe, and two pure functions that say which runs to make and what they say together."""

from __future__ import annotations

import json
import math
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from hfft.backbone.spec import UNTRAINED
from hfft.errors import BadInput
from hfft.recipe import Recipe, load_recipe
from hfft.spec import Spec
from hfft.studies.table import Cell, Row, Table
from hfft.tasks.measure import metric_names
from hfft.tasks.problem import smaller_is_better
from hfft.wording import listing, nearest

CHILDREN = "{children}"  # in overrides: the folder of all children
_ARM = re.compile(r"[\w][\w.+,=-]*")


def as_items(value: Any) -> Any:
    """One value as a list of it, so that `--rows 20` and `--rows 20,50` mean the same kind of thing."""
    return value if isinstance(value, list | tuple) else [value]


def ascending(what: str) -> AfterValidator:
    """Sort a list of numbers, with words after them, and refuse an item that stands twice.

    Args:
        what: is expected, such as `numbers of rows`.
    """

    def checked(value: list[Any]) -> list[Any]:
        if len(set(value)) < len(value):
            raise ValueError(f"is {value}; expected different {what}")
        return sorted(value, key=lambda item: math.inf if isinstance(item, str) else item)

    return AfterValidator(checked)


def among(known: Iterable[str]) -> AfterValidator:
    """Refuse a name in a list that is none of the known ones."""
    known = tuple(known)

    def checked(value: list[str]) -> list[str]:
        for name in value:
            if name not in known:
                raise ValueError(f"names {name!r}{nearest(name, known)}; expected some of {listing(known)}")
        return value

    return AfterValidator(checked)


Numbers = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(as_items), Field(min_length=1)]
Words = Annotated[list[str], BeforeValidator(as_items), Field(min_length=1)]


@dataclass(frozen=True)
class Child:
    """One run of a study.

    Attributes:
        arm: what is compared, such as `scratch`; a part of the folder's name.
        seed: the `training.seed` of the run, which the overrides do not set.
        overrides: `section.key` -> value, as on the command line; `{children}` in a text is the folder of all children.
        begins_from: name of the child that must be finished before; its model is this one's backbone, unless the overrides
            name another one.
        measure: `module:function` that is called with the recipe in place of a training, and returns the figures
            (`hfft.studies.measure`).
        options: further arguments of that function, as JSON values.
        run_seed: the `training.seed` of the run where it is not `seed` itself: a run that follows others of the same seed
            would draw the same order and dropout again.
    """

    arm: str
    seed: int
    overrides: Mapping[str, Any] = field(default_factory=dict)
    begins_from: str | None = None
    measure: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    run_seed: int | None = None

    def __post_init__(self) -> None:
        if not _ARM.fullmatch(self.arm):
            raise ValueError(f"arm {self.arm!r}; expected letters, digits and . + , = - _, since it names a folder")

    @property
    def name(self) -> str:
        """Name of the run folder in `children/`."""
        return f"{self.arm}-{self.seed}"


@dataclass(frozen=True)
class Figures:
    """What a finished child came to.

    Attributes:
        metrics: the content of its metrics.json; empty if it failed.
        history: the log of its training: a dictionary for each entry, with `step`.
        failed: why there are no metrics, in one line.
        folder: the run folder.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    failed: str | None = None
    folder: Path = Path()

    def main(self, split: str = "test") -> str | None:
        """The name of the split's main metric, which is the recipe's first; None if the split was not scored."""
        return next(iter(metric_names(self.metrics.get(split, {}))), None)

    def value(self, split: str = "test", metric: str | None = None) -> float | None:
        """A metric of a split, by default its main one; None if it was not measured."""
        name = metric or self.main(split)
        return None if name is None else self.metrics.get(split, {}).get(name)

    def n(self, split: str = "test") -> int:
        """The number of rows of a split that were scored; 0 if none were."""
        return int(self.metrics.get(split, {}).get("n", 0))

    @property
    def seconds(self) -> float | None:
        """Seconds from the start of the run to its scores."""
        return self.metrics.get("train", {}).get("seconds")

    @property
    def steps(self) -> int | None:
        """Optimiser steps of the training."""
        return self.metrics.get("train", {}).get("steps")


Done = Mapping[str, Figures]  # name of a child -> its figures, or why it failed


class Study(Spec):
    """The base of all studies. A subclass has a name, options as fields, and the two pure functions.

    Attributes:
        recipe: the base recipe, of which each arm overrides some keys.
        question: what is asked, in a sentence; the subclass has a default.
        seeds: how many seeds (1, 2, …), or which.
    """

    name: ClassVar[str]
    recipe: Recipe
    question: str = ""
    seeds: int | list[int] = 5

    @field_validator("seeds")
    @classmethod
    def _some(cls, value: int | list[int]) -> int | list[int]:
        given = value if isinstance(value, list) else [value]
        if not given or len(set(given)) < len(given) or min(given) < (0 if isinstance(value, list) else 1):
            raise ValueError(f"is {value}; expected a number of seeds, 1 or more, or different seeds")
        return value

    @property
    def all_seeds(self) -> list[int]:
        """The seeds themselves."""
        return self.seeds if isinstance(self.seeds, list) else list(range(1, self.seeds + 1))

    @classmethod
    def from_words(cls, overrides: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """What the overrides of a command line mean to this study: those of the base recipe, and options."""
        return list(overrides), {}

    @property
    def title(self) -> str:
        """The default name of the study's folder."""
        return f"{self.recipe.name}-{self.name}"

    @abstractmethod
    def plan(self, done: Done) -> list[Child]:
        """All children known so far; a function of what is done alone. Those that are done may be among them."""

    @abstractmethod
    def table(self, done: Done) -> Table:
        """What the children that are done say together; those that failed are in `done` with the reason."""

    def check(self) -> None:
        """Look at what the plan depends on besides the recipe, such as the data; called before anything is trained or written.

        Raises:
            BadInput: it does not fit.
        """

    def finish(self, done: Done, folder: Path) -> list[str]:
        """Write what the study leaves besides its table, such as predictions; called once all children are done.

        Returns:
            What could not be written and why, one line each.
        """
        return []

    def each_seed(self, arms: Mapping[str, Mapping[str, Any]]) -> list[Child]:
        """A child for each arm and seed, seed by seed, so that a study that is stopped has whole pairs."""
        return [Child(arm, seed, overrides) for seed in self.all_seeds for arm, overrides in arms.items()]


def recipe_of(study: Study, child: Child, children: Path) -> Recipe:
    """The recipe of a child: the base with its overrides, its seed and its folder, as `hfft train` would take them.

    A child is never published, and has no comparison from random weights besides itself, unless its overrides say so.

    Args:
        children: the folder of all children.

    Raises:
        BadInput: the overrides do not fit the recipe, or set another seed: its figures would count as this seed's.
    """
    values = study.recipe.resolved()
    values["publish"] = {}
    values["score"] = {**values["score"], "from_scratch": False}
    values["training"] = {**values["training"], "output_dir": str(children / child.name)}
    seed = child.seed if child.run_seed is None else child.run_seed
    overrides = {"training.seed": seed, **child.overrides}
    if child.begins_from is not None:
        overrides.setdefault("backbone.name", f"{CHILDREN}/{child.begins_from}/model")
    if study.recipe.tasks and "tasks" not in overrides:  # each has its own, which shared ones would not reach
        own = {key: value for key, value in overrides.items() if key.startswith("data.")}
        overrides = {key: value for key, value in overrides.items() if key not in own}
        overrides |= {f"tasks.{task.name}.{key}": value for task in study.recipe.tasks for key, value in own.items()}
    goes_on = str(overrides.get("backbone.name", "")).startswith(CHILDREN)
    where = json.dumps(str(children), ensure_ascii=False)[1:-1]
    overrides = json.loads(json.dumps(overrides, ensure_ascii=False).replace(CHILDREN, where))
    if "backbone.name" in overrides:  # what the earlier backbone was pretrained without is not the new one's
        without = UNTRAINED.get(study.recipe.backbone.name, ())
        values["head"] = {**values["head"], "new": [m for m in values["head"].get("new", []) if m not in without]}
        # a finished net is taken whole, with its weights and as it was edited, not its vectors alone
        not_its = {"revision", "rnn", "init", "edit"} if goes_on else {"revision"}
        values["backbone"] = {key: value for key, value in values["backbone"].items() if key not in not_its}
    try:
        made = load_recipe(values, *override_words(overrides))
    except BadInput as error:
        raise BadInput(*(f"child {child.name}: {line.removeprefix('recipe  ')}" for line in error.args)) from None
    if made.seed != seed:
        raise BadInput(
            f"child {child.name}: training.seed is {made.seed}; leave it out of the arms, since the study's seeds set it"
        )
    return made


def override_words(overrides: Mapping[str, Any]) -> list[str]:
    """Overrides as words of a command line: `section.key=value`, with values in JSON, which YAML reads."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in overrides.items()]


Measured = Callable[[Figures], float | None]


def cell(children: Sequence[Child], done: Done, measured: Measured, digits: int = 4) -> Cell:
    """A figure of the children of one arm, by seed; children without it are left out."""
    found = {
        child.seed: value
        for child in children
        if child.name in done and (value := measured(done[child.name])) is not None
    }
    return Cell(found, digits=digits)


def rows(
    children: Sequence[Child], done: Done, columns: Mapping[str, Measured], digits: Mapping[str, int] | None = None
) -> list[Row]:
    """A row for each arm, in the order of the children.

    Args:
        columns: column -> what it shows of a child.
        digits: column -> decimals, where it is not 4.
    """
    found = []
    for arm in dict.fromkeys(child.arm for child in children):
        mine = [child for child in children if child.arm == arm]
        cells = {name: cell(mine, done, measured, (digits or {}).get(name, 4)) for name, measured in columns.items()}
        failed = {c.seed: why for c in mine if c.name in done and (why := done[c.name].failed) is not None}
        found.append(Row(arm, cells, failed))
    return found


def against(found: Sequence[Row], column: str, base: str, name: str = "") -> list[Row]:
    """The rows with one more column: the difference of a figure to that of the arm `base`, seed by seed.

    Args:
        name: of the new column; default `minus <base>`.
    """
    theirs = next(row for row in found if row.arm == base).cells.get(column, Cell())
    return [
        replace(row, cells={**row.cells, name or f"minus {base}": row.cells[column].minus(theirs)})
        if row.arm != base and column in row.cells
        else row
        for row in found
    ]


def usual_columns(done: Done) -> dict[str, Measured]:
    """The columns that every study has: the main metric of test and of validation, seconds, steps."""
    some = [figures for figures in done.values() if figures.failed is None]
    splits = [split for split in ("test", "validation") if any(figures.main(split) for figures in some)]
    shown: dict[str, Measured] = {}
    for split in splits:
        first = next(figures for figures in some if figures.main(split))
        shown[f"{split} {first.main(split)} (n={first.n(split)})"] = lambda figures, split=split: figures.value(split)  # type: ignore[misc]
    return {**shown, "seconds": lambda figures: figures.seconds, "steps": lambda figures: figures.steps}


USUAL_DIGITS = {"seconds": 1, "steps": 0}


def scored_split(done: Done) -> tuple[str, str, int]:
    """The split that a study's answer is about, its main metric and its rows: test, or validation without one.

    Raises:
        LookupError: no child has any figures.
    """
    for split in ("test", "validation"):
        for figures in done.values():
            if (name := figures.main(split)) is not None:
                return split, name, figures.n(split)
    raise LookupError("no child was scored")


def better(metric: str, left: float, right: float) -> bool:
    """Whether the left value of a metric is better than the right one."""
    return left < right if smaller_is_better(metric) else left > right
