"""How much do the seeds matter: the same recipe with several seeds."""

from __future__ import annotations

from typing import ClassVar

from hfft.studies.study import USUAL_DIGITS, Child, Done, Study, cell, rows, scored_split, usual_columns
from hfft.studies.table import Table


class Seeds(Study):
    """The same recipe with several seeds, which draw the new head, the order, and the rows that a recipe draws."""

    name: ClassVar[str] = "seeds"
    question: str = "How much does the result depend on the seed?"

    def plan(self, done: Done) -> list[Child]:
        """A child for each seed."""
        return self.each_seed({"recipe": {}})

    def table(self, done: Done) -> Table:
        """Mean, spread and interval over the seeds."""
        children = self.plan(done)
        found = rows(children, done, columns := usual_columns(done), USUAL_DIGITS)
        return Table(self._answer(children, done), tuple(columns), tuple(found))

    def _answer(self, children: list[Child], done: Done) -> str:
        try:
            split, metric, n = scored_split(done)
        except LookupError:
            return f"{self.recipe.name}: no seed has finished."
        summary = cell(children, done, lambda figures: figures.value(split)).summary()
        assert summary is not None
        if summary.n == 1:
            return f"{self.recipe.name}: {split} {metric} {summary.mean:.4f} (n={n}, one seed: no spread)."
        return (
            f"{self.recipe.name}: {split} {metric} {summary.mean:.4f} ± {summary.sd:.4f} over {summary.n} seeds, 95% interval "
            f"of the mean [{summary.low:.4f}, {summary.high:.4f}] (n={n})."
        )
