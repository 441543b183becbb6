"""Averages and interpolations of weights as pure functions."""

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.pipeline.soup.weights import alphas, average, greedy, interpolate


def model(seed):
    draw = np.random.default_rng(seed)
    return {
        "body": torch.from_numpy(draw.normal(size=(3, 2))).float(),
        "head": torch.from_numpy(draw.normal(size=4)).float(),
        "steps": torch.tensor(seed),
    }


def test_the_average_is_the_mean_of_each_tensor():
    models = [model(seed) for seed in range(3)]
    found = average(models)
    for name in ("body", "head"):
        np.testing.assert_allclose(found[name], np.mean([m[name].numpy() for m in models], axis=0), rtol=1e-6)
    assert found["steps"] == 0
    assert found["body"].dtype == torch.float32


def test_an_interpolation_keeps_the_head_of_the_end():
    start, end = model(0), model(1)
    found = interpolate(start, end, 0.3, {"head"})
    np.testing.assert_allclose(found["body"], 0.7 * start["body"].numpy() + 0.3 * end["body"].numpy(), rtol=1e-6)
    assert torch.equal(found["head"], end["head"])
    assert found["steps"] == 1
    assert all(torch.equal(tensor, end[name]) for name, tensor in interpolate(start, end, 1.0).items())
    assert torch.equal(interpolate(start, end, 0.0)["body"], start["body"])


@pytest.mark.parametrize("smaller", [False, True])
def test_a_greedy_soup_takes_what_does_not_make_it_worse(smaller):
    sign = -1 if smaller else 1
    scores = {(2, 0): 0.80, (2, 0, 3): 0.79, (2, 0, 1): 0.80}  # in order of 0.8, 0.75, 0.7, 0.6
    asked = []

    def score(chosen):
        asked.append(tuple(chosen))
        return sign * scores[tuple(chosen)]

    assert greedy(4, [sign * s for s in (0.75, 0.6, 0.8, 0.7)], score, smaller) == [2, 0, 1]
    assert asked == [(2, 0), (2, 0, 3), (2, 0, 1)]


def test_a_greedy_soup_of_one_is_the_best_model():
    assert greedy(3, [0.1, 0.9, 0.5], lambda chosen: 0.2) == [1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:1:0.25", [0, 0.25, 0.5, 0.75, 1]),
        ("0:1:0.1", [i / 10 for i in range(11)]),
        ("0.3:0.8:0.2", [0.3, 0.5, 0.7]),
        ("0.5", [0.5]),
        ("0,.5,1", [0, 0.5, 1]),
    ],
)
def test_the_shares_of_a_command_line(text, expected):
    assert alphas(text) == expected


@pytest.mark.parametrize("text", ["", "x", "0:1", "0:2:0.5", "1:0:0.1", "0:1:0", "-0.1", "1.1", "0:1:0.1:2"])
def test_other_shares_are_refused(text):
    with pytest.raises(BadInput, match=r"--with-start .*expected START:END:STEP"):
        alphas(text)
