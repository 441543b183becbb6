"""Rows to look at: the right ones, with what the data holds of them, and none where none are wanted."""

import base64
import io
import json
import math

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from hfft import load_recipe
from hfft.data import Splits, fingerprints, load_splits
from hfft.evaluate.outputs import Outputs, OutputsFile
from hfft.report import examples
from hfft.report.examples import TITLES, choose, excerpt, of_split, thumbnail, write_rows, write_rows_again
from hfft.runs.folder import RunFolder
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS

SINGLE = Labels.of("single_label_classification", ("a", "b", "c"))


def outputs(logits, references, labels=SINGLE, losses=None):
    logits = np.asarray(logits, np.float32)
    losses = np.zeros(len(logits), np.float32) if losses is None else np.asarray(losses, np.float32)
    return Outputs("test", "given", labels, losses, np.ones(len(logits), np.float32), logits, np.asarray(references))


def test_mistakes_fall_in_confidence_and_the_least_sure_rise_in_margin():
    rng = np.random.default_rng(0)
    logits, true = rng.normal(0, 2, (10_000, 3)), rng.integers(0, 3, 10_000)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ranked = np.sort(p, 1)
    found = choose(outputs(logits, true), 20)
    wrong = np.flatnonzero(p.argmax(1) != true)
    assert [row["row"] for row in found["mistakes"]] == wrong[np.argsort(-p[wrong].max(1))][:20].tolist()
    assert [row["row"] for row in found["unsure"]] == np.argsort(ranked[:, 2] - ranked[:, 1])[:20].tolist()
    for row in found["mistakes"]:
        assert row["confidence"] == pytest.approx(p[row["row"]].max(), abs=1e-5)
        assert (row["true"], row["predicted"]) == ("abc"[true[row["row"]]], "abc"[p[row["row"]].argmax()])


def test_rows_that_are_not_finite_are_left_out():
    found = choose(outputs([[math.nan, 0, 0], [0, 1, 0], [math.inf, 0, 0]], [0, 0, 1]), 8)
    assert [row["row"] for rows in found.values() for row in rows] == [1, 1]


def test_no_mistakes_are_an_empty_list():
    assert choose(outputs([[9, 0, 0], [0, 9, 0]], [0, 1]), 8)["mistakes"] == []
    assert choose(outputs(np.empty((0, 3)), np.empty(0, int)), 8) == {"mistakes": [], "unsure": []}


def test_other_problems_have_the_largest_losses():
    several = outputs([[1, -1, 1], [-1, -1, -1]], np.array([[1, 0, 0], [0, 1, 0]], float),
                      Labels.of("multi_label_classification", ("a", "b", "c")), [0.5, 2])  # fmt: skip
    (first, second) = choose(several, 8)["errors"]
    assert (first["row"], first["true"], first["predicted"], first["loss"]) == (1, "b", "none", 2.0)
    assert (second["true"], second["predicted"]) == ("a", "a, c")
    values = outputs([[1.5], [2.0]], [[1.5], [0.25]], Labels("regression", (), 1), [0, 3.06])
    assert choose(values, 1)["errors"] == [{"split": "test", "row": 1, "true": "0.25", "predicted": "2", "loss": 3.06}]


def test_texts_are_cut_and_pairs_are_kept():
    assert excerpt("x" * 10_000) == {"texts": ["x" * 600 + " …"]}
    assert excerpt(("one", "two")) == {"texts": ["one", "two"]}
    with pytest.raises(ValueError, match="of type int"):
        excerpt(5)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P", "1", "I;16", "F"])
@pytest.mark.parametrize("size", [(8, 8), (500, 300), (1, 4000)])
def test_a_picture_of_any_mode_has_a_small_thumbnail(mode, size):
    uri = thumbnail(Image.new(mode, size))
    kind, data = uri.split(";base64,")
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == ("data:image/png" if max(size) <= 32 else "data:image/jpeg")
    assert max(shown.size) <= max(112, 32)
    assert len(uri) < 12_000


def digits():
    """The recipe `digits` with its splits, and the way its rows are read."""
    recipe = load_recipe("digits", "data.max_train_samples=60")
    return recipe, load_splits(recipe.data, recipe.the_task, recipe.seed)[0]


def test_each_row_shows_its_own_input_and_where_it_was_drawn_from():
    recipe, splits = digits()
    rows = splits.validation
    n = len(rows)
    true = np.array(rows["labels"])
    logits = np.eye(10)[(true + (np.arange(n) == 7)) % 10] * 5
    labels = Labels.of("single_label_classification", tuple("0123456789"))
    found = of_split(
        Outputs("validation", "given", labels, np.zeros(n), np.ones(n), logits, true),
        splits,
        recipe.the_task.modality.inputs,
        4,
        [{"split": "train", "row": 3, "given": "1", "suggested": "2", "confidence": 0.9}, {"split": "gone", "row": 0}],
    )
    (mistake,) = found["lists"][TITLES["mistakes"]]
    assert mistake["row"] == 7
    assert mistake["drawn_from"] == f"row {rows[7]['row']:,} of train"
    shown = Image.open(io.BytesIO(base64.b64decode(mistake["image"].split(",")[1])))
    assert np.array_equal(np.asarray(shown), np.asarray(rows[7]["image"]))
    (doubted,) = found["lists"][TITLES["doubted"]]
    shown = Image.open(io.BytesIO(base64.b64decode(doubted["image"].split(",")[1])))
    assert np.array_equal(np.asarray(shown), np.asarray(splits.train[3]["image"]))
    json.dumps(found, allow_nan=False)


def finished(tmp_path, splits):
    """A run folder with outputs for the test split, all wrong."""
    folder, n = RunFolder(tmp_path), len(splits.test)
    labels = Labels.of("single_label_classification", tuple("0123456789"))
    file = OutputsFile(folder.outputs / "test.safetensors", "test", "given", labels, np.arange(n))
    true = np.array(splits.test["labels"])
    logits = np.eye(10, dtype=np.float32)[(true + 1) % 10]
    file.add(
        {"losses": np.ones(n, np.float32), "targets": np.ones(n, np.float32), "logits": logits, "references": true}
    )
    file.close()
    return folder


def test_no_examples_keep_the_data_out_of_the_folder(tmp_path):
    recipe, splits = digits()
    folder = finished(tmp_path, splits)
    write_rows(folder, recipe, splits)
    assert len(json.loads(folder.rows.read_text())["lists"][TITLES["mistakes"]]) == 8
    none = load_recipe("digits", "data.max_train_samples=60", "report.examples=0")
    write_rows(folder, none, splits)
    assert not folder.rows.exists()
    assert write_rows_again(folder, none) is None
    assert not folder.rows.exists()


def test_data_that_has_changed_is_not_shown_beside_old_outputs(tmp_path):
    recipe, splits = digits()
    folder = finished(tmp_path, splits)
    folder.write_json("data.json", {"files": None, "rows": fingerprints(splits)})
    assert write_rows_again(folder, recipe) is None
    assert folder.rows.is_file()
    folder.write_json("data.json", {"files": None, "rows": {**fingerprints(splits), "test": "other"}})
    assert "the data has changed since (test)" in write_rows_again(folder, recipe)
    assert not folder.rows.exists()


def test_what_fails_is_said_and_stops_nothing(tmp_path, monkeypatch):
    recipe, splits = digits()
    folder = finished(tmp_path, splits)
    (folder.outputs / "test.safetensors").write_bytes(b"damaged")
    write_rows(folder, recipe, splits)
    assert "cannot be read" in json.loads(folder.rows.read_text())["error"]
    folder = finished(tmp_path / "again", splits)
    monkeypatch.setattr(examples, "excerpt", lambda value: {}["no"])
    write_rows(folder, recipe, splits)
    assert "no" in json.loads(folder.rows.read_text())["error"]


def test_fewer_rows_than_outputs_are_noted():
    rows = Dataset.from_dict({"text": ["one"], "labels": [0]})
    splits = Splits(rows, None, rows, {"text": "text"}, {}, {})
    found = of_split(outputs([[0, 5, 0], [0, 5, 0]], [0, 0]), splits, TASKS["text-classification"].modality.inputs, 8)
    one, two = found["lists"][TITLES["mistakes"]]
    assert one["texts"] == ["one"]
    assert two["note"] == "the data has no such row any more"


def test_explanations_stand_beside_the_rows_and_may_fail():
    rows = Dataset.from_dict({"text": ["one two", "three"], "labels": [0, 0]})
    splits = Splits(rows, None, rows, {"text": "text"}, {}, {})
    inputs = TASKS["text-classification"].modality.inputs

    def explain(value):
        if value == "three":
            raise RuntimeError("no gradient")
        return [("one", 1.0), (" two", -0.5)]

    given = outputs([[0, 5, 0], [0, 4, 0]], [0, 0])
    one, two = of_split(given, splits, inputs, 8, explain=explain)["lists"][TITLES["mistakes"]]
    assert one["tokens"] == [("one", 1.0), (" two", -0.5)]
    assert "tokens" not in two
    assert two["texts"] == ["three"]
    shown = examples.shortened([("x" * 100, 0.1)] * 20)
    assert sum(len(text) for text, _ in shown) <= 602


def test_an_overlay_is_a_picture_of_its_weights():
    uri = examples.overlay(Image.new("L", (8, 8), 100), np.array([[0.0, 0.0], [0.0, 1.0]]))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))), int)
    redness = shown[..., 0] - shown[..., 2]
    assert redness[-10:, -10:].min() > 100 > 10 > redness[:10, :10].max()
