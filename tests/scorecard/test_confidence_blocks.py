"""The blocks of calibration, selective prediction and `unknown` on made-up outputs: figures, intervals, and what is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit, softmax

from hfft.evaluate.outputs import Outputs
from hfft.scorecard import scorecard
from hfft.scorecard.blocks import calibration, selective, unknown
from hfft.scorecard.evidence import Evidence
from hfft.tasks.labels import Labels

NAMES = ("calibration", "selective", "unknown")


def outputs(split, problem, logits, references):
    labels = Labels.of(problem, [f"class {i}" for i in range(logits.shape[1])])
    ones = np.ones(len(logits), "float32")
    return Outputs(split, "given", labels, ones, ones, logits.astype("float32"), references)


def drawn(n, seed, factor=2.0, c=4):
    """Logits that are calibrated at the temperature `factor`, and classes."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, c))
    return factor * z, (rng.random((n, 1)) > softmax(z, axis=1).cumsum(1)).sum(1).clip(0, c - 1)


def evidence(problem="single_label_classification", validation=200, test=300, of=drawn, metrics=None):
    given = {"test": outputs("test", problem, *of(test, 3))}
    if validation:
        given["validation"] = outputs("validation", problem, *of(validation, 4))
    return Evidence("runs/x", SimpleNamespace(seed=7), metrics or {}, given)


def test_an_overconfident_model_is_found_and_its_temperature():
    found = calibration.block(evidence())
    before, after = found["figures"], found["after"]["figures"]
    assert found["after"]["temperature"] == pytest.approx(2, rel=0.15)
    assert (found["after"]["fitted_on"], found["after"]["fitted_n"], found["n"]) == ("validation", 200, 300)
    for name in ("ece", "ece_equal_mass", "classwise_ece", "rms", "nll"):
        assert before[name]["low"] <= before[name]["value"] <= before[name]["high"], name
        assert after[name]["value"] < before[name]["value"], name
    assert before["ece"]["low"] > 0
    assert after["ece"]["low"] == 0, "a calibrated model has such an error by chance"
    assert set(found["if_calibrated"]) == {"ece", "ece_equal_mass", "classwise_ece", "rms"}
    assert sum(one["n"] for one in found["bins"]) == 300


def test_labels_of_rows_with_several_have_errors_but_no_threshold_and_no_sets():
    def several(n, seed):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(n, 3))
        return 3 * z, (rng.random((n, 3)) < expit(z)).astype("float32")

    given = evidence("multi_label_classification", of=several)
    assert calibration.block(given)["after"]["temperature"] == pytest.approx(3, rel=0.2)
    assert selective.block(given) is unknown.block(given) is None


def test_a_regression_has_none_of_these_blocks():
    def values(n, seed):
        y = np.random.default_rng(seed).normal(size=(n, 1)).astype("float32")
        return y, y

    card = scorecard.make(evidence("regression", of=values), NAMES)
    assert not card["blocks"]


@pytest.mark.parametrize("validation", [0, 1, 8, 18, 19])
@pytest.mark.parametrize("test", [1, 2, 40])
def test_few_rows_have_figures_or_a_reason_with_a_remedy(validation, test):
    card = scorecard.make(evidence(validation=validation, test=test), NAMES)
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    found = card["blocks"]
    assert not any("error" in block for block in found.values()), found
    refused = {name for name in NAMES if "not_fitted" in found[name]}
    assert ("calibration" in refused) == (validation == 0)
    assert ("selective" in refused) == (validation < 9)
    assert ("unknown" in refused) == (validation < 19)
    assert all("set data.validation" in found[name]["not_fitted"] for name in refused)
    assert all(scorecard.lines(card))


def test_nothing_is_fitted_on_the_rows_that_are_scored():
    given = evidence(validation=50)
    alone = Evidence("runs/x", given.recipe, {}, {"validation": given.outputs["validation"]})
    assert all("not_fitted" in scorecard.make(alone, NAMES)["blocks"][name] for name in NAMES)


def test_sets_and_rejections_are_near_what_was_asked():
    given = evidence(validation=1000, test=1000)
    sets, said = selective.block(given)["conformal"], unknown.block(given)
    assert sets["coverage"]["value"] == pytest.approx(0.9, abs=0.03)  # two splits of 1,000 rows: three deviations
    assert 1 < sets["mean_size"]["value"] < 4
    assert said["rejected"]["value"] == pytest.approx(0.05, abs=0.03)
    assert said["accuracy_of_the_rest"]["value"] > np.mean(given.scored.logits.argmax(1) == given.scored.references)


def test_rates_of_rows_of_no_class_are_those_of_the_block_that_runs_them():
    said = unknown.block(evidence())
    outside = {"sets": {"noise": {"n": 10, "unknown": 0.4}, "blobs": {"n": 10}}}
    assert unknown.with_sets(said, outside)["ood"] == {"noise": 0.4}
    assert unknown.with_sets(said, {"error": "x"}) == said
    assert "of noise 0.4000" in unknown.lines(unknown.with_sets(said, outside))


def test_logits_that_are_not_finite_are_told():
    logits, references = drawn(10, 0)
    logits[3] = np.nan
    card = scorecard.make(evidence(of=lambda n, seed: (logits, references)), NAMES)
    assert all("not finite" in block["error"] for block in card["blocks"].values())
