"""`hfft predict` as a user meets it: tables by the run's columns, tables as output, one line for each mistake."""

import csv
import json
from pathlib import Path

import datasets
import pytest
import torch
from PIL import Image

from hfft import cli
from hfft.commands import predict
from hfft.predict.predictor import Predictor
from tests.examples import MULTI, REGRESSION
from tests.predict.runs import a_run

TEXTS = ["a film was good", "dull, long film", 'it is "not" bad', "two\nlines"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders, made when first asked for."""
    made, root = {}, tmp_path_factory.mktemp("runs")

    def one(**settings):
        key = json.dumps(settings, sort_keys=True)
        if key not in made:
            made[key] = a_run(root / str(len(made)), **settings)
        return made[key]

    return one


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


def put_table(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def asked(capsys, *arguments, status=0):
    """The rows of the printed table, and the lines of the error stream."""
    capsys.readouterr()
    assert cli.main(["predict", *arguments]) == status
    told = capsys.readouterr()
    return list(csv.DictReader(told.out.splitlines(keepends=True))), told.err.splitlines()


def test_a_table_has_one_prediction_per_row_and_the_runs_ids(runs, capsys):
    run = runs(columns={"text": "said", "id": "uid"})
    path = put_table("x.csv", ["uid", "other", "said"], [[f"u{i}", "-", text] for i, text in enumerate(TEXTS)])
    rows, told = asked(capsys, run, path)
    assert [row["id"] for row in rows] == ["u0", "u1", "u2", "u3"]
    assert told == []
    singly, _ = asked(capsys, run, *TEXTS)
    assert [row["probability"] for row in rows] == [row["probability"] for row in singly]
    assert [row["probability"] for row in asked(capsys, run, "--data", path)[0]] == [row["probability"] for row in rows]


def test_a_column_that_the_run_found_by_itself_is_read_again(runs, capsys):
    run = runs(found={"text": "said", "label": "kind"})
    rows, _ = asked(capsys, run, put_table("x.csv", ["title", "said"], [["t", text] for text in TEXTS]))
    assert len(rows) == 4
    _, told = asked(capsys, run, put_table("y.csv", ["title", "body"], [["t", "b"]]), status=2)
    assert told == ["--column: no column 'said', which the model was trained on (y.csv has: title, body); choose one"]


def test_pairs_are_predicted_as_pairs_or_one_line_says_how(runs, capsys):
    run = runs(columns={"text": "premise", "text_pair": "claim"})
    path = put_table("x.csv", ["premise", "claim"], [["a film was good", "a film was bad"], ["a film", "was bad"]])
    for given in ([path], ["--data", path], ["--data", path, "--column", "premise"]):
        rows, _ = asked(capsys, run, *given)
        pairs = [
            asked(capsys, run, a, "--pair", b)[0][0]
            for a, b in (("a film was good", "a film was bad"), ("a film", "was bad"))
        ]
        assert [row["probability"] for row in rows] == [row["probability"] for row in pairs]
    _, told = asked(capsys, run, "a film was good", status=2)
    assert len(told) == 1
    assert "add --pair TEXT as the second" in told[0]


def test_numbers_of_json_are_numbers(runs, capsys):
    assert cli.main(["predict", runs(problem=REGRESSION, names=("score",)), *TEXTS[:2], "--output", "o.jsonl"]) == 0
    for row in map(json.loads, Path("o.jsonl").read_text().splitlines()):
        assert list(row) == ["id", "value"]
        assert isinstance(row["value"], float)
    put_table("x.csv", ["text", "n"], [["a film", 7]])
    assert cli.main(["predict", runs(), "x.csv", "--id", "n", "--output", "o.jsonl"]) == 0
    (row,) = map(json.loads, Path("o.jsonl").read_text().splitlines())
    assert row["id"] == 7
    assert isinstance(row["probability"], float)


def test_probabilities_of_all_classes(runs, capsys):
    run = runs(names=("id", "label", "b|c"))
    (row,), _ = asked(capsys, run, "a film", "--probabilities", "--top-k", "3")
    values = {name: float(row[f"probability_{name}"]) for name in ("id", "label", "b|c")}
    assert sum(values.values()) == pytest.approx(1, abs=1e-5)
    assert row["label"] == "|".join(sorted(values, key=values.get, reverse=True))
    cli.main(["predict", run, "a film", "--probabilities", "--output", "o.jsonl"])
    assert json.loads(Path("o.jsonl").read_text())["probabilities"] == values


def test_thresholds_select_classes_of_a_multi_label_model(runs, capsys):
    run = runs(problem=MULTI)
    labels = {}
    for given in ([], ["--threshold", "0"], ["--threshold", "1"], ["--threshold", "1", "--threshold", "b=0"]):
        labels[" ".join(given)] = asked(capsys, run, "a film", *given)[0][0]["label"]
    assert list(labels.values())[1:] == ["a|b|c", "", "b"]
    _, told = asked(capsys, run, "a film", "--threshold", "B=0.2", status=2)
    assert told == ["--threshold B: no class 'B'; did you mean 'b'? (the model has: a, b, c)"]


def test_a_row_without_a_text_is_named_and_the_others_are_predicted(runs, capsys):
    path = put_table("x.csv", ["text", "n"], [["a film", 1], ["", 2], ["was good", 3]])
    rows, told = asked(capsys, runs(), path, "--probabilities", status=1)
    assert [bool(row["label"]) for row in rows] == [True, False, True]
    assert [row["error"] for row in rows] == ["", told[0], ""]
    assert told[0].startswith("x.csv, row 1: column 'text' holds no text")
    assert told[1:] == ["1 of 3 inputs have no prediction; see column error"]
    assert rows[1]["probability_a"] == ""
    assert cli.main(["predict", runs(), path, "--output", "o.jsonl"]) == 1
    first, second, _ = map(json.loads, Path("o.jsonl").read_text().splitlines())
    assert "error" not in first
    assert (second["label"], second["probability"], second["error"]) == (None, None, told[0])


def test_a_damaged_image_of_a_folder_is_named_and_the_others_are_predicted(runs, capsys):
    run = runs(name="vit")
    Path("f").mkdir()
    for name in ("a.png", "c.png"):
        Image.new("RGB", (32, 32)).save(f"f/{name}")
    Path("f/b.png").write_bytes(b"\x89PNG none")
    rows, told = asked(capsys, run, "f", status=1)
    assert [(row["id"], bool(row["label"])) for row in rows] == [
        ("f/a.png", True),
        ("f/b.png", False),
        ("f/c.png", True),
    ]
    assert told[0].startswith("f/b.png is not a readable image")
    put_table("x.csv", ["image"], [["f/a.png"], ["f/b.png"]])
    rows, told = asked(capsys, run, "x.csv", status=1)
    assert [bool(row["label"]) for row in rows] == [True, False]
    assert told[0].startswith("x.csv, row 1: the image cannot be decoded (UnidentifiedImageError)")


def test_many_errors_are_counted_and_not_all_told(runs, capsys):
    path = put_table("x.csv", ["text", "n"], [["a film", 1], *([["", 2]] * 20)])
    _, told = asked(capsys, runs(), path, status=1)
    assert len(told) == predict.SHOWN + 1
    assert told[-1] == "20 of 21 inputs have no prediction; see column error"


def test_outputs_that_are_not_finite_are_no_prediction(runs, capsys, monkeypatch):
    found = torch.tensor([[0.5, 0.25, 0.25], [float("nan")] * 3])
    monkeypatch.setattr(Predictor, "__call__", lambda self, inputs, batch: found)
    rows, told = asked(capsys, runs(), "a", "b", status=1)
    assert [row["label"] for row in rows] == ["a", ""]
    assert told[0] == "b: the model's outputs are not finite"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["x.csv"], "--column: which column is it? x.csv has: n, m"),
        (["nothing.csv"], "no file 'nothing.csv'"),
        (["empty"], "'empty' is a folder"),
        (["a", "--batch-size", "0"], "--batch-size 0: must be at least 1"),
        (["a", "--top-k", "9"], "--top-k 9: the model has 3 classes"),
        (["a", "--threshold", "0.2"], "--threshold: is for multi-label models"),
        (["a", "--split", "test"], "--split: is for --data"),
        (["a", "--column", "text"], "are for tables and --data"),
        (["--data", "x.csv", "--pair", "b"], "name the column of second texts with --pair-column"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_an_older_table_alone(arguments, part, runs, capsys):
    put_table("x.csv", ["n", "m"], [[1, 2]])
    Path("empty").mkdir()
    Path("o.csv").write_text("old")
    assert cli.main(["predict", runs(), *arguments, "--output", "o.csv"]) == 2
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 1
    assert part in told.err
    assert told.out == ""
    assert Path("o.csv").read_text() == "old"
    assert (
        sorted(path.name for path in Path().iterdir())
        == ["cache", "empty", "o.csv", "x.csv"][not Path("cache").exists() :]
    )


@pytest.mark.parametrize(
    ("output", "part"), [("no/o.csv", "there is no folder"), ("f.csv", "is a folder; give a file")]
)
def test_an_output_that_cannot_be_written_is_told_before_the_model_is_loaded(output, part, capsys, monkeypatch):
    Path("f.csv").mkdir()
    monkeypatch.setattr(predict, "predict", lambda *given, **more: pytest.fail("too late"))
    assert cli.main(["predict", "run", "a", "--output", output]) == 2
    assert part in capsys.readouterr().err


def test_a_table_replaces_an_older_one_when_it_is_whole(monkeypatch):
    Path("old.csv").write_text("old")
    Path("o.csv").symlink_to("old.csv")

    def rows(*given, **more):
        assert Path("old.csv").read_text() == "old"
        yield {"id": "caf\udce9", "label": "b", "error": None}
        assert Path("old.csv").read_text() == "old"

    monkeypatch.setattr(predict, "predict", rows)
    assert cli.main(["predict", "run", "a", "--output", "o.csv"]) == 0
    assert Path("old.csv").read_text() == "id,label,error\ncaf\\udce9,b,\n".replace("\n", "\r\n").replace("\r\n", "\n")
    assert sorted(path.name for path in Path().iterdir()) == ["o.csv", "old.csv"]


def test_how_a_table_is_written_can_be_stated(runs, capsys):
    Path("x.csv").write_bytes("text;n\nä film;1\n".encode("cp1252"))
    _, told = asked(capsys, runs(), "x.csv", status=2)
    assert "data.encoding=cp1252" in told[-1]
    rows, _ = asked(capsys, runs(), "x.csv", "--read", "data.encoding=cp1252", "--read", "sep=;")
    assert len(rows) == 1
    for wrong in ("x=1", "encoding", "columns.text=a", "encoding=klingon"):
        assert asked(capsys, runs(), "x.csv", "--read", wrong, status=2)[1][0].startswith(f"--read {wrong}: ")
