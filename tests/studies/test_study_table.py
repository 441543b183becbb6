"""Cells, rows and what a terminal shows of them."""

from __future__ import annotations

import json
import math

import pytest
from scipy import stats

from hfft.studies.table import Cell, Line, Row, Table

OURS, THEIRS = Cell({1: 0.9, 2: 0.94, 3: 0.92}), Cell({3: 0.9, 1: 0.89, 4: 0.1})


def test_a_cell_shows_mean_and_spread_and_a_difference_its_interval():
    assert str(OURS) == "0.9200 ± 0.0200"
    assert str(Cell({5: 12.345}, digits=1)) == "12.3"
    assert str(Cell()) == "–"
    assert str(Cell(text="none")) == "none"
    assert str(Cell({1: math.nan, 2: 1.0})) == "1.0000", "a value that is not finite is left out"
    assert str(Cell({1: 0.5, 2: -0.1}, signed=True)).startswith("+0.2000 [-")


def test_a_difference_pairs_the_seeds_that_both_have():
    found = OURS.minus(THEIRS)
    assert found.values == pytest.approx({1: 0.01, 3: 0.02})
    expected = stats.ttest_rel([0.9, 0.92], [0.89, 0.9]).confidence_interval(0.95)
    summary = found.summary()
    assert (summary.low, summary.high) == pytest.approx((expected.low, expected.high))


def test_a_table_as_lines_and_as_json():
    table = Table("The answer.", ("acc", "s"), (Row("a", {"acc": OURS}), Row("b", {"s": Cell({1: 2.0})}, {2: "why"})))
    lines = table.lines()
    assert lines[0] == "The answer."
    assert lines[2].split() == ["acc", "s", "n"]
    assert lines[3].split() == ["a", "0.9200", "±", "0.0200", "–", "3"]
    assert lines[-1] == "b, seed 2: why"
    found = json.loads(json.dumps(table.plain()))
    assert found["rows"][0]["cells"]["acc"]["seeds"] == {"1": 0.9, "2": 0.94, "3": 0.92}
    assert found["rows"][0]["cells"]["acc"]["n"] == 3
    assert found["rows"][1]["failed"] == {"2": "why"}
    assert "low" not in found["rows"][1]["cells"]["s"], "JSON has no infinity"
    assert table.row("b").seeds == [1]
    with pytest.raises(KeyError):
        table.row("c")


def test_a_line_of_cells_leaves_out_those_without_values():
    line = Line.of("x", {30: OURS, 1: Cell({1: 0.5}), 3: Cell()})
    assert line.points[0] == (1, 0.5, 0.5, 0.5)
    assert [x for x, *_ in line.points] == [1, 30]
    assert line.points[1][2] < line.points[1][1] < line.points[1][3]
