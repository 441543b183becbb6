"""Wrong labels on purpose: the stated shares, of training rows alone, the same for every reader, and told."""

import numpy as np
import pytest
from datasets import Dataset

from hfft.data.label_noise import noise_note, noisy, transitions, with_noise
from hfft.data.rows_spec import LabelNoise
from hfft.data.splits import column
from hfft.errors import DataError
from hfft.tasks.labels import Labels

ABC = Labels.of("single_label_classification", "abc")


def rows(count=3000, start=0):
    return Dataset.from_dict(
        {"text": [f"t{i}" for i in range(count)], "labels": [i % 3 for i in range(count)]}
    ).add_column("row", list(range(start, start + count)))


def test_the_three_kinds_as_matrices():
    symmetric = transitions(LabelNoise(symmetric=0.4), ABC)
    np.testing.assert_allclose(symmetric, [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]])
    pair = transitions(LabelNoise(pair=0.3), ABC)
    np.testing.assert_allclose(pair, [[0.7, 0.3, 0], [0, 0.7, 0.3], [0.3, 0, 0.7]])
    some = transitions(LabelNoise(asymmetric={"a": {"c": 0.25, "b": 0.5}, "b": {"a": 1.0}}), ABC)
    np.testing.assert_allclose(some, [[0.25, 0.5, 0.25], [1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    "noise", [LabelNoise(symmetric=0.4), LabelNoise(pair=0.3), LabelNoise(asymmetric={"a": {"c": 0.25, "b": 0.5}})]
)
def test_labels_change_as_often_as_the_matrix_says(noise):
    labels, chances = np.arange(60_000) % 3, transitions(noise, ABC)
    given = noisy(labels, np.arange(60_000), chances, (42,))
    seen = np.array([[(given[labels == i] == j).mean() for j in range(3)] for i in range(3)])
    np.testing.assert_allclose(seen, chances, atol=0.015)


def test_a_row_keeps_its_fate_whatever_the_others_are_and_less_noise_is_part_of_more():
    labels, numbers = np.arange(999) % 3, np.arange(999)
    few, many = (noisy(labels, numbers, transitions(LabelNoise(symmetric=p), ABC), (1,)) for p in (0.2, 0.6))
    hit = few != labels
    assert 100 < hit.sum() < 300
    assert (many[hit] == few[hit]).all()
    part = np.array([998, 3, 500])
    chances = transitions(LabelNoise(symmetric=0.6), ABC)
    assert (noisy(labels[part], part, chances, (1,)) == many[part]).all()
    assert (noisy(labels, numbers, chances, (2,)) != many).any()


def test_only_the_training_split_changes_unless_others_are_asked_for():
    splits = {"train": rows(), "validation": rows(300), "test": rows(300)}
    found, counts = with_noise(splits, LabelNoise(symmetric=0.5), ABC, 42)
    changed = np.array(found["train"]["labels"]) != np.array(splits["train"]["labels"])
    assert counts == {"train": changed.sum()}
    assert 1300 < counts["train"] < 1700
    assert found["validation"] is splits["validation"]
    assert found["test"] is splits["test"]
    asked = LabelNoise(symmetric=0.5, splits=["train", "validation"])
    found, counts = with_noise(splits, asked, ABC, 42)
    assert set(counts) == {"train", "validation"}
    assert found["validation"]["labels"] != splits["validation"]["labels"]


def test_chosen_rows_are_changed_without_a_copy_of_the_others():
    whole = rows()
    part = whole.select([7, 2, 2999, 11])
    found, counts = with_noise({"train": part}, LabelNoise(pair=1.0), ABC, 42)
    changed = found["train"]
    assert counts == {"train": 4}
    assert changed["labels"] == [(i + 1) % 3 for i in part["labels"]]
    assert (changed["text"], changed["row"]) == (part["text"], part["row"])
    assert changed.features == part.features
    assert len(changed.data) == len(whole), "the table itself has all rows"
    assert whole.select([7])["labels"] == [7 % 3]


def test_labels_stay_whole_numbers_where_the_table_has_rows_of_no_class():
    whole = Dataset.from_dict({"text": list("abcdef"), "labels": [0, None, 1, None, 1, 2], "row": list(range(6))})
    found, counts = with_noise({"train": whole.select([0, 2, 4])}, LabelNoise(pair=1.0), ABC, 42)
    assert counts == {"train": 3}
    assert found["train"]["labels"] == [1, 2, 2]
    assert found["train"].features == whole.features
    assert column(found["train"], "labels").to_numpy().dtype == np.int64


@pytest.mark.parametrize("noise", [None, LabelNoise(symmetric=0.0), LabelNoise(asymmetric={"a": {"b": 0.0}})])
def test_no_noise_is_no_change(noise):
    splits = {"train": rows(30)}
    found, counts = with_noise(splits, noise, ABC, 42)
    assert found["train"] is splits["train"]
    assert counts == {}


def test_noise_changes_the_fingerprint_of_the_rows():
    first, again, other = (
        with_noise({"train": rows(30)}, LabelNoise(symmetric=p), ABC, 42)[0]["train"] for p in (0.5, 0.5, 0.6)
    )
    assert first._fingerprint == again._fingerprint
    assert other._fingerprint not in (first._fingerprint, rows(30)._fingerprint)


def test_an_unknown_class_is_named():
    with pytest.raises(DataError, match=r"data.label_noise.asymmetric: no class 'd' in the data.*there are: a, b, c"):
        transitions(LabelNoise(asymmetric={"a": {"d": 0.1}}), ABC)


def test_the_note_says_how_many():
    assert (
        noise_note("train", 412, 1000)
        == "split train: 412 of 1000 rows have a wrong label on purpose (data.label_noise)"
    )
