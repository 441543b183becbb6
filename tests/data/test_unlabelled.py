"""With `data.labels: none`, labels of training rows are gone, and those of held-out rows are as ever."""

import pytest

from hfft.data.load import load_splits
from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.tasks.table import TASKS

TEXT = TASKS["text-classification"]


def write(path, lines):
    path.write_text("\n".join(lines) + "\n")


def test_labels_of_train_are_gone_and_those_of_test_are_there():
    image = TASKS["image-classification"]
    with_labels, meaning = load_splits(Data(path="digits", validation="none"), image)
    splits, found = load_splits(Data(path="digits", labels="none"), image)
    assert set(splits.train["labels"]) == {0}
    assert splits.test["labels"] == with_labels.test["labels"]
    assert found == meaning
    assert (splits.content["train"] == with_labels.content["train"]).all(), "the same rows in the same order"
    assert splits.validation is None, "rows without labels are not set aside for scoring"
    assert list(splits.classes) == ["test"]
    assert any("are not read" in note for note in splits.notes)


@pytest.mark.parametrize("header", ["text", "text,label"])
def test_a_table_needs_no_column_of_labels_but_the_classes(tmp_path, header):
    rows = ["a good film", "a bad film", "a long film"]
    labels = ["", "", ""] if header == "text" else [",nonsense", ",", ",good"]
    write(tmp_path / "train.csv", [header, *(row + label for row, label in zip(rows, labels, strict=True))])
    write(tmp_path / "test.csv", ["text,label", "fine,good", "poor,bad"])
    with pytest.raises(DataError, match=r"data.classes: labels are not read .*list those of the model"):
        load_splits(Data(path=str(tmp_path), labels="none"), TEXT)
    splits, meaning = load_splits(Data(path=str(tmp_path), labels="none", classes=["good", "bad"]), TEXT)
    assert meaning.names == ("good", "bad")
    assert splits.train["text"] == rows, "none of them is left out for its label"
    assert splits.test["labels"] == [0, 1]


def test_rows_of_one_class_alone_are_no_reason_to_refuse(tmp_path):
    write(tmp_path / "train.csv", ["text,label", "a,good", "b,good"])
    write(tmp_path / "test.csv", ["text,label", "c,bad", "d,bad"])
    splits, _ = load_splits(Data(path=str(tmp_path), labels="none", classes=["good", "bad"]), TEXT)
    assert (len(splits.train), splits.test["labels"]) == (2, [1, 1])
