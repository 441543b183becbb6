"""The block of rows out of distribution: given and made sets, rows that the task has too, models without features."""

import json

import numpy as np
import pytest
from PIL import Image

from hfft.errors import BadInput, RecipeError
from hfft.evaluate import intervals, ood
from hfft.predict.head_inputs import logits_and_features
from hfft.recipe import load_recipe
from hfft.scorecard import answered, made_up, sampling, scorecard
from hfft.scorecard.blocks import ood as block
from tests.scorecard.model_runs import evidence, put, texts

SCORES = {"msp", "max_logit", "energy", "knn", "rmds", "vim"}
FIGURES = {"auroc", "aupr_in", "aupr_out", "fpr95", "fpr95_id"}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Intervals are tested elsewhere."""
    monkeypatch.setattr(intervals, "RESAMPLES", 20)
    monkeypatch.setattr(intervals, "FEWEST", 20)


def test_without_a_given_set_three_are_made(tmp_path):
    found = block.block(evidence(tmp_path))
    assert {"split": "test", "n": 45, "fitted_on": "train", "fitted_n": 90}.items() <= found.items()
    assert [(name, one["kind"], one["near"]) for name, one in found["sets"].items()] == [
        ("shuffled_words", "synthetic", True),
        ("random_words", "synthetic", True),
        ("random_letters", "synthetic", False),
    ]
    for one in found["sets"].values():
        assert set(one["scores"]) == SCORES
        assert all(set(figures) == FIGURES for figures in one["scores"].values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    said = "\n".join(block.lines(found))
    assert "random_letters (synthetic, far, n=45)" in said
    assert "neighbour 30 in place of 50" in said
    assert found["neighbours"] == 30


def test_a_given_set_is_scored_and_rows_of_the_task_in_it_are_told(tmp_path):
    test, outside = texts(45, 2), texts(40, 9)
    mixed = [*outside[:36], *test[:3], {**outside[0], "said": " "}]
    path = put(tmp_path / "other.csv", [{"words": row["said"]} for row in mixed])
    given = evidence(
        tmp_path, f"score.ood={{other: {{path: {path}, columns: {{text: words}}, near: true}}}}", test=test
    )
    found = block.block(given)
    one = found["sets"]["other"]
    assert (one["kind"], one["near"], one["n"]) == ("given", True, 39)
    assert one["notes"][0] == "1 rows cannot be read and are left out"
    assert one["notes"][1] == "3 of 39 rows are also rows of test: they are not out of distribution"
    inside, features = (
        part.double().numpy() for part in logits_and_features(given.predictor, [r["said"] for r in test])
    )
    outer, others = (
        part.double().numpy() for part in logits_and_features(given.predictor, [r["said"] for r in mixed[:-1]])
    )
    train = logits_and_features(given.predictor, [r["said"] for r in texts(90, 0)])[1].double().numpy()
    fitted = ood.Neighbours.fit(train, 30)
    for score, values in (
        ("energy", (ood.energy(inside), ood.energy(outer))),
        ("knn", (fitted(features), fitted(others))),
    ):
        expected = ood.figures_of(*values)(np.ones((1, 84)))
        for name, value in expected.items():
            assert one["scores"][score][name]["value"] == pytest.approx(value[0], abs=1e-6), (score, name)


def test_the_rate_of_unknown_is_told_for_each_set(tmp_path):
    outside = texts(40, 9)
    path = put(tmp_path / "other.csv", [{"words": row["said"]} for row in outside])
    setting = f"score.ood={{other: {{path: {path}, columns: {{text: words}}}}}}"
    given = evidence(tmp_path, setting)
    card = scorecard.make(given, ["unknown", "ood"])["blocks"]
    confidences = given.predictor([row["said"] for row in outside]).max(1).values.numpy()
    expected = (confidences < card["unknown"]["threshold"]).mean()
    assert card["unknown"]["ood"] == {"other": pytest.approx(expected, abs=1 / 40)}
    without = scorecard.make(evidence(tmp_path / "none", setting, validation=[]), ["unknown", "ood"])["blocks"]
    assert "unknown" not in without["ood"]["sets"]["other"]
    assert "ood" not in without["unknown"]


def test_a_set_that_cannot_be_read_is_refused_in_one_line(tmp_path):
    path = put(tmp_path / "other.csv", [{"words": "x y"}])
    given = evidence(tmp_path, f"score.ood={{other: {{path: {path}, columns: {{text: word}}}}}}")
    with pytest.raises(BadInput, match=r"score\.ood\.other\.columns\.text: no column 'word'; did you mean 'words'\?"):
        block.block(given)


def test_a_model_without_features_has_the_scores_of_its_logits(tmp_path, monkeypatch):
    monkeypatch.setattr(block, "no_features", lambda predictor: "it has none")
    found = block.block(evidence(tmp_path))
    assert all(set(one["scores"]) == {"msp", "max_logit", "energy"} for one in found["sets"].values())
    assert found["why"] == dict.fromkeys(("knn", "rmds", "vim"), "it has none")


def test_a_head_that_is_not_linear_has_no_virtual_logit(tmp_path, monkeypatch):
    monkeypatch.setattr(block, "last_layer", lambda model: model)
    found = block.block(evidence(tmp_path))
    assert found["why"] == {"vim": "the head's last layer is not a linear layer of its features"}


def test_a_regression_has_no_such_block_and_refuses_sets(tmp_path):
    numbers = {name: [{**row, "kind": str(i / 7)} for i, row in enumerate(texts(20, 3))] for name in ("train", "test")}
    given = evidence(tmp_path, problem="regression", names=("value",), validation=[], **numbers)
    assert block.block(given) is None
    with pytest.raises(RecipeError, match=r"score\.ood: needs one class a row, which regression does not have"):
        load_recipe(tmp_path / "run" / "recipe.yaml", "score.ood={other: {path: other.csv}}")


def test_drawn_rows_keep_the_proportions_of_classes():
    classes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    found = sampling.stratified(classes, 200, seed=1)
    assert len(found) == len(set(found.tolist())) == 200
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(np.bincount(classes[found]), [120, 60, 20], atol=1)
    assert not np.array_equal(found, sampling.stratified(classes, 200, seed=2))
    assert sampling.stratified(classes[:5], 200, seed=1).tolist() == [0, 1, 2, 3, 4]


def test_outputs_that_are_not_finite_are_refused(tmp_path):
    predictor = evidence(tmp_path).predictor
    with pytest.raises(BadInput, match="no rows to run the model on"):
        answered.answered(predictor, [])
    predictor.model.classifier.weight.data[0, 0] = float("nan")
    with pytest.raises(BadInput, match="outputs for 2 of 2 rows are not finite"):
        answered.answered(predictor, ["film good", "bad"])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_made_images_have_the_size_of_the_given_ones(mode):
    rng = np.random.default_rng(0)
    given = [Image.new(mode, (20, 30)), Image.new(mode, (7, 5))]
    for make, _ in made_up.SETS["image"].values():
        made = list(make(given, rng))
        assert [(one.size, one.mode) for one in made] == [((20, 30), mode), ((7, 5), mode)]
    (white,) = made_up.bernoulli([Image.new(mode, (300, 300))], rng)
    assert (np.asarray(white) / 255).mean() == pytest.approx(0.7, abs=0.01)
    assert set(np.unique(np.asarray(white))) == {0, 255}


def test_made_texts_are_of_the_words_or_lengths_of_the_given_ones():
    rng = np.random.default_rng(0)
    given = ["one two three four five six", ("a pair", "of texts here")]
    (text, pair) = made_up.shuffled_words(given, rng)
    assert sorted(text.split()) == sorted(given[0].split())
    assert [sorted(part.split()) for part in pair] == [["a", "pair"], ["here", "of", "texts"]]
    known = set(given[0].split()) | {"a", "pair", "of", "texts", "here"}
    (text, pair) = made_up.random_words(given, rng)
    assert [len(part.split()) for part in (text, *pair)] == [6, 2, 3]
    assert set(" ".join([text, *pair]).split()) <= known
    (text, pair) = made_up.random_letters(given, rng)
    assert [len(word) for word in text.split()] == [3, 3, 5, 4, 4, 3]
