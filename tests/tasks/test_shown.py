"""What is reported of a prediction: by default, on request, and what a problem does not have."""

import pytest
import torch

from hfft.errors import BadInput
from hfft.tasks.problem import PROBLEMS, Shown
from hfft.tasks.problem.shown import rounded
from tests.examples import MULTI, REGRESSION, SINGLE

NAMES = {0: "a", 1: "b", 2: "c=d"}
ROW = torch.tensor([0.25, 0.5, 0.125])


@pytest.mark.parametrize(
    ("problem", "shown", "told"),
    [
        (SINGLE, Shown(top_k=2), {"label": ["b", "a"], "probability": [0.5, 0.25]}),
        (SINGLE, Shown(top_k=1), {"label": ["b"], "probability": [0.5]}),
        (MULTI, Shown(top_k=2), {"label": ["b", "a"], "probability": [0.5, 0.25]}),
        (MULTI, Shown(threshold=0.25), {"label": ["a", "b"], "probability": [0.25, 0.5]}),
        (MULTI, Shown(thresholds={"b": 0.75, "c=d": 0.1}), {"label": ["c=d"], "probability": [0.125]}),
        (MULTI, Shown(threshold=0.0, thresholds={"a": 1.0}), {"label": ["b", "c=d"], "probability": [0.5, 0.125]}),
    ],
)
def test_what_is_asked_for_is_reported(problem, shown, told):
    PROBLEMS[problem].check_shown(shown, NAMES)
    assert PROBLEMS[problem].describe(ROW, NAMES, shown) == told


@pytest.mark.parametrize("problem", [SINGLE, MULTI])
def test_every_class_has_its_probability_on_request(problem):
    told = PROBLEMS[problem].describe(ROW, NAMES, Shown(probabilities=True))
    assert told["probabilities"] == {"a": 0.25, "b": 0.5, "c=d": 0.125}
    assert list(told) == ["label", "probability", "probabilities"]


@pytest.mark.parametrize(
    ("problem", "shown", "message"),
    [
        (SINGLE, Shown(threshold=0.5), "--threshold: is for multi-label models"),
        (SINGLE, Shown(thresholds={"a": 0.5}), "--threshold: is for multi-label models"),
        (SINGLE, Shown(top_k=4), "--top-k 4: the model has 3 classes; use 1 to 3"),
        (MULTI, Shown(top_k=0), "--top-k 0: the model has 3 classes"),
        (MULTI, Shown(top_k=1, threshold=0.2), "--top-k already selects the classes"),
        (
            MULTI,
            Shown(thresholds={"A": 0.5}),
            "--threshold A: no class 'A'; did you mean 'a'? (the model has: a, b, c=d)",
        ),
        (REGRESSION, Shown(top_k=1), "--top-k: is about classes"),
        (REGRESSION, Shown(probabilities=True), "--probabilities: is about classes"),
        (REGRESSION, Shown(threshold=0.5), "--threshold: is about classes"),
    ],
)
def test_what_a_problem_does_not_have_is_refused(problem, shown, message):
    with pytest.raises(BadInput) as caught:
        PROBLEMS[problem].check_shown(shown, NAMES)
    assert message in str(caught.value)


def test_thresholds_of_a_command_line():
    assert Shown.of(True, 3, []) == Shown(probabilities=True, top_k=3)
    assert Shown.of(False, None, ["0.4", "a=0.3", "c=d=1"]) == Shown(threshold=0.4, thresholds={"a": 0.3, "c=d": 1.0})
    for wrong in ("x", "a=", "a=b", "1.5", "a=-0.1", "nan", ""):
        with pytest.raises(BadInput, match="expected a number between 0 and 1, or CLASS=NUMBER"):
            Shown.of(False, None, [wrong])


def test_numbers_are_short_and_never_what_json_lacks():
    assert rounded(0.12345678) == 0.123457
    assert rounded(float("nan")) is rounded(float("inf")) is None
