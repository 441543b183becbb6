"""Training rows and those of further sets under one numbering, as lists of rows and as ragged columns."""

import numpy as np
import pytest

from hfft.data.joined_rows import JoinedRows, joined, reordered


class Columns:
    """Rows as ragged columns, as those of texts are fetched: row i has i % 3 + 1 values."""

    def __init__(self, start, count):
        self.start, self.count = start, count
        self.lengths = np.array([i % 3 + 1 for i in range(count)])

    def __len__(self):
        return self.count

    def __getitems__(self, indices):
        values = [np.full(i % 3 + 1, self.start + i) for i in indices]
        return {"ids": (np.concatenate(values), np.array([len(v) for v in values]))}


def test_rows_come_in_the_order_that_is_asked_for():
    rows = JoinedRows(list("abc"), {"x": list("de"), "y": list("fgh")})
    assert len(rows) == 8
    assert rows.offsets == {None: 0, "x": 3, "y": 5}
    assert rows.__getitems__([7, 0, 3, 4, 0, 2, 5]) == list("hadeacf")
    assert rows[5] == ["f"]


@pytest.mark.parametrize("order", [[0, 1, 4, 6], [6, 0, 5, 1, 1, 4]])
def test_ragged_columns_are_joined_and_reordered(order):
    rows = JoinedRows(Columns(0, 4), {"x": Columns(100, 3)})
    assert rows.lengths.tolist() == [1, 2, 3, 1, 1, 2, 3]
    values, lengths = rows.__getitems__(order)["ids"]
    expected = [[i] * (i % 3 + 1) if i < 4 else [100 + i - 4] * ((i - 4) % 3 + 1) for i in order]
    assert values.tolist() == [value for row in expected for value in row]
    assert lengths.tolist() == [len(row) for row in expected]


def test_what_is_in_order_is_not_copied():
    found = joined([["a"], ["b"]])
    assert reordered(found, np.arange(2)) is found


def test_the_identity_is_that_of_all_parts():
    train, other = [{"x": np.ones(2)}], [{"x": np.zeros(2)}]
    found = {JoinedRows(train, sets).identity() for sets in ({}, {"t": other}, {"t": train}, {"t": other, "u": other})}
    assert len(found) == 4
