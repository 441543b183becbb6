"""`hfft label-next` as a user meets it: the rows of a table with their ids, all of them accounted for, one line per mistake."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hfft import cli
from hfft.acquisition.choose import choose
from hfft.predict.head_inputs import logits_and_features
from hfft.predict.predictor import load_predictor
from tests.examples import REGRESSION
from tests.predict.runs import a_run

WORDS = ["a film was good", "dull, long", 'it is "not" bad', "two lines", "number", "so it goes"]
TEXTS = [f"{WORDS[i % 6]} {WORDS[i % 5]} {i}" for i in range(30)]
RECIPE = """
task: text-classification
backbone: {name: nano-bert}
data: {path: rows.csv, columns: {text: said, label: kind, id: uid}, validation: none, max_length: 16}
"""


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_run(tmp_path / "run")
    Path("run/recipe.yaml").write_text(RECIPE)
    put("rows.csv", ["uid", "said", "kind"], [[f"t{i}", text, "abc"[i % 3]] for i, text in enumerate(TEXTS[:9])])
    put("new.csv", ["uid", "said"], [[f"u{i}", text] for i, text in enumerate(TEXTS)])


def put(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def run(capsys, *arguments, status=0):
    capsys.readouterr()
    assert cli.main(["label-next", "run", *arguments]) == status
    told = capsys.readouterr()
    return told.out.splitlines(), told.err.splitlines()


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("by", ["margin", "entropy", "core-set", "badge", "random"])
def test_the_rows_are_those_of_the_function_with_ids_and_texts(by, capsys):
    (line,), told = run(capsys, "--data", "new.csv", "--n", "7", "--by", by, "--output", "next.csv")
    assert line == f"next.csv: 7 of 30 rows of new.csv to label next, by {by}" + (
        ", beside 9 training rows" if by == "core-set" else ""
    )
    assert told == []
    predictor = load_predictor("run")
    logits, features = (part.double() for part in logits_and_features(predictor, TEXTS))
    _, labelled = logits_and_features(predictor, TEXTS[:9])
    found = choose(by, 7, logits.softmax(1).numpy(), features.numpy(), labelled.numpy(), 42)
    rows = table("next.csv")
    assert [row["id"] for row in rows] == [f"u{i}" for i in found.rows]
    assert [row["text"] for row in rows] == [TEXTS[i] for i in found.rows]
    assert [row["label"] for row in rows] == ["abc"[logits[int(i)].argmax()] for i in found.rows]
    if by != "random":
        np.testing.assert_allclose([float(row[found.score]) for row in rows], found.scores, rtol=1e-4, atol=1e-6)


def test_a_row_that_cannot_be_used_is_told_and_counted(capsys):
    put("new.csv", ["uid", "said"], [["u0", "good"], ["u1", ""], ["u2", "bad film"]])
    (line,), told = run(capsys, "--data", "new.csv", "--n", "2", "--output", "next.jsonl", status=1)
    assert line.startswith("next.jsonl: 2 of 3 rows of new.csv")
    assert "row 1" in told[0]
    assert told[1] == "1 of 3 rows cannot be used and are not chosen from"
    rows = [json.loads(line) for line in Path("next.jsonl").read_text().splitlines()]
    assert {row["id"] for row in rows} == {"u0", "u2"}
    assert {"text", "label", "probability", "margin"} < set(rows[0])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--n", "31"], "--n 31: the data has 30 rows that can be used; lower it"),
        (["--n", "0"], "--n 0: must be at least 1"),
        (["--n", "3", "--output", "x.txt"], "--output x.txt: the file name must end in .csv or .jsonl"),
        (["--n", "3", "--seed", "-1"], "--seed -1: must be at least 0"),
        (["--n", "3", "--column", "gone"], "--column: no column 'gone'"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_file(arguments, line, capsys):
    given = ["--output", "next.csv", *arguments]
    _, (only,) = run(capsys, "--data", "new.csv", *given, status=2)
    assert line in only
    assert not list(Path().glob("*next*"))


def test_core_set_needs_the_training_rows_and_every_way_one_class_a_row(capsys):
    Path("rows.csv").unlink()
    _, (line,) = run(capsys, "--data", "new.csv", "--n", "3", "--by", "core-set", "--output", "x.csv", status=2)
    assert line.startswith("--by core-set: chooses beside the run's training rows, which cannot be read (")
    a_run(Path("run"), problem=REGRESSION, columns={"text": "said"})
    _, (line,) = run(capsys, "--data", "new.csv", "--n", "3", "--output", "x.csv", status=2)
    assert line == "label-next: needs a model of one class a row"
