"""A few training rows of each class: balanced, nested, the same for any training.seed, told; the other splits stay."""

import numpy as np
import pytest
from datasets import Dataset

from hfft.data.load import load_splits
from hfft.data.shots import chosen, without
from hfft.data.spec import Data
from hfft.errors import DataError, RecipeError
from hfft.recipe import load_recipe
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS

ABC = Labels.of("single_label_classification", "abc")
TEXTS = TASKS["text-classification"]


def rows(*counts):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return Dataset.from_dict({"labels": labels, "row": np.arange(len(labels)) + 5})


def spec(**options):
    return Data(path="x", **options)


@pytest.fixture
def table(tmp_path):
    """A function that writes a table of texts of three classes and loads it: (splits, their meaning)."""
    lines = ["text,label", *(f"text {i} of it,{'abc'[i % 3]}" for i in range(90))]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    (tmp_path / "test.csv").write_text("text,label\nnew,a\nnewer,b\nnewest,c\n")

    def load(seed=42, *, texts=None, **options):
        if texts is not None:
            (tmp_path / "train.csv").write_text("\n".join(["text,label", *texts]))
        return load_splits(Data(path=str(tmp_path), **options), TEXTS, seed)[0]

    return load


def test_so_many_rows_of_each_class_in_order_and_fewer_shots_among_more():
    whole, before = rows(40, 10, 25), set()
    for shots in (1, 4, 8, 10):
        few = chosen(whole, spec(shots=shots), ABC)
        assert np.bincount(few["labels"]).tolist() == [shots] * 3
        assert few["row"] == sorted(few["row"])
        assert before < set(few["row"])
        before = set(few["row"])
    assert chosen(whole, spec(shots=8, shots_seed=1), ABC)["row"] != chosen(whole, spec(shots=8), ABC)["row"]


def test_all_rows_are_as_likely():
    whole, taken = rows(4, 4), np.zeros(8)
    two = Labels.of("single_label_classification", "ab")
    for seed in range(100):
        taken[np.array(chosen(whole, spec(shots=2, shots_seed=seed), two)["row"]) - 5] += 1
    np.testing.assert_allclose(taken / 100, 0.5, atol=0.2)  # 4 standard deviations


def test_a_class_with_fewer_rows_is_refused_with_its_count():
    said = r"data.shots: 8 rows of each class are more than train has of 'b' \(7\), 'c' \(0\); lower it, or leave"
    with pytest.raises(DataError, match=said):
        chosen(rows(20, 7), spec(shots=8), ABC)


def test_a_limit_below_the_shots_is_refused_and_one_above_changes_nothing():
    with pytest.raises(DataError, match=r"data.shots: 4 rows of each of 3 classes are 12, more than .*_samples=11"):
        chosen(rows(9, 9, 9), spec(shots=4, max_train_samples=11), ABC)
    assert chosen(rows(9, 9, 9), spec(shots=4, max_train_samples=12), ABC)["row"]


def test_the_rows_do_not_depend_on_the_seed_or_the_share_and_the_validation_has_none_of_them(table):
    whole, found = table(validation=0.3), []
    for seed, options in ((42, {"validation": 0.3}), (7, {"validation": 0.3}), (7, {}), (7, {"validation": "none"})):
        few = table(seed, shots=5, **options)
        found.append(few.train["text"])
        if few.validation is not None:
            assert not set(few.validation["text"]) & set(few.train["text"])
        if seed == 42:
            assert set(few.validation["text"]) == set(whole.validation["text"]) - set(few.train["text"])
            assert few.validation["text"] != whole.validation["text"]
        assert few.test["text"] == whole.test["text"]
    assert found == [found[0]] * 4
    assert table(validation=0.3, shots=5, shots_seed=1).train["text"] != found[0]


def test_a_validation_of_which_nothing_is_left_is_refused():
    few = rows(2, 2, 2)
    with pytest.raises(DataError, match=r"data.validation: data.shots takes all of its rows"):
        without(few, {"validation": few.select([1, 4])})


def test_it_is_told_and_in_the_origin(table):
    few = table(shots=5, validation="none")
    assert few.classes["train"] == {"a": 5, "b": 5, "c": 5}
    assert few.origin["train"] == "train, 5 rows of each class, shots_seed 0"
    told = "split train: 5 rows of each of 3 classes are used, 15 of 90 (data.shots=5, data.shots_seed=0)"
    assert told in few.notes


def test_of_chosen_classes_the_same_rows(table):
    three, two = (table(shots=5, validation="none", **o).train for o in ({}, {"classes": ["c", "a"]}))
    names = dict(zip(three["text"], three["labels"], strict=True))
    assert two["text"] == [text for text in three["text"] if names[text] != 1]
    assert set(two["labels"]) == {0, 1}


def test_shots_come_from_outside_the_fold_that_is_held_out(table):
    few, whole = (table(validation="none", fold={"number": 2, "of": 3}, **o) for o in ({"shots": 5}, {}))
    assert few.classes["train"] == {"a": 5, "b": 5, "c": 5}
    assert set(few.train["text"]) < set(whole.train["text"])
    assert few.test["text"] == whole.test["text"]


def test_noise_and_imbalance_change_the_shots(table):
    plain = table(shots=8, validation="none")
    wrong = table(shots=8, validation="none", label_noise={"pair": 0.5})
    assert wrong.train["text"] == plain.train["text"]
    assert 0 < wrong.wrong_labels["train"] == sum(np.array(wrong.train["labels"]) != plain.train["labels"])
    cut = table(shots=8, validation="none", imbalance=4.0)
    assert list(cut.classes["train"].values()) == [8, 4, 2]
    assert set(cut.train["text"]) < set(plain.train["text"])


def test_a_row_without_text_leaves_its_class_short_which_is_refused(table):
    texts = [f"{'' if i % 3 == 1 else i},{'abc'[i % 3]}" for i in range(12)]
    with pytest.raises(DataError, match=r"some cannot be used: 'b' \(0\); fix them, or use another data.shots_seed"):
        table(texts=texts, shots=2, validation="none", on_bad_rows="skip", max_bad_rows=1.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"problem_type": "regression"}, "data.shots.*needs one class a row"),
        ({"problem_type": "multi_label_classification"}, "data.shots.*needs one class a row"),
        ({"data": {"path": "x", "shots": 2, "streaming": True}}, "data.shots.*needs all rows, which a stream"),
        ({"data": {"path": "x", "shots_seed": 2}}, "data.shots_seed.*data.shots, which is not set; leave it out"),
        ({"data": {"path": "x", "shots": 0}}, "data.shots.*greater than or equal to 1"),
    ],
)
def test_what_has_no_shots_refuses_them(changes, said):
    values = {"task": "text-classification", "backbone": {"name": "b"}, "data": {"path": "x", "shots": 2}} | changes
    with pytest.raises(RecipeError, match=said):
        load_recipe(values)


def test_a_written_recipe_is_read_again():
    values = {"task": "text-classification", "backbone": {"name": "b"}, "data": {"path": "x"}}
    recipe = load_recipe(values)
    assert load_recipe({**values, "data": recipe.data.plain()}) == recipe
