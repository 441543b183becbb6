"""NCE against the entropies that it is the difference of."""

import numpy as np
import pytest
from scipy.stats import entropy

from hfft.rank.nce import nce


def test_it_is_the_entropy_of_the_classes_left_after_the_sources():
    rng = np.random.default_rng(0)
    source = rng.integers(0, 5, 200)
    target = (source + rng.integers(0, 2, 200)) % 3
    joint = np.histogram2d(source, target, bins=(5, 3))[0].ravel()
    expected = entropy(np.bincount(source)) - entropy(joint)  # H(Z) - H(Y, Z)
    assert nce(source, target) == pytest.approx(expected, abs=1e-12)


def test_sources_that_tell_the_class_leave_nothing():
    target = np.arange(12) % 3
    assert nce(target * 7, target) == 0
    assert nce(np.zeros(12, int), target) == pytest.approx(-np.log(3))
    assert nce(np.arange(12), target) == 0
