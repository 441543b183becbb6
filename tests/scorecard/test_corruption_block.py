"""The block of corruptions: its figures against plain means, its rows, and where the changed inputs enter."""

import json

import numpy as np
import pytest
import torch

from hfft.evaluate.corruptions import texts
from hfft.scorecard.blocks import corruption as block
from hfft.scorecard.scored_rows import right
from hfft.tasks.problem import PROBLEMS
from tests.scorecard.model_runs import evidence, of_digits


def test_figures_are_means_of_the_rows_and_drops_of_the_same_rows():
    rng = np.random.default_rng(0)
    clean, found = rng.random(50) < 0.9, {name: rng.random((50, 5)) < share for name, share in (("x", 0.7), ("y", 0.4))}
    result = block.figures(clean, found, 0)
    everything = np.mean([found["x"], found["y"]])
    assert result["mean"]["value"] == pytest.approx(everything, abs=1e-12)
    assert result["drop"]["value"] == pytest.approx(clean.mean() - everything, abs=1e-12)
    assert result["relative_drop"] == pytest.approx(1 - everything / clean.mean(), abs=1e-12)
    assert result["corruptions"]["x"] == pytest.approx(found["x"].mean(0))
    assert result["worst"]["accuracy"] == found["y"].mean(0).min()
    assert result["worst"]["severity"] == found["y"].mean(0).argmin() + 1
    assert result["mean"]["low"] < everything < result["mean"]["high"]
    assert block.figures(np.zeros(3, bool), {"x": np.zeros((3, 5), bool)}, 0)["relative_drop"] == 0


@pytest.mark.slow
def test_texts_are_changed_before_the_tokenizer_at_the_draws_of_their_rows(tmp_path):
    given = evidence(tmp_path)
    found = block.block(given)
    assert {"split": "test", "n": 45, "rows": "all", "label": "-c(hfft)"}.items() <= found.items()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    inputs, labels = given.held.read(given.splits.test)
    for name in ("keyboard_typos", "word_drop"):
        changed = [texts.corrupted(text, name, given.seed, row)[4] for row, text in enumerate(inputs)]
        expected = float((given.predictor.logits(changed).argmax(1) == labels).float().mean())
        assert found["corruptions"][name][4] == pytest.approx(expected)
    said = block.lines(found)
    assert said[0] == "rows: all"
    assert sum(line.endswith("-c(hfft)") for line in said) == len(texts.CORRUPTIONS)


@pytest.mark.slow
def test_a_sample_is_drawn_by_the_seed_in_the_order_of_the_split(tmp_path):
    given = evidence(tmp_path, "score.corruption.rows=20")
    found = block.block(given)
    assert found["n"] == 20
    assert found["rows"] == "20 of 45, drawn by the seed"
    assert block.block(given) == found


@pytest.mark.slow
def test_images_are_changed_before_the_processor(tmp_path, monkeypatch):
    given = of_digits(tmp_path, "score.corruption.rows=6")
    seen = []
    logits = type(given.predictor).logits
    monkeypatch.setattr(type(given.predictor), "logits", lambda self, x, size: seen.extend(x) or logits(self, x, size))
    found = block.block(given)
    assert len(found["corruptions"]) == 15
    assert len(seen) == 6 * 76
    assert {(image.size, image.mode) for image in seen} == {((8, 8), "L")}
    assert block.shorter_side(given.predictor) == 32


@pytest.mark.parametrize("problem", ["regression"])
def test_without_classes_there_is_none(tmp_path, problem):
    given = evidence(tmp_path)
    given.__class__ = type("Other", (type(given),), {"problem": PROBLEMS[problem]})
    assert block.block(given) is None


def test_of_several_classes_all_decisions_must_be_right():
    logits = torch.tensor([[2.0, -1.0], [2.0, -1.0], [-0.1, 0.1]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert right(PROBLEMS["multi_label_classification"], logits, labels).tolist() == [True, False, True]
    assert right(PROBLEMS["single_label_classification"], logits, torch.tensor([0, 1, 1])).tolist() == [
        True,
        False,
        True,
    ]
