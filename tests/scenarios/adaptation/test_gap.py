"""Distances of feature sets against their definitions, and the command that prints them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.linalg import sqrtm

from hfft.cli import main
from hfft.scenarios.adaptation import gap


@pytest.fixture
def sets() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 4)), rng.normal(size=(45, 4)) * 1.5 + 0.6


def test_mmd_is_the_unbiased_sum_over_pairs(sets) -> None:
    x, y = sets
    z = np.concatenate([x, y])
    squared = ((z[:, None] - z[None]) ** 2).sum(2)
    middle = np.median(squared[np.triu_indices(len(z), 1)])

    def k(a, b):
        return sum(np.exp(-((a - b) ** 2).sum() / (middle * f)) for f in (0.25, 0.5, 1, 2, 4))

    def mean(p, q, same):
        pairs = [k(a, b) for i, a in enumerate(p) for j, b in enumerate(q) if not (same and i == j)]
        return np.mean(pairs)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    found = gap.mmd(x, y)
    assert found["value"] == pytest.approx(expected, abs=1e-10)
    assert found["p"] == pytest.approx(1 / (gap.PERMUTATIONS + 1)), "the sets differ"


def test_mmd_of_one_distribution_has_p_values_all_over() -> None:
    rng = np.random.default_rng(1)
    found = [gap.mmd(rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), permutations=99) for _ in range(40)]
    ps = np.array([one["p"] for one in found])
    assert 0.3 < ps.mean() < 0.7
    assert abs(np.mean([one["value"] for one in found])) < 0.02, "unbiased"


def test_frechet_distance_is_its_formula(sets) -> None:
    x, y = sets
    a, b = np.cov(x.T), np.cov(y.T)
    middle = x.mean(0) - y.mean(0)
    expected = middle @ middle + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert gap.frechet_distance(x, y) == pytest.approx(expected)
    assert gap.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert gap.frechet_distance(x, x + 2.0) == pytest.approx(16)


def test_proxy_a_distance_goes_from_none_to_two(sets) -> None:
    rng = np.random.default_rng(0)
    same = gap.proxy_a_distance(rng.normal(size=(200, 3)), rng.normal(size=(150, 3)))
    apart = gap.proxy_a_distance(rng.normal(size=(200, 3)), rng.normal(size=(150, 3)) + 9)
    assert same["low"] == 0
    assert same["value"] < 0.3
    assert apart["value"] == 2
    assert apart["low"] < apart["high"] == 2
    between = gap.proxy_a_distance(*sets)
    assert same["value"] < between["value"] < 2
    assert between["low"] <= between["value"] <= between["high"]


def test_classes_are_compared_by_name_and_rare_ones_are_only_counted() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(44, 3)), rng.normal(size=(44, 3))
    names = np.array(["2"] * 20 + ["10"] * 20 + ["x"] * 4, dtype=object)
    y[:20] += 5
    found = gap.per_class(x, names, y, names)
    assert list(found) == ["2", "10", "x"], "numbers by value"
    assert found["2"]["mmd"] > 0.5 > found["10"]["mmd"]
    assert found["x"] == {"rows": [4, 4]}
    assert gap.label_shift(names, names) == 0
    assert gap.label_shift(names[:20], names[20:40]) == 1


def test_the_nearest_source_is_named_and_so_is_disagreement() -> None:
    def of(pad, mmd, frechet):
        return {"proxy_a_distance": {"value": pad}, "mmd": {"value": mmd}, "frechet": {"value": frechet}}

    assert gap.nearest({"a": of(1, 0.1, 5), "b": of(2, 0.2, 9)}) == ("a", [])
    assert gap.nearest({"a": of(2, 0.1, 5), "b": of(1, 0.2, 9)}) == ("a", ["proxy_a_distance says b"])


@pytest.mark.slow
def test_the_command_measures_two_sets_and_names_the_nearest_source(capsys) -> None:
    assert main(["gap", "printed_digits", "digits", "--backbone", "nano-vit", "--rows", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["to"]["printed_digits"]
    assert found["rows"] == [100, 100]
    assert found["mmd"]["value"] > 5 * abs(found["no_gap"]["mmd"])
    assert sum(one["rows"][0] for one in found["classes"].values()) == 100
    words = ["gap", "digits", "--sources", "printed_digits", "--by", "domain", "--backbone", "nano-vit", "--rows", "60"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "drawn: digits: 60 of 1297 rows" in said
    assert all(pen in said for pen in ("fine", "bold", "italic", "outline", "rough"))
    assert "nearest by MMD: " in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits"], "1 data sets are named; name two"),
        (["digits", "letters", "--sources", "printed_digits"], "name two, or the target alone"),
        (["digits", "digits"], "digits: is named twice"),
        (["digits", "letters", "--by", "domain"], "--by: divides sources"),
        (["digits", "letters", "--rows", "5"], "--rows 5"),
        (["digits", "--sources", "printed_digits", "--by", "pen"], "no column 'pen'"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(words, said, capsys) -> None:
    assert main(["gap", *words, "--backbone", "nano-vit"]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
