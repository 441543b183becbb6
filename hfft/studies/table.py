"""What a study found: cells with a value for each seed, a row for each arm, an answer in a sentence, and a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hfft.studies.intervals import Summary, summarise


@dataclass(frozen=True)
class Cell:
    """One figure of an arm: a value for each seed, or words.

    Attributes:
        values: seed -> value; a seed without a finite value is left out.
        text: shown instead of values.
        digits: decimals that are shown.
        overlap: as in `summarise`, of the folds of a cross-validation.
        signed: whether it is a difference: shown with its sign and its 95% interval, in place of its spread.
    """

    values: Mapping[int, float] = field(default_factory=dict)
    text: str | None = None
    digits: int = 4
    signed: bool = False
    overlap: float = 0.0

    def summary(self) -> Summary | None:
        """Mean, spread and interval over the seeds; None without values."""
        found = [value for value in self.values.values() if math.isfinite(value)]
        return summarise(found, overlap=self.overlap) if found else None

    def minus(self, other: Cell) -> Cell:
        """The difference on the same seeds, whose interval is that of the paired t-test."""
        pairs = {seed: value - other.values[seed] for seed, value in self.values.items() if seed in other.values}
        return Cell(pairs, digits=self.digits, signed=True)

    def __str__(self) -> str:
        """`0.9592 ± 0.0051` (mean and standard deviation), or `+0.0123 [+0.0020, +0.0226]` for a difference."""
        found = self.summary()
        if self.text is not None or found is None:
            return self.text or "–"
        sign = "+" if self.signed else ""
        mean = f"{found.mean:{sign},.{self.digits}f}"
        if found.n == 1:
            return mean
        if self.signed:
            return f"{mean} [{found.low:+,.{self.digits}f}, {found.high:+,.{self.digits}f}]"
        return f"{mean} ± {found.sd:,.{self.digits}f}"

    def plain(self) -> dict[str, Any] | str:
        """The cell as JSON values."""
        found = self.summary()
        if self.text is not None or found is None:
            return self.text or ""
        limits = {} if found.n == 1 else {"low": found.low, "high": found.high}
        return {
            "seeds": {str(seed): value for seed, value in sorted(self.values.items())},
            "mean": found.mean,
            "sd": found.sd,
            "n": found.n,
            **limits,
        }


@dataclass(frozen=True)
class Row:
    """One arm of a study.

    Attributes:
        cells: column -> cell; a column that is missing is shown as a dash.
        failed: seed -> why that child failed.
    """

    arm: str
    cells: Mapping[str, Cell] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """The seeds that any cell has a value of, ascending."""
        return sorted({seed for cell in self.cells.values() for seed in cell.values})


@dataclass(frozen=True)
class Line:
    """A series of a plot: points (x, mean, low, high), in which low and high may be the mean itself."""

    name: str
    points: Sequence[tuple[float, float, float, float]]

    @classmethod
    def of(cls, name: str, cells: Mapping[float, Cell]) -> Line:
        """A line of the cells at each x, with their intervals; cells without values are left out."""
        points = []
        for x, cell in sorted(cells.items()):
            if (found := cell.summary()) is not None:
                spread = (found.low, found.high) if found.n > 1 else (found.mean, found.mean)
                points.append((x, found.mean, *spread))
        return cls(name, points)


@dataclass(frozen=True)
class Plot:
    """The figure of a study: lines over a number.

    Attributes:
        log: whether the axis of x is logarithmic.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    log: bool = False


@dataclass(frozen=True)
class Matrix:
    """A table of figures of one arm, such as the score of each task after each other one.

    Attributes:
        rows, columns: their names, from the top and from the left.
        cells: for each row a cell for each column.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[Cell]]

    def lines(self) -> list[str]:
        """The matrix as lines of a terminal: means alone."""
        shown = [[_mean(cell) for cell in row] for row in self.cells]
        first = max(map(len, self.rows), default=0)
        widths = [max(len(name), *(len(row[i]) for row in shown)) for i, name in enumerate(self.columns)]
        head = "  ".join([" " * first, *(name.rjust(w) for name, w in zip(self.columns, widths, strict=True))])
        body = [
            "  ".join([name.ljust(first), *(text.rjust(w) for text, w in zip(row, widths, strict=True))])
            for name, row in zip(self.rows, shown, strict=True)
        ]
        return [self.title, head.rstrip(), *(line.rstrip() for line in body)]

    def plain(self) -> dict[str, Any]:
        """The matrix as JSON values."""
        cells = [[cell.plain() for cell in row] for row in self.cells]
        return {"title": self.title, "rows": list(self.rows), "columns": list(self.columns), "cells": cells}


def _mean(cell: Cell) -> str:
    found = cell.summary()
    return "" if found is None else f"{found.mean:.{min(cell.digits, 3)}f}"


@dataclass(frozen=True)
class Table:
    """What a study found.

    Attributes:
        answer: one sentence that answers the study's question, with split, n and number of seeds.
        columns: the columns in order; the first is the one that the figure shows.
        plots: the figures of the page; without any it shows the first column of each arm with its interval.
        notes: remarks, one line each: what did not reproduce, what was left out.
        matrices: further tables, one for each arm that has one.
    """

    answer: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()
    matrices: tuple[Matrix, ...] = ()

    def row(self, arm: str) -> Row:
        """The row of an arm.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if row.arm == arm:
                return row
        raise KeyError(arm)

    @property
    def failed(self) -> list[str]:
        """`arm, seed 3: why` for each child that failed."""
        return [f"{row.arm}, seed {seed}: {why}" for row in self.rows for seed, why in sorted(row.failed.items())]

    def lines(self) -> list[str]:
        """The answer and the table as lines of a terminal."""
        heads = ["", *self.columns, "n"]
        body = [
            [row.arm, *(str(row.cells.get(name, Cell())) for name in self.columns), str(len(row.seeds))]
            for row in self.rows
        ]
        widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]
        shown = [
            "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths)))  # noqa: B905
            for line in [heads, *body]
        ]
        further = [line for matrix in self.matrices for line in ("", *matrix.lines())]
        further += [""] if further else []
        return [self.answer, "", *(line.rstrip() for line in shown), *further, *self.notes, *self.failed]

    def plain(self) -> dict[str, Any]:
        """The table as JSON values."""
        return {
            "answer": self.answer,
            "columns": list(self.columns),
            "rows": [
                {
                    "arm": row.arm,
                    "cells": {name: row.cells[name].plain() for name in self.columns if name in row.cells},
                    "failed": {str(seed): why for seed, why in sorted(row.failed.items())},
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
            **({"matrices": [matrix.plain() for matrix in self.matrices]} if self.matrices else {}),
        }
