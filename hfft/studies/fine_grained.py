"""Does pretraining gain less where classes look alike: the gain over rows, for look-alike and for different classes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from hfft.studies.arms import Arms, seeds_in_words
from hfft.studies.scratch import RANDOM
from hfft.studies.study import Child, Done, Numbers, Study, Words, ascending
from hfft.studies.table import Cell, Line, Plot, Row, Table

GROUPS = ("look-alike", "different")


class FineGrained(Study):
    """The gain of pretraining over rows of each class, for classes that look alike and for as many that differ.

    With many rows, pretraining on ImageNet gained little on cars and aircraft (Kornblith et al. 2019, arXiv:1805.08974).
    That is not expected to reproduce with few rows, where the gain shrinks with the ease of the task instead.

    Attributes:
        look_alike, different: the classes of each group, as many in both.
        rows: training rows of each class.
    """

    name: ClassVar[str] = "fine-grained"
    question: str = "Does pretraining gain less where classes look alike?"
    look_alike: Words
    different: Words
    rows: Annotated[Numbers, ascending("numbers of rows")] = Field(default=[5, 20, 80])

    @model_validator(mode="after")
    def _alike(self) -> FineGrained:
        sizes = len(set(self.look_alike)), len(set(self.different))
        if sizes[0] != sizes[1] or sizes[0] < 2:
            raise ValueError(
                f"has {sizes[0]} look-alike and {sizes[1]} different classes; give as many of both, 2 or more"
            )
        return self

    def classes(self, group: str) -> list[str]:
        """The classes of a group."""
        return self.look_alike if group == GROUPS[0] else self.different

    def plan(self, done: Done) -> list[Child]:
        """A child for each group, number of rows, start and seed."""
        arms: dict[str, dict[str, Any]] = {}
        for group in GROUPS:
            for rows in self.rows:
                some = {"data.classes": self.classes(group), "data.max_train_samples": rows * len(self.classes(group))}
                arms[f"{group}-{rows}"] = some
                arms[f"{group}-{rows}-random"] = {**some, **RANDOM}
        return self.each_seed(arms)

    def table(self, done: Done) -> Table:
        """A row for each group and number of rows: both starts and the gain."""
        arms = Arms.of(done, self.all_seeds)
        gains: dict[tuple[str, int], Cell] = {}
        found = []
        for group in GROUPS:
            for rows in self.rows:
                name = f"{group}-{rows}"
                ours, theirs = arms.cell(name), arms.cell(f"{name}-random")
                gains[group, rows] = ours.minus(theirs)
                cells = {"pretrained": ours, "random": theirs, "gain": gains[group, rows]}
                failed = arms.failed(name, f"{name}-random")
                found.append(Row(f"{group}, {rows} rows a class", cells, failed))
        lines = tuple(Line.of(group, {rows: gains[group, rows] for rows in self.rows}) for group in GROUPS)
        plot = Plot("Gain of pretraining", "rows of each class", f"gain of {arms.heading}", lines, log=True)
        notes = ("differences of gains are of different test rows: those of each group's classes",)
        return Table(self._answer(arms, gains), ("pretrained", "random", "gain"), tuple(found), (plot,), notes)

    def scored(self, arms: Arms, group: str) -> int:
        """The number of rows on which a group's runs were scored."""
        return max((figures.n(arms.split) for name, figures in arms.done.items() if name.startswith(group)), default=0)

    def _answer(self, arms: Arms, gains: dict[tuple[str, int], Cell]) -> str:
        apart = {rows: gains[GROUPS[0], rows].minus(gains[GROUPS[1], rows]) for rows in self.rows}
        there = {rows: cell for rows, cell in apart.items() if cell.values}
        if not there:
            return f"{self.recipe.name}: nothing to compare yet."
        # The effect that is looked for is a smaller gain for classes that look alike, with the most rows.
        most = max(there)
        found = there[most].summary()
        assert found is not None
        if found.n == 1 or not found.differs:
            outcome = "is neither smaller nor larger for sure, so that the published effect does not reproduce here"
        elif arms.sign * found.mean < 0:
            outcome = "is smaller, as published for many rows"
        else:
            outcome = "is larger: the published effect does not reproduce here"
        sizes = " and ".join(str(self.scored(arms, group)) for group in GROUPS)
        said = ", ".join(f"{arms.difference(cell)} with {rows} rows of each class" for rows, cell in there.items())
        return (
            f"{self.recipe.name}: beside different classes, the gain of pretraining on look-alike ones {outcome} "
            f"({arms.heading}: {said}; {seeds_in_words(found.n)}, n={sizes})."
        )
