"""Figures as a reader wants them."""

import math

import pytest

from hfft.report.numbers import number


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0"),
        (0.0, "0"),
        (1234, "1,234"),
        (0.5, "0.5000"),
        (-1234.5, "-1,234.5000"),
        (1e-3, "0.0010"),
        (9.99e-4, "9.99e-04"),
        (1e6, "1.00e+06"),
        (math.nan, "nan"),
    ],
)
def test_a_figure_is_readable_at_any_size(value, shown):
    assert number(value) == shown
