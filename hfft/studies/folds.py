"""How good is a recipe on unseen rows: stratified cross-validation, with an out-of-fold prediction for each row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from hfft.evaluate.intervals import wilson
from hfft.studies.folder import PREDICTIONS
from hfft.studies.study import USUAL_DIGITS, Child, Done, Study, rows, usual_columns
from hfft.studies.table import Cell, Row, Table
from hfft.wording import listing

ALL = "all folds"


class Folds(Study):
    """Cross-validation over the training rows: each row is in the test split of one fold (`data.fold`).

    Besides the table it writes `out_of_fold-<seed>.csv`, a prediction for each row by the model that did not see it, and
    the same as `.safetensors`, which `hfft.evaluate.outputs.Outputs` reads.

    Attributes:
        folds: number of folds.
        seeds: how many repetitions, each with other folds.
    """

    name: ClassVar[str] = "folds"
    question: str = "How good is the recipe on rows that it was not trained on?"
    folds: int = Field(default=5, ge=2)
    seeds: int | list[int] = 1

    @model_validator(mode="after")
    def _whole(self) -> Folds:
        if self.recipe.data.streaming:
            raise ValueError("need all rows at once, which data.streaming does not have")
        return self

    def plan(self, done: Done) -> list[Child]:
        """A child for each seed and fold."""
        return [self._child(number, seed) for seed in self.all_seeds for number in range(1, self.folds + 1)]

    def _child(self, number: int, seed: int) -> Child:
        fold = {"of": self.folds, "number": number, "seed": seed}
        return Child(f"fold-{number}", seed, {"data.test": None, "data.fold": fold})

    def table(self, done: Done) -> Table:
        """The figures of each fold, and of all with an interval that knows that training rows overlap."""
        children = self.plan(done)
        found = rows(children, done, columns := usual_columns(done), USUAL_DIGITS)
        test = next((name for name in columns if name.startswith("test ")), None)
        if test is None:
            return Table(f"{self.recipe.name}: no fold has finished.", tuple(columns), tuple(found))
        first, measured = test.partition(" (n=")[0], columns[test]
        columns = {first if name == test else name: value for name, value in columns.items()}
        found = [Row(row.arm, {**_renamed(row, test, first)}, row.failed) for row in found]
        scored = [child for child in children if child.name in done and measured(done[child.name]) is not None]
        # the key is the place of a child: with several seeds each fold has several values
        values = {i: done[child.name].value("test") for i, child in enumerate(scored, 1)}
        counts = [done[child.name].n("test") for child in scored]
        whole = Cell({i: value for i, value in values.items() if value is not None}, overlap=1 / (self.folds - 1))
        found.append(Row(ALL, {first: whole}))
        return Table(self._answer(first, whole, counts, list(values.values())), tuple(columns), tuple(found))

    def _answer(self, column: str, whole: Cell, counts: Sequence[int], values: Sequence[float | None]) -> str:
        summary, metric = whole.summary(), column.removeprefix("test ")
        assert summary is not None
        said = f"{self.recipe.name}: out-of-fold {metric} {whole} over {summary.n} of {self.folds * len(self.all_seeds)} folds"
        if summary.n > 1:
            said += f", 95% interval [{summary.low:.4f}, {summary.high:.4f}] with overlapping training rows counted"
        if metric == "accuracy" and len(self.all_seeds) == 1:
            right = sum(round(value * n) for value, n in zip(values, counts, strict=True) if value is not None)
            low, high = wilson(right, sum(counts))
            said += f"; {right:,} of {sum(counts):,} rows right, 95% interval [{low:.4f}, {high:.4f}]"
        return f"{said} (n={sum(counts):,})."

    def finish(self, done: Done, folder: Path) -> list[str]:
        """Write the predictions of all rows, for each seed whose folds are all there."""
        from hfft.studies.out_of_fold import gathered, write_outputs

        absent = []
        for seed in self.all_seeds:
            children = [self._child(number, seed) for number in range(1, self.folds + 1)]
            name = f"{PREDICTIONS}-{seed}"
            failed = [child.arm for child in children if child.name not in done or done[child.name].failed is not None]
            try:
                if failed:
                    raise LookupError(f"{listing(failed)} failed")
                found = gathered(self, children, folder)
            except LookupError as error:
                absent.append(f"{name}.csv is not written: {error.args[0]}")
                continue
            write_outputs(found, folder / f"{name}.safetensors")
            _write_csv(found.table(), folder / f"{name}.csv")
        return absent


def _renamed(row: Row, old: str, new: str) -> dict[str, Cell]:
    return {new if name == old else name: cell for name, cell in row.cells.items()}


def _write_csv(lines: Sequence[Sequence[Any]], path: Path) -> None:
    from hfft.runs.folder import write

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write(path, text.getvalue())
