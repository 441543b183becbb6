"""The block of groups and other splits: what is worst, what other data makes of the accuracy, and what is refused."""

import json

import numpy as np
import pytest

from hfft.data.load import load_splits
from hfft.errors import BadInput, DataError, RecipeError
from hfft.evaluate import check_further
from hfft.evaluate.shift import atc, atc_threshold, negative_entropy
from hfft.recipe import load_recipe
from hfft.scorecard.blocks import shift as block
from hfft.scorecard.evidence import probabilities
from tests.scorecard.model_runs import evidence, put, texts


def answered(given, split="test"):
    """The rows of a split as the model answers them, so that it is always right."""
    names = given.labels.names
    found = [names[i] for i in given.outputs[split].logits.argmax(1)]
    return [{**row, "kind": kind} for row, kind in zip(texts(len(found), 2), found, strict=True)]


def test_a_group_with_noise_is_the_worst(tmp_path):
    right = answered(evidence(tmp_path / "first", test=texts(120, 2)))
    rng = np.random.default_rng(0)
    noisy = [
        {**row, "kind": rng.choice([one for one in "abc" if one != row["kind"]])}
        if row["place"] == "y" and rng.random() < 0.4
        else row
        for row in right
    ]
    found = block.block(evidence(tmp_path / "second", "score.groups=[place, kind]", test=noisy))
    x, y = (next(row for row in found["groups"]["place"] if row["group"] == one) for one in "xy")
    assert x["accuracy"]["value"] == 1
    wrong = sum(a["kind"] != b["kind"] for a, b in zip(right, noisy, strict=True))
    assert y == {"group": "y", "n": 60, "accuracy": y["accuracy"]}
    assert y["accuracy"]["value"] == pytest.approx(1 - wrong / 60)
    assert found["worst"]["accuracy"]["value"] <= y["accuracy"]["value"]
    assert found["groups"]["place"][0] == y
    only = block.worst({"place": found["groups"]["place"]}, block.Result("accuracy", np.ones(1)))
    assert (only["column"], only["group"]) == ("place", "y")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert any(line.startswith("worst group: ") for line in block.lines(found))


def test_another_split_has_a_gap_and_an_estimate(tmp_path):
    right = answered(evidence(tmp_path / "first", test=texts(60, 2)))
    wrong = [{**row, "kind": "a" if row["kind"] != "a" else "b"} for row in right[:30]]
    path = put(tmp_path / "later.csv", [*wrong, *right[30:]])
    spec = f"{{path: {path}, columns: {{text: said, label: kind}}}}"
    given = evidence(tmp_path / "second", f"score.shift={{later: {spec}}}", test=right)
    found = block.block(given)
    later = found["splits"]["later"]
    assert found["accuracy"]["value"] == 1
    assert later["accuracy"]["value"] == pytest.approx(0.5)
    assert later["gap"]["low"] < later["gap"]["value"] == pytest.approx(0.5)
    p, references = probabilities(given.fitting)
    threshold = atc_threshold(negative_entropy(p), p.argmax(1) == references)
    # the same texts as the test split
    assert later["atc"] == found["atc_here"] == atc(negative_entropy(probabilities(given.scored)[0]), threshold)
    assert later["notes"] == ["60 of its 60 rows are also rows of test"]
    assert "later accuracy 0.5000" in "\n".join(block.lines(found))


def test_classes_of_another_split_are_matched_by_name(tmp_path):
    right = answered(evidence(tmp_path / "first", test=texts(60, 2)))
    kinds = [row["kind"] for row in right]
    path = put(tmp_path / "later.csv", [row for row in right if row["kind"] != "a"] or right)
    spec = f"{{path: {path}, columns: {{text: said, label: kind}}}}"
    if len(set(kinds) - {"a"}) > 1:
        found = block.block(evidence(tmp_path / "second", f"score.shift={{later: {spec}}}", test=right))
        assert found["splits"]["later"]["accuracy"]["value"] == 1
    path = put(tmp_path / "later.csv", [*right[:20], {**right[0], "kind": "d"}])
    with pytest.raises(BadInput, match=r"score\.shift\.later: the data has classes that .* does not know: d"):
        block.block(evidence(tmp_path / "third", f"score.shift={{later: {spec}}}", test=right))


def test_without_validation_there_is_no_estimate(tmp_path):
    path = put(tmp_path / "later.csv", texts(30, 5))
    spec = f"{{path: {path}, columns: {{text: said, label: kind}}, max_samples: 20}}"
    found = block.block(evidence(tmp_path, f"score.shift={{later: {spec}}}", validation=[]))
    later = found["splits"]["later"]
    assert later["atc"] is None
    assert later["n"] == 20
    assert "set data.validation" in later["why"]


def test_values_have_errors_instead_of_accuracy(tmp_path):
    numbers = {
        name: [{**row, "kind": str(i / 7), "place": "xy"[i >= 20]} for i, row in enumerate(texts(40, seed))]
        for seed, name in enumerate(("train", "validation", "test"))
    }
    given = evidence(tmp_path, "score.groups=[place]", problem="regression", names=("value",), **numbers)
    found = block.block(given)
    assert found["measure"] == "mae"
    errors = np.abs(given.scored.logits - given.scored.references).ravel()
    assert found["mae"]["value"] == pytest.approx(errors.mean())
    assert found["worst"]["group"] == "y"  # whose values are larger, and the model answers all near 0
    assert found["worst"]["mae"]["value"] == pytest.approx(errors[20:].mean())


def test_nothing_is_computed_where_nothing_is_asked_for(tmp_path):
    assert block.block(evidence(tmp_path)) is None


def test_a_column_that_is_not_there_is_refused_before_training(tmp_path):
    given = evidence(tmp_path, "score.groups=[plase]")
    message = r"score\.groups: no column 'plase' in split test; did you mean 'place'\? \(it has: said, kind, place\)"
    with pytest.raises(DataError, match=message):
        block.block(given)
    splits = load_splits(given.recipe.data, given.recipe.the_task)[0]
    for key, match in (
        ("score.groups=[place, plase]", "no column 'plase' in split validation"),
        ("score.ood={far: {path: ./gone.csv}}", r"score\.ood\.far\.path: no file './gone\.csv'"),
        ("score.shift={far: {path: ./gone.csv}}", r"score\.shift\.far\.path: no file './gone\.csv'"),
    ):
        with pytest.raises(DataError, match=match):
            check_further(load_recipe(tmp_path / "run" / "recipe.yaml", key).score, splits)


def test_a_column_of_too_many_values_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(block, "MOST_GROUPS", 10)
    with pytest.raises(BadInput, match=r"column 'said' has 45 different values in 45 rows; at most 10 are shown"):
        block.block(evidence(tmp_path, "score.groups=[said]"))


def test_recipes_refuse_groups_of_a_stream_and_one_name_twice(tmp_path):
    evidence(tmp_path)
    for overrides, message in (
        (["score.groups=[place]", "data.streaming=true"], "score.groups: needs stored rows"),
        (["score.ood={a: {path: x.csv}}", "score.shift={a: {path: y.csv}}"], "also the name of a set in score.ood"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe(tmp_path / "run" / "recipe.yaml", *overrides)
