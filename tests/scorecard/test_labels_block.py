"""The block of doubted labels and duplicates: planted faults are found, and the export names them."""

import csv
import json

import numpy as np
import pytest

from hfft import cli
from hfft.errors import BadInput
from hfft.evaluate.outputs import OutputsFile
from hfft.runs import RunFolder
from hfft.scorecard import scorecard
from hfft.scorecard.blocks import labels as block
from hfft.scorecard.doubted_rows import doubted_rows
from tests.scorecard.model_runs import evidence, texts

KINDS = {
    "a": ["the", "boat", "sails", "over", "the", "sea", "and", "the", "wind", "is", "strong"],
    "b": ["print", "the", "value", "of", "this", "function", "and", "return", "a", "list"],
    "c": ["who", "was", "the", "first", "king", "of", "that", "country", "in", "the", "year"],
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))


def told_apart(n, seed):
    """Rows whose words tell the class."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        kind = "abc"[i % 3]
        rows.append({"uid": f"{seed}-{i}", "said": " ".join(rng.choice(KINDS[kind], 8)), "kind": kind})
    return rows


def flipped(rows, share, seed):
    """The rows with some labels changed, and the places of these."""
    rng = np.random.default_rng(seed)
    wrong = sorted(rng.permutation(len(rows))[: round(share * len(rows))].tolist())
    changed = [dict(row) for row in rows]
    for i in wrong:
        changed[i]["kind"] = rng.choice([one for one in "abc" if one != rows[i]["kind"]])
    return changed, wrong


@pytest.mark.slow
def test_flipped_labels_are_found_first(tmp_path):
    clean = told_apart(300, 0)
    train, wrong = flipped(clean, 0.03, 1)
    given = evidence(tmp_path, train=train, validation=told_apart(60, 2), test=told_apart(60, 3))
    found = block.block(given)
    assert {"split": "train, validation, test", "n": 420, "of": 420}.items() <= found.items()
    first = found["doubted"][: len(wrong)]
    hits = [one for one in first if one["split"] == "train" and one["row"] in wrong]
    assert len(wrong) == 9
    assert len(hits) >= 8  # precision at n
    assert all(one["suggested"] == clean[one["row"]]["kind"] for one in hits)
    assert all(one["given"] == train[one["row"]]["kind"] for one in hits)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert f"{found['doubted_n']} labels are doubted" in block.lines(found)[0]


def test_duplicated_rows_and_leaks_are_found(tmp_path):
    train, test = texts(90, 0), texts(45, 2)
    copies = [{**train[i], "said": train[i]["said"].upper()} for i in range(20)]  # read as the same
    copies[0]["kind"] = "b" if train[0]["kind"] != "b" else "c"
    given = evidence(tmp_path, train=[*train, *copies], test=[*test, *train[30:35]])
    found = block.block(given)
    exact = {(one["split"], one["row"]): one for one in found["duplicates"] if one["exact"]}
    assert set(exact) == {("train", 90 + i) for i in range(20)} | {("test", 45 + i) for i in range(5)}
    assert all(exact["train", 90 + i]["of_row"] == i for i in range(20))
    assert all(exact["test", 45 + i]["of_row"] == 30 + i for i in range(5))
    assert [exact["train", 90 + i]["same_label"] for i in range(3)] == [False, True, True]
    assert found["leaks"]["test_exact"] == 5 <= found["leaks"]["test"]
    assert found["leaks"]["validation_exact"] == 0
    assert any("test: " in line and "5 of them copies" in line for line in block.lines(found))


def test_features_are_computed_of_at_most_so_many_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(block, "MOST", 50)
    train = texts(90, 0)
    found = block.block(evidence(tmp_path, train=[*train, *train[:5]]))
    assert (found["n"], found["of"]) == (50, 170)
    assert sum(one["exact"] for one in found["duplicates"]) == 5  # copies are found among all rows


def test_values_have_duplicates_only(tmp_path):
    numbers = {name: [{**row, "kind": str(i / 7)} for i, row in enumerate(texts(20, 3))] for name in ("train", "test")}
    found = block.block(evidence(tmp_path, problem="regression", names=("value",), validation=[], **numbers))
    assert found["doubted"] == []
    assert "regression has no single one" in found["not_doubted"]
    assert found["leaks"] == {"test": 20, "test_exact": 20}
    assert "same_label" not in found["duplicates"][0]


def test_without_features_copies_are_found_all_the_same(tmp_path):
    train = texts(90, 0)
    given = evidence(tmp_path, train=[*train, *train[:5]])
    object.__setattr__(given.recipe, "backbone", given.recipe.backbone.model_copy(update={"name": "./gone"}))
    found = block.block(given)
    assert "features" not in found or found["features"] == block.RUN
    assert found["no_features"].startswith("the model that the run started from has no features: ")
    assert len(found["duplicates"]) == 5


def test_the_export_has_ids_and_texts(tmp_path):
    train, _ = flipped(told_apart(90, 0), 0.1, 1)
    given = evidence(tmp_path, "data.columns.id=uid", train=train, validation=told_apart(30, 2), test=told_apart(30, 3))
    card = scorecard.make(given, ["labels"])
    rows = list(doubted_rows(given, card))
    assert len(rows) == card["blocks"]["labels"]["doubted_n"] > 3
    known = {row["uid"]: row for row in [*train, *told_apart(30, 2), *told_apart(30, 3)]}
    for row in rows:
        assert list(row) == ["row", "split", "given", "suggested", "confidence", "text"]
        assert (row["text"], row["given"]) == (known[row["row"]]["said"], known[row["row"]]["kind"])
        assert row["suggested"] != row["given"]


def test_there_is_no_export_without_doubted_labels(tmp_path):
    with pytest.raises(BadInput, match="--export: no labels are doubted: x is missing"):
        list(doubted_rows(evidence(tmp_path), {"blocks": {"labels": {"error": "x is missing"}}}))


def test_the_command_checks_what_it_exports_to(capsys):
    for arguments, message in (
        (["--export", "x.csv"], "--export: writes the doubted labels; add --blocks labels"),
        (["--blocks", "task", "--export", "x.csv"], "add --blocks labels"),
        (["--blocks", "labels", "--export", "x.txt"], "must end in .csv or .jsonl"),
    ):
        assert cli.main(["score", "gone", *arguments]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_writes_the_table(tmp_path, capsys):
    given = evidence(tmp_path, train=flipped(told_apart(90, 0), 0.1, 1)[0], test=told_apart(30, 3))
    run = RunFolder(tmp_path / "run")
    for name, outputs in given.outputs.items():
        file = OutputsFile(run.outputs / f"{name}.safetensors", name, "given", outputs.labels, np.arange(len(outputs)))
        columns = {key: getattr(outputs, key) for key in ("losses", "targets", "logits", "references")}
        file.add(columns)
        file.close()
    run.metrics.write_text(json.dumps({"data": {}, **{name: {"n": len(one)} for name, one in given.outputs.items()}}))
    path = str(tmp_path / "doubted.csv")
    assert cli.main(["score", str(tmp_path / "run"), "--blocks", "labels", "--export", path]) == 0
    assert f"doubted labels: {path}" in capsys.readouterr().out
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    found = json.loads((tmp_path / "run" / "scorecard.json").read_text())["blocks"]["labels"]
    assert [int(row["row"]) for row in rows] == [one["number"] for one in found["doubted"]]
    assert list(rows[0]) == ["row", "split", "given", "suggested", "confidence", "text"]


@pytest.mark.slow
def test_features_of_a_run_that_knows_its_rows_by_heart_are_not_used(tmp_path, monkeypatch):
    given = evidence(tmp_path)
    names = given.labels.names
    train = dict(given.splits.items())["train"]
    guesses = [names[i] for i in np.concatenate([x.argmax(1).numpy() for x, _ in given.held.answers(train)])]
    rows = [{**row, "kind": kind} for row, kind in zip(texts(90, 0), guesses, strict=True)]
    if len(set(guesses)) < 3:
        for i, name in enumerate(names):
            rows[i]["kind"] = name
    by_heart = block.block(evidence(tmp_path / "again", train=rows))
    assert by_heart["errors"]["train"] < 0.05 < by_heart["errors"]["held_out"]
    assert set(by_heart["out_of_fold_errors"]) == {block.START}
    assert by_heart["features"] == block.START
    plain = block.block(given)
    assert plain["errors"]["train"] > 0.3
    wrong = plain["out_of_fold_errors"]
    assert set(wrong) == {block.START, block.RUN}
    assert wrong[plain["features"]] == min(wrong.values())
    monkeypatch.setattr(block, "no_features", lambda predictor: "it has none")
    assert block.block(given)["features"] == block.START
