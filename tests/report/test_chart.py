"""The charts: inside their frame from one logged point to ten thousand, and a caption that says what they show."""

import math
import random
import re
from html import unescape

import pytest

from hfft.report import chart
from hfft.report.page import environment
from tests.report.runs import HOSTILE, Reader


def figure(*given):
    """A chart with its caption, as HTML."""
    return str(environment().get_template("macros.html.j2").module.figure(chart.curve(*given)))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 299, 300, 301, 302, 599, 10_000])
def test_thinning_keeps_ends_extremes_mean_and_order(count):
    rng = random.Random(count)
    points = [(i, rng.gauss(0, 1)) for i in range(count)]
    bins = chart.thin(points)
    assert len(bins) <= chart.MOST_POINTS
    assert [x for x, *_ in bins] == sorted(x for x, *_ in bins)
    assert all(low <= mean <= high for _, mean, low, high in bins)
    if count <= chart.MOST_POINTS:
        assert bins == [(x, y, y, y) for x, y in points]
    if points:
        assert (bins[0][:2], bins[-1][:2]) == (points[0], points[-1])
        assert min(low for *_, low, _ in bins) == min(y for _, y in points)
        assert max(high for *_, high in bins) == max(y for _, y in points)


def coordinates(svg):
    """All (x, y) that paths visit."""
    return [
        tuple(map(float, p))
        for d in re.findall(r' d="([^"]*)"', svg)
        for p in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", d)
    ]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        [0.5],
        [0.0],
        [-3.0, -3.0],
        [1e-9, 1e9],
        [0.0, 1e-7],
        [1e-30, 1.0],
        [0.1, 9.99, 10.0],
        [float("nan")],
        [1e12] * 40,
    ],
)
def test_a_curve_stays_inside_its_frame_and_has_ticks(values, log):
    html = figure("loss", [("train", 0, [(5 * i, value) for i, value in enumerate(values)])], log)
    Reader(html)
    assert all(chart.LEFT <= x <= chart.WIDTH for x, _ in coordinates(html))
    assert all(0 <= y <= chart.HEIGHT for _, y in coordinates(html))
    assert 2 <= html.count('class="grid"') <= 8
    assert "nan" not in re.sub("<figcaption>.*</figcaption>", "", html)


def test_a_curve_tells_extremes_and_what_is_not_finite():
    points = [(10, 3.0), (20, 0.25), (30, math.nan), (40, math.inf), (50, 0.5)]
    text = unescape(Reader(figure("loss", [("train", 0, points)])).text)
    assert "train: last 0.5000, lowest 0.2500 (step 20), highest 3.0000 (step 10); not finite: 2 of 5" in text
    assert chart.curve("loss", [("train", 0, [])]) is None


def test_ticks_are_few_round_and_inside():
    rng = random.Random(0)
    for _ in range(2000):
        low = rng.uniform(-1, 1) * 10 ** rng.uniform(-6, 6)
        high = low + abs(low) * 10 ** rng.uniform(-4, 4)
        found = chart.ticks(low, high)
        slack = 1e-6 * (high - low)
        assert 2 <= len(found) <= 7
        assert low - slack <= found[0] < found[-1] <= high + slack


def test_names_in_a_caption_stay_text():
    page = Reader(figure(HOSTILE, [(HOSTILE, 0, [(1, 0.5)])]))
    assert "script" not in page.seen
    assert page.text.count(HOSTILE) >= 2
