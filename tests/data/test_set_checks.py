"""What is told or refused of a further set before training: bad rows, other classes, rows of train."""

import csv

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Picture
from transformers import AutoTokenizer

from hfft.backbone.locate import source
from hfft.data import load_sets, load_splits
from hfft.data.spec import Data, DataSet
from hfft.errors import DataError, RecipeError
from hfft.pipeline.finetune import finetune
from hfft.recipe import load_recipe
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from tests.examples import REGRESSION, SINGLE

TEXTS = TASKS["text-classification"]
NAMES = Labels.of(SINGLE, ["bad", "good"])


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(source("nano-bert"))


def told(tmp_path, capsys, tokenizer, texts, labels=None, train=None, names=NAMES, **spec):
    """What is printed when a set of these texts is loaded."""
    with (tmp_path / "set.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text"] if labels is None else ["text", "label"])
        writer.writerows([text] if labels is None else [text, labels[i]] for i, text in enumerate(texts))
    given = DataSet(path=str(tmp_path / "set.csv"), **spec)
    rows = load_sets({"target": given}, TEXTS, names, tokenizer, (), 0, train=train)["target"]
    return rows, capsys.readouterr().out.splitlines()


def test_an_unlabelled_set_of_new_rows_is_no_news(tmp_path, capsys, tokenizer):
    rows, lines = told(tmp_path, capsys, tokenizer, ["a b", "c d", "e f"])
    assert len(rows) == 3
    assert lines == []


def test_labels_that_are_there_are_not_read(tmp_path, capsys, tokenizer):
    rows, lines = told(tmp_path, capsys, tokenizer, ["a b", "c d"], ["good", "bad"])
    assert lines == ["data.sets.target: its labels (column label) are not read"]
    assert [rows[i]["labels"] for i in range(2)] == [0, 0]


def test_classes_that_the_task_does_not_have_are_told_as_an_open_set(tmp_path, capsys, tokenizer):
    _, lines = told(tmp_path, capsys, tokenizer, ["a", "b", "c", "d"], ["good", "odd", "odd", "bad"])
    assert lines == [
        "data.sets.target: open set: 2 of its 4 rows are of classes that the task does not have (odd), and would be taken "
        "for its classes; leave them out if you can"
    ]
    _, lines = told(tmp_path, capsys, tokenizer, ["a", "b", "c", "d"], ["good", "odd", "odd", "bad"], max_samples=1)
    assert lines == ["data.sets.target: its labels (column label) are not read"]


def test_a_set_with_none_of_the_classes_is_told(tmp_path, capsys, tokenizer):
    _, lines = told(tmp_path, capsys, tokenizer, ["a", "b"], ["x", "y"])
    assert lines == [
        "data.sets.target: none of its classes (x, y) is one of the task's: they have other names, or there is nothing to "
        "adapt to"
    ]
    _, lines = told(tmp_path, capsys, tokenizer, ["a", "b"], ["x", "y"], names=Labels(REGRESSION, (), 1))
    assert lines == []


def test_the_only_column_of_classes_is_that_of_the_labels(tmp_path, capsys, tokenizer):
    features = Features({"text": Value("string"), "kind": ClassLabel(names=["good", "odd"])})
    Dataset.from_dict({"text": ["a", "b", "c"], "kind": [0, 1, -1]}, features=features).to_parquet(
        tmp_path / "t.parquet"
    )
    load_sets({"target": DataSet(path=str(tmp_path / "t.parquet"))}, TEXTS, NAMES, tokenizer, (), 0)
    assert "open set: 1 of its 3 rows are of classes that the task does not have (odd)" in capsys.readouterr().out


def test_rows_of_train_are_counted(tmp_path, capsys, tokenizer):
    (tmp_path / "train.csv").write_text("text,label\nA  b,good\nc d,bad\ne f,good\ng h,bad\n")
    splits, _ = load_splits(Data(path=str(tmp_path / "train.csv"), validation="none", test="none"), TEXTS)
    train = splits.content["train"]
    _, lines = told(tmp_path, capsys, tokenizer, ["x", "c d", "y"], train=train)
    assert lines == ["data.sets.target: 1 of its 3 rows are also in train (rows 1)"]
    _, lines = told(tmp_path, capsys, tokenizer, ["e f", "c d"], train=train)
    assert lines == ["data.sets.target: all of its 2 rows are also in train, so that there is nothing to adapt to"]


def test_rows_that_cannot_be_read_are_refused_together(tmp_path, capsys, tokenizer):
    with pytest.raises(
        DataError, match=r"target: rows 1, 3 \(2 of 4\), the first: column 'text' holds no text .* leave out"
    ):
        told(tmp_path, capsys, tokenizer, ["a", " ", "b", ""], missing=["NA"])


@pytest.mark.parametrize(
    ("text", "said"), [("text\n", "no rows"), ("body,title\nwords,more\n", r"columns\.text: which column")]
)
def test_no_rows_or_other_columns_are_refused(tmp_path, tokenizer, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        load_sets({"target": DataSet(path=str(tmp_path / "t.csv"))}, TEXTS, NAMES, tokenizer, (), 0)


def test_the_only_column_that_fits_is_read_and_told(tmp_path, tokenizer, capsys):
    (tmp_path / "t.csv").write_text("body,number\nwords,1\n")
    load_sets({"target": DataSet(path=str(tmp_path / "t.csv"))}, TEXTS, NAMES, tokenizer, (), 0)
    assert capsys.readouterr().out == "data.sets.target: column body is read as text\n"


def test_labels_that_are_given_to_a_method_that_reads_none_are_refused():
    sets = "data.sets={target: {path: digits, labels: %s}}"
    with pytest.raises(RecipeError, match=r"target.*labels: is given, but strategy\.mcc never reads them; use none"):
        load_recipe("digits", sets % "given", "strategy={mcc: target}")
    assert load_recipe("digits", sets % "none", "strategy={mcc: target}").strategy.mcc.on == "target"


def test_a_set_that_is_not_in_the_recipe_is_refused_with_its_line():
    with pytest.raises(RecipeError, match=r"strategy\.dann.*on is 'target', which is not in data\.sets"):
        load_recipe("digits", "strategy={dann: target}")


@pytest.mark.slow
def test_the_test_rows_of_other_pens_as_target(tmp_path, capsys):
    """Images, and a whole run: the open set is told, and a target of other sizes is read as the task's images are."""
    rng = np.random.default_rng(0)
    images = [Picture.fromarray(rng.integers(0, 256, (12, 20), dtype=np.uint8)) for _ in range(6)]
    features = Features({"image": Image(), "label": ClassLabel(names=["0", "seven"]), "note": Value("string")})
    rows = {"image": images, "label": [0, 1, 1, 0, 1, 0], "note": ["x"] * 6}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "t.parquet")
    few = ("data.max_train_samples=32", "data.max_eval_samples=16", "training.max_steps=2", "score.from_scratch=false")
    target = (f"data.sets.target.path={tmp_path / 't.parquet'}", "strategy={coral: target}")
    finetune(load_recipe("digits", *few, *target, f"training.output_dir={tmp_path / 'run'}"))
    assert "data.sets.target: open set: 3 of its 6 rows" in capsys.readouterr().out
