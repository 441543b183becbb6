"""Whole runs on tables as people write them: several labels a row, and what is told before and after."""

from __future__ import annotations

import csv
import json

import pytest

from hfft import cli, finetune, load_recipe
from tests import stand_ins

CLASSES = ["angry", "happy", "tired"]
ROWS = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)] * 10


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return stand_ins.model("google-bert/bert-base-uncased", tmp_path_factory.mktemp("models") / "bert")


def table(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def sentence(row, i):
    """Words that tell the labels."""
    return " ".join([*(stand_ins.WORDS[k] for k, on in enumerate(row) if on), *stand_ins.WORDS[5 + i % 7 : 9 + i % 7]])


FORMS = {
    "columns": (CLASSES, lambda row: row, {"columns": {"label": CLASSES}}),
    "joined": (
        ["label"],
        lambda row: ["|".join(n for n, on in zip(CLASSES, row, strict=True) if on)],
        {"label_sep": "|"},
    ),
    "lists": (["label"], lambda row: [[n for n, on in zip(CLASSES, row, strict=True) if on]], {}),
}


def recipe(folder, model, path, problem="single_label_classification", training=None, **data):
    settings = {"num_train_epochs": 20, "per_device_train_batch_size": 16, "learning_rate": 3e-3, "use_cpu": True}
    return load_recipe(
        {
            "name": "tables",
            "task": "text-classification",
            "problem_type": problem,
            "backbone": {"name": str(model)},
            "data": {"path": str(path), "validation": 0.2, **data},
            "training": {**settings, "output_dir": str(folder), **(training or {})},
        }
    )


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize("form", FORMS)
def test_several_labels_a_row_are_trained_scored_and_predicted(form, tmp_path, bert, capsys):
    header, cells, data = FORMS[form]
    rows = [(sentence(row, i), *cells(row)) for i, row in enumerate(ROWS)]
    path = table(tmp_path / "rows.csv", ["text", *header], rows)
    run = tmp_path / "run"
    found = finetune(recipe(run, bert, path, "multi_label_classification", **data)).metrics
    assert found["labels"] == CLASSES
    assert found["validation"]["f1_micro"] > 0.9
    assert found["data"]["classes"]["train"].keys() == set(CLASSES)
    said = capsys.readouterr().out
    assert "rows of each class: train (angry: " in said
    assert cli.main(["score", str(run), "--fresh"]) == 0
    again = capsys.readouterr().out
    assert f"f1_micro {found['validation']['f1_micro']:.4f}" in again
    assert cli.main(["predict", str(run), sentence((1, 0, 1), 0), sentence((0, 1, 0), 1)]) == 0
    labels = [row["label"] for row in csv.DictReader(capsys.readouterr().out.splitlines())]
    assert labels == ["angry|tired", "happy"]
    assert "rows of each class" in (run / "report.html").read_text()


@pytest.mark.slow
def test_a_run_that_learned_nothing_says_so_at_the_end_and_in_its_files(tmp_path, bert, capsys):
    rows = [(stand_ins.WORDS[i % 9], "rare" if i % 6 == 0 else "usual") for i in range(180)]
    path = table(tmp_path / "rows.csv", ["text", "label"], rows)
    run = tmp_path / "run"
    short = {"max_steps": 1, "learning_rate": 1e-9}
    given = recipe(run, bert, path, training=short, classes=["usual", "rare"])
    given = given.model_copy(update={"head": given.head.model_copy(update={"init": "zeros"})})  # always the first class
    found = finetune(given).metrics
    said = capsys.readouterr().out.splitlines()
    longer = "raise training.learning_rate or train longer (training.num_train_epochs)"
    weights = f"train has 24 to 120 rows a class: try strategy.class_weights=balanced, or {longer}"
    assert found["findings"] == [
        "validation (n=36): accuracy 0.833 is no better than always answering 'usual' (0.833)",
        f"validation (n=36): recall 0 for class 'rare' (of 6); {weights}",
    ]
    assert said[-3:-1] == found["findings"]
    assert json.loads((run / "metrics.json").read_text())["findings"] == found["findings"]
    assert "recall 0 for class" in (run / "report.html").read_text()
    finetune(given)
    assert capsys.readouterr().out.splitlines()[-3:-1] == found["findings"], "a finished run says it again"


@pytest.mark.slow
def test_numbers_that_were_not_learned_are_told_by_their_mean(tmp_path, bert, capsys):
    rows = [(stand_ins.WORDS[i % 9], 100 + i % 5) for i in range(180)]
    path = table(tmp_path / "rows.csv", ["text", "label"], rows)
    given = recipe(tmp_path / "run", bert, path, "regression", training={"max_steps": 1}, validation="none", test=0.2)
    (line,) = finetune(given).metrics["findings"]
    assert line.startswith("test (n=36): mean squared error ")
    variance = float(line.partition("the mean of the split (")[2].partition(")")[0])
    assert 1 < variance < 3, "of 0 to 4, of which each is as frequent"
    assert "validation" not in capsys.readouterr().out.replace("data.validation", "")
