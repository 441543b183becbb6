"""The number of rows of each class, in each split."""

import pytest
from datasets import Dataset

from hfft.data.class_counts import absent_notes, class_counts, describe_counts
from hfft.tasks.labels import Labels

SINGLE, MULTI = "single_label_classification", "multi_label_classification"


def rows(*labels):
    return Dataset.from_dict({"labels": list(labels)})


def test_every_class_of_every_split_is_counted():
    splits = {"train": rows(0, 1, 1, 0, 1), "test": rows(1).select([0])}
    assert class_counts(splits, Labels.of(SINGLE, "ab")) == {"train": {"a": 2, "b": 3}, "test": {"a": 0, "b": 1}}
    part = rows(0, 0, 1).select([2, 0])
    assert class_counts({"train": part}, Labels.of(SINGLE, "abc")) == {"train": {"a": 1, "b": 1, "c": 0}}


def test_a_row_counts_for_each_of_its_classes():
    splits = {"train": rows([1.0, 0.0], [1.0, 1.0], [0.0, 0.0]).select([1, 0])}
    assert class_counts(splits, Labels.of(MULTI, "ab")) == {"train": {"a": 2, "b": 1}}


@pytest.mark.parametrize("problem", ["regression", "masked_language_modelling"])
def test_numbers_are_not_counted(problem):
    assert class_counts({"train": rows([1.0])}, Labels(problem, (), 1)) == {}


def test_few_classes_are_listed_and_of_many_the_smallest_and_the_largest():
    few = {"train": {"a": 2, "b\n": 3}, "test": {"a": 1, "b\n": 0}}
    assert describe_counts(few) == "train (a: 2, b\\n: 3); test (a: 1, b\\n: 0)"
    many = {f"c{i}": 5 + (i * 7) % 11 for i in range(11)}
    assert describe_counts({"train": many}) == "train (11 classes, from c0: 5 to c3: 15)"
    assert describe_counts({}) == ""


@pytest.mark.parametrize(
    ("counts", "notes"),
    [
        ({"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 2}}, []),
        (
            {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 0}},
            ["split test has no row of class 'b'; figures on this split say nothing about it"],
        ),
        (
            {"train": {"a": 1, "b": 0, "c": 1}, "test": {"a": 0, "b": 0, "c": 9}},
            [
                "split train has no row of class 'b'; the model cannot learn it",
                "split test has no row of class 'a'; figures on this split say nothing about it",
            ],
        ),
        (
            {"train": dict.fromkeys("abcd", 1), "validation": {**dict.fromkeys("abcd", 0), "d": 1}},
            [
                "split validation has no row of 3 of 4 classes: 'a', 'b', 'c'; figures on this split say nothing about them"
            ],
        ),
    ],
)
def test_a_split_that_lacks_classes_is_told(counts, notes):
    assert absent_notes(counts) == notes
