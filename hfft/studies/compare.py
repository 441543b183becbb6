"""Which of some arms is better: the same recipe with some overrides each, on the same seeds."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from hfft.studies.study import USUAL_DIGITS, Child, Done, Study, against, rows, scored_split, usual_columns
from hfft.studies.table import Table


class Compare(Study):
    """Arms of a recipe, each with some overrides, beside the first one on the same seeds.

    Attributes:
        arms: name of an arm -> `section.key` -> value.
    """

    name: ClassVar[str] = "compare"
    question: str = "Which arm is better?"
    arms: dict[str, dict[str, Any]] = Field(min_length=1)

    @field_validator("arms")
    @classmethod
    def _named(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for arm, overrides in value.items():
            Child(arm, 0, overrides)  # raises ValueError if the name cannot be a folder's
        return value

    def plan(self, done: Done) -> list[Child]:
        """A child for each seed and arm."""
        return self.each_seed(self.arms)

    def table(self, done: Done) -> Table:
        """The usual figures of each arm, and the differences to the first one."""
        found = rows(self.plan(done), done, columns := usual_columns(done), USUAL_DIGITS)
        try:
            split, metric, n = scored_split(done)
        except LookupError:
            return Table(f"{self.recipe.name}: no run has finished.", tuple(columns), tuple(found))
        base, first = found[0].arm, next(iter(columns))
        found = against(found, first, base)
        says = []
        for row in found[1:]:
            summary = row.cells.get(f"minus {base}", row.cells[first]).summary() if row.cells[first].values else None
            if summary is None:
                continue
            limits = f" [{summary.low:+.4f}, {summary.high:+.4f}]" if summary.n > 1 else ""
            doubt = "" if summary.differs else ", which may be nothing"
            says.append(f"{row.arm} {summary.mean:+.4f}{limits}{doubt}")
        seeds = len(found[0].seeds)
        answer = f"{self.recipe.name}, {split} {metric} beside {base}: {'; '.join(says) or 'no other arm has finished'} (n={n}, "
        shown = (first, f"minus {base}", *list(columns)[1:])
        return Table(f"{answer}{seeds} seed{'s' if seeds != 1 else ''}).", shown, tuple(found))
