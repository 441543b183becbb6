"""Training rows cut to an exponential profile: the stated counts, the same rows for every reader, and told."""

import numpy as np
import pytest
from datasets import Dataset

from hfft.data.imbalance import cut, imbalance_note, profile
from hfft.errors import DataError
from hfft.tasks.labels import Labels

ABC = Labels.of("single_label_classification", "abc")


def rows(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(0).permutation(labels)
    return Dataset.from_dict({"labels": labels, "row": np.arange(len(labels)) + 5})


def test_the_profile_of_the_paper():
    # CIFAR-10-LT with ratio 100: Cui et al. 2019, and the counts of every reimplementation
    expected = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert profile(np.full(10, 5000), 100).tolist() == expected


def test_small_classes_keep_what_they_have_and_one_row_at_least():
    assert profile(np.array([100, 5, 100, 3]), 1000).tolist() == [100, 5, 1, 1]
    assert profile(np.array([7, 0, 7]), 10).tolist() == [7, 0, 1]


def test_the_rows_that_remain_are_in_order_and_those_of_a_larger_ratio_among_them():
    whole = rows(200, 200, 200)
    parts = {ratio: cut(whole, ratio, ABC, 42) for ratio in (4, 100)}
    for ratio, counts in ((4, [200, 100, 50]), (100, [200, 20, 2])):
        found, told = parts[ratio]
        assert np.bincount(found["labels"]).tolist() == counts
        assert told == {name: (200, count) for name, count in zip("abc", counts, strict=True)}
        assert found["row"] == sorted(found["row"])
    assert set(parts[100][0]["row"]) < set(parts[4][0]["row"])
    assert cut(whole, 100, ABC, 42)[0]["row"] == parts[100][0]["row"]
    assert cut(whole, 100, ABC, 43)[0]["row"] != parts[100][0]["row"]


@pytest.mark.parametrize("ratio", [None, 1])
def test_no_ratio_is_no_change(ratio):
    whole = rows(5, 5, 5)
    assert cut(whole, ratio, ABC, 42) == (whole, {})


def test_a_ratio_that_cuts_nothing_is_refused():
    with pytest.raises(DataError, match=r"data.imbalance: 2 cuts no class of train.*raise it, or leave it out"):
        cut(rows(100, 10, 1), 2, ABC, 42)


def test_the_note_gives_every_class():
    note = imbalance_note(100, {"a": (200, 200), "b": (200, 20), "c": (200, 2)})
    assert (
        note
        == "split train: 222 of 600 rows are used on purpose (data.imbalance=100): 'a' 200 of 200, 'b' 20 of 200, 'c' 2 of 200"
    )
