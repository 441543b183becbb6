"""What the figures of a run do not say: chance, classes that are never found, few rows."""

import numpy as np
import pytest

from hfft.evaluate.findings import findings
from hfft.evaluate.outputs import Outputs
from hfft.tasks.labels import Labels

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
LONGER = "raise training.learning_rate or train longer (training.num_train_epochs)"


def scored(correct, present, names="abcdef", split="test"):
    """The scores of a split with so many right of so many rows of each class."""
    table = [
        {"class": name, "recall": right / n if n else 0.0, "n": n}
        for name, right, n in zip(names, correct, present, strict=False)
    ]
    return {split: {"metrics": {"n": sum(present)}, "classes": table}}


def test_good_figures_on_enough_rows_need_no_line():
    assert findings(scored([40, 30], [50, 50]), SINGLE, {"a": 50, "b": 50}) == []


def test_a_classifier_no_better_than_the_most_frequent_class_is_told():
    for right in ([60, 0], [40, 20]):
        found = findings(scored(right, [60, 40]), SINGLE, {"a": 60, "b": 40})
        assert found[0].startswith("test (n=100): accuracy 0.600 is no better than always answering 'a' (0.600)")
        assert [line.endswith(f"; {LONGER}") for line in found] == [False] * (len(found) - 1) + [True]
    assert findings(scored([41, 20], [60, 40]), SINGLE, {"a": 60, "b": 40}) == []


def test_classes_that_are_never_found_are_told_with_their_rows():
    found = findings(scored([60, 0, 30, 0, 0], [60, 4, 40, 3, 0]), SINGLE, {"a": 60, "b": 10, "c": 40, "d": 9, "e": 8})
    assert found == [
        "test (n=107): recall 0 for 2 of 5 classes: 'b' (of 4), 'd' (of 3); train has 8 to 60 rows a class: try "
        f"strategy.class_weights=balanced, or {LONGER}"
    ]
    (line,) = findings(scored([60, 0], [50, 4]), SINGLE, {"a": 60, "b": 10}, weighted=True)
    assert line == f"test (n=54): recall 0 for class 'b' (of 4); {LONGER}"


def test_each_split_is_told_by_itself_and_an_unknown_train_gives_no_advice_on_its_classes():
    scores = {**scored([0, 50], [40, 50], split="validation"), **scored([50, 50], [50, 50])}
    found = findings(scores, SINGLE, {})
    assert [line.partition(":")[0] for line in found] == ["validation (n=90)"] * 2
    assert found[1].endswith(f"recall 0 for class 'a' (of 40); {LONGER}")


def test_labels_that_are_never_found_are_told_without_a_majority():
    (line,) = findings(scored([0, 9], [40, 10]), MULTI, {"a": 90, "b": 9})
    assert line.startswith("test (n=50): recall 0 for class 'a' (of 40); raise training.learning_rate")


@pytest.mark.parametrize(("loss", "told"), [(2.0, True), (2.5, True), (1.99, False)])
def test_numbers_no_better_than_their_mean_are_told(loss, told):
    scores = {"test": {"metrics": {"n": 50, "loss": loss}}}
    line = f"test (n=50): mean squared error {loss:.4g} is no better than always answering the mean of the split (2)"
    assert findings(scores, REGRESSION, {}, constants={"test": 2.0}) == ([f"{line}; {LONGER}"] if told else [])
    assert findings(scores, REGRESSION, {}) == []


def test_the_constant_is_the_loss_of_the_mean():
    values = np.random.default_rng(0).normal(3, 2, (40, 2)).astype("f4")
    outputs = Outputs("test", "test", Labels(REGRESSION, (), 2), values[:, 0], values[:, 0], values, values)
    mean = np.broadcast_to(values.mean(0), values.shape)
    assert outputs.constant() == pytest.approx(np.square(values - mean).mean())
    classes = Outputs("test", "test", Labels.of(SINGLE, "ab"), values[:, 0], values[:, 0], values, values[:, 0])
    assert classes.constant() is None


def test_few_rows_say_how_little_they_mean():
    (line,) = findings(scored([9, 5], [10, 6]), SINGLE, {})
    assert line == "test (n=16): so few rows say little; an accuracy of 0.875 may be 0.64 to 0.97 (95 %)"
    assert findings(scored([10, 10], [15, 15]), SINGLE, {}) == []
    (line,) = findings(scored([9, 5], [10, 6]), MULTI, {})
    assert line == "test (n=16): so few rows say little; a single row weighs 6%"
    (line,) = findings({"test": {"metrics": {"n": 29, "loss": 1.0}}}, "masked_language_modelling", {})
    assert line == "test (n=29): so few rows say little; a single row weighs 3%"
