"""`data.train_classes`: train on rows of some classes, for a head that has all."""

import pytest

from hfft.data.load import load_splits
from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.recipe import load_recipe
from hfft.tasks.table import TASKS
from tests.studies.fake_runs import TINY

IMAGES = TASKS["image-classification"]


def splits(**data):
    return load_splits(Data(path="digits", **data), IMAGES, 0)


def test_train_has_these_classes_and_held_out_splits_have_all():
    found, labels = splits(classes=["7", "3", "1"], train_classes=["3"], validation=0.1)
    assert labels.names == ("7", "3", "1")
    assert set(found.train["labels"]) == {1}
    assert set(found.validation["labels"]) == {1}  # set aside from train
    assert set(found.test["labels"]) == {0, 1, 2}
    [note] = [note for note in found.notes if "train_classes" in note]
    assert note.startswith("train: ")
    assert note.endswith(" rows, those of 1 of 3 classes (data.train_classes)")
    assert found.left_out == {}


def test_naming_all_classes_changes_no_row():
    whole, _ = splits(classes=["0", "1"])
    named, _ = splits(classes=["0", "1"], train_classes=["1", "0"])
    assert whole.train["row"] == named.train["row"]
    assert whole.test["row"] == named.test["row"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"train_classes": ["0"]}, "no classes that the head should have"),
        ({"classes": ["0", "1"], "train_classes": ["2"]}, "names '2', which is not in classes"),
        ({"classes": ["0", "1"], "train_classes": ["1", "1"]}, "names a class twice"),
        ({"classes": ["0", "1"], "train_classes": ["1"], "streaming": True}, "needs all rows at once"),
    ],
)
def test_what_does_not_fit_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        Data(path="digits", **data)


def test_a_recipe_says_which_key_it_is():
    with pytest.raises(Exception, match="data: has train_classes that names '2', which is not in classes"):
        load_recipe(TINY, 'data.classes=["0","1"]', 'data.train_classes=["2"]')


def test_a_class_without_rows_is_refused(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,x\nb,y\nc,x\nd,y\n")
    (tmp_path / "test.csv").write_text("text,label\na,x\n")
    text = TASKS["text-classification"]
    with pytest.raises(DataError, match="no class 'z' in the data"):
        load_splits(Data(path=str(tmp_path), classes=["x", "z"], train_classes=["z"], validation="none"), text)
