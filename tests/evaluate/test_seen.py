"""Held-out rows whose content was trained on."""

import numpy as np

from hfft.evaluate.seen import seen_line, seen_rows


def test_rows_are_counted_by_content_and_what_is_not_read_is_none():
    content = {"train": np.array([1, 2]), "validation": np.array([0, 3, 3, 4]), "test": np.array([5, 0])}
    assert seen_rows(content, np.array([0, 2, 3])) == {"validation": 2}
    assert seen_rows({}, np.array([1])) == {}


def test_the_line_has_both_counts():
    assert (
        seen_line("test", 3, 8)
        == "test: 3 of its 8 rows are also among the training rows: its metrics are too optimistic"
    )
