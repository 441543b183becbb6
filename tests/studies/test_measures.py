"""What measured children are scored by."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from hfft.classifier import ClassifierSpec, fit
from hfft.features import Features
from hfft.recipe import load_recipe
from hfft.studies.measures import main_score


def test_a_classifier_is_scored_by_the_recipes_first_metric_as_its_runs_are():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(60, 4)).astype(np.float32), np.array([0] * 40 + [1] * 15 + [2] * 5)
    x[:, 0] += labels
    rows = Features(x, labels, None, ("a", "b", "c"), "mean", -1)
    fitted = fit(ClassifierSpec(type="logistic-regression", C=1.0), x, labels, seed=0, names=rows.names)
    answers = fitted.logits(x).argmax(1)
    found = main_score(load_recipe("digits", "score.metrics=[f1_macro,accuracy]"), fitted, rows)
    assert found == {"f1_macro": pytest.approx(f1_score(labels, answers, average="macro")), "n": 60}
    found = main_score(load_recipe("digits"), fitted, rows)
    assert found == {"accuracy": pytest.approx(np.mean(answers == labels)), "n": 60}
