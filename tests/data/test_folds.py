"""Folds of a cross-validation as splits of the data."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from sklearn.model_selection import KFold, StratifiedKFold

from hfft.data.load import load_splits
from hfft.data.rows_spec import Fold
from hfft.data.spec import Data
from hfft.data.splits import column, fold_apart
from hfft.errors import DataError, RecipeError
from hfft.recipe import load_recipe
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS

LABELS = np.array([0] * 20 + [1] * 9 + [2] * 2)[np.random.default_rng(0).permutation(31)]


def rows(labels=LABELS) -> Dataset:
    return Dataset.from_dict({"labels": list(labels), "row": list(range(len(labels)))})


def numbers(part: Dataset) -> list[int]:
    return column(part, "row").to_numpy().tolist()


@pytest.mark.parametrize("seed", [0, 5])
def test_folds_are_those_of_scikit_learn(seed):
    meaning = Labels.of("single_label_classification", ["a", "b", "c"])
    splitter = StratifiedKFold(4, shuffle=True, random_state=seed)
    with pytest.warns(UserWarning, match="least populated"):
        expected = list(splitter.split(LABELS, LABELS))
    found = [fold_apart(rows(), Fold(of=4, number=i, seed=seed), meaning) for i in (1, 2, 3, 4)]
    assert [numbers(inside) for _, inside in found] == [part.tolist() for _, part in expected]
    assert [numbers(outside) for outside, _ in found] == [part.tolist() for part, _ in expected]
    assert sorted(row for _, inside in found for row in numbers(inside)) == list(range(31))


def test_without_classes_folds_are_drawn_from_all_rows():
    expected = list(KFold(3, shuffle=True, random_state=1).split(range(31)))
    _, inside = fold_apart(rows(), Fold(of=3, number=2, seed=1), Labels("regression", (), 1))
    assert numbers(inside) == expected[1][1].tolist()


@pytest.mark.parametrize(
    ("labels", "of", "message"),
    [
        ([0, 0, 0, 0, 1], 2, "class b has a single row"),
        ([0, 1], 3, "2 rows cannot be divided into 3 folds"),
        ([0, 0, 1, 1], 3, "no class has more than 2 rows; use at most 2 folds"),
    ],
)
def test_folds_that_cannot_be_are_refused(labels, of, message):
    with pytest.raises(DataError, match=message):
        fold_apart(rows(labels), Fold(of=of, number=1), Labels.of("single_label_classification", ["a", "b"]))


@pytest.fixture
def table(tmp_path):
    """A data set of its own three splits, as a hub's folder holds it."""
    names = ["no", "yes"]
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    made = {
        split: Dataset.from_dict(
            {"text": [f"{split} number {i}" for i in range(count)], "label": [i % 2 for i in range(count)]}, features
        )
        for split, count in (("train", 40), ("validation", 10), ("test", 8))
    }
    datasets.DatasetDict(made).save_to_disk(tmp_path / "data")
    return str(tmp_path / "data")


@pytest.mark.parametrize("validation", [None, 0.25])
def test_each_row_of_train_is_in_the_test_split_of_one_fold(table, validation):
    seen = []
    for number in (1, 2, 3, 4):
        data = Data(path=table, validation=validation, fold=Fold(of=4, number=number, seed=3))
        splits, _ = load_splits(data, TASKS["text-classification"], seed=number)
        parts = {name: column(part, "text").to_pylist() for name, part in splits.items()}
        assert not {*parts["train"]} & {*parts["test"]}
        assert len(parts["test"]) == 10
        assert len(parts["validation"]) == (10 if validation is None else 8)
        assert splits.classes["test"] == {"no": 5, "yes": 5}
        assert splits.origin["test"] == f"fold {number} of 4 of train, stratified, seed 3"
        seen += parts["test"]
    assert sorted(seen) == sorted(f"train number {i}" for i in range(40))


def test_the_seed_of_the_data_holds_its_draws_whatever_the_runs_seed(table):
    def drawn(run: int, **more) -> list[int]:
        data = Data(path=table, validation=0.25, max_train_samples=12, **more)
        return numbers(load_splits(data, TASKS["text-classification"], run)[0].train)

    assert drawn(1, seed=7) == drawn(2, seed=7) == drawn(7)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.fold={of: 3, number: 4}", r"number is 4; expected at most 3"),
        ("data.fold={of: 1, number: 1}", r"fold.of: is 1; expected greater than or equal to 2"),
        ("data.test=0.1", r"has a fold, whose rows are the test split, and test=0.1; leave data.test out"),
        ("data.streaming=true", r"which needs all rows at once, and streaming; leave one of them out"),
    ],
)
def test_a_fold_that_does_not_fit_the_rest_is_refused(override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("digits", "data.fold={of: 3, number: 1}", override)
