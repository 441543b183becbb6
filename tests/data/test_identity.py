"""What makes rows the same rows, and how many tokens each has."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from hfft.data.identity import identity, token_counts


def test_rows_in_memory_are_their_names_types_and_values():
    rows = [{"input_ids": [1, 2], "labels": 0}, {"input_ids": [3], "labels": 1}]
    assert identity(rows) == identity([{"input_ids": torch.tensor([1, 2]), "labels": 0}, rows[1]])
    for other in (
        rows[:1],
        rows[::-1],
        [{"input_ids": [1, 2], "labels": 1}, rows[1]],
        [{"input_ids": [1.0, 2.0], "labels": 0}, rows[1]],
        [{"input_ids": [[1, 2]], "labels": 0}, rows[1]],
        [{"ids": [1, 2], "labels": 0}, rows[1]],
    ):
        assert identity(other) != identity(rows)


def test_a_table_is_its_columns_and_values_however_it_is_put_together(monkeypatch):
    rows = Dataset.from_dict({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert identity(rows) == identity(rows.select([0, 2, 1]).select([0, 2, 1]))
    for other in (rows.select([0, 1]), rows.select([1, 0, 2]), rows.rename_column("a", "c")):
        assert identity(other) != identity(rows)
    monkeypatch.setattr("hfft.data.identity.WHOLE", 1)
    assert identity(rows) == identity(rows)
    assert identity(rows) != identity(rows.select([0, 1, 2]).map(lambda row: {"a": row["a"] + 1}))


def test_what_cannot_be_told_is_an_error():
    for rows in (iter([1]), [1, 2], "rows"):
        with pytest.raises(TypeError, match="rows of type"):
            identity(rows)


def test_tokens_are_counted_where_rows_are_of_tokens():
    ids = [[1, 2, 3], [], [4]]
    for rows in ([{"input_ids": row} for row in ids], Dataset.from_dict({"input_ids": ids})):
        found = token_counts(rows)
        assert found.tolist() == [3, 0, 1]
        assert found.dtype == np.int64
    for rows in ([], [{"pixel_values": 1}], Dataset.from_dict({"a": [1]}), (), ({"input_ids": [1]},), None):
        assert token_counts(rows) is None
