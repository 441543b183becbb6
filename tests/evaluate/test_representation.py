"""How much a model changed: CKA by its properties and its definition, distances by hand."""

import numpy as np
import pytest
import torch

from hfft.evaluate.representation import distances, linear_cka

RNG = np.random.default_rng(0)


def test_cka_ignores_rotation_shift_and_scale_and_is_small_for_unrelated_features():
    x = RNG.normal(size=(500, 8))
    rotation, _ = np.linalg.qr(RNG.normal(size=(8, 8)))
    assert linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1)
    assert linear_cka(x, RNG.normal(size=(500, 8))) < 0.05
    assert linear_cka(x, np.ones((500, 3))) == 0


def test_cka_is_the_alignment_of_the_centred_kernels():
    x, y = RNG.normal(size=(40, 5)), RNG.normal(size=(40, 7))
    centre = np.eye(40) - 1 / 40
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    assert linear_cka(x, y) == pytest.approx((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()), abs=1e-9)
    with pytest.raises(ValueError, match="40 and 39 rows"):
        linear_cka(x, y[:-1])


def test_distances_are_relative_to_the_start_and_leave_out_what_has_another_shape():
    start = {"a": torch.tensor([3.0, 4.0]), "b": torch.ones(4), "c": torch.ones(2), "zero": torch.zeros(2)}
    now = {"a": torch.tensor([3.0, 4.5]), "b": torch.ones(4), "c": torch.ones(3), "zero": torch.ones(2)}
    found = distances(start, now, {"a": 0, "b": 1, "c": 1, "zero": 2, "gone": 3})
    assert found == {0: pytest.approx(0.1), 1: 0.0}
