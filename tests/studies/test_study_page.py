"""The page of a study: one file, its answer first, whatever is in it escaped."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

from hfft.studies import chart
from hfft.studies.compare import Compare
from hfft.studies.page import render_study
from hfft.studies.table import Cell, Line, Plot, Row, Table
from tests.studies.fake_runs import tiny

TABLE = Table(
    "A <b>answer</b>.",
    ("acc", "diff"),
    (
        Row("a", {"acc": Cell({1: 0.5, 2: 0.7})}),
        Row("b", {"acc": Cell({1: 0.6}), "diff": Cell({1: 0.1, 2: 0.3}, signed=True)}, {2: "<script>"}),
    ),
    notes=("It did not reproduce.",),
)
STUDY = Compare(recipe=tiny(), question="Which?", arms={"a": {}, "b": {"layers.train": "head"}})


class Reader(HTMLParser):
    """Tags and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data.strip())


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_begins_with_the_answer_and_asks_for_nothing():
    page = read(render_study(STUDY, TABLE, left=3))
    names = [tag for tag, _ in page.tags]
    assert "script" not in names
    assert not any(key in ("src", "href", "onload") for _, given in page.tags for key in given)
    assert ("meta", "default-src 'none'; style-src 'unsafe-inline'") in [(t, a.get("content")) for t, a in page.tags]
    body = [text for text in page.text if text]
    assert body.index("A <b>answer</b>.") < body.index("Unfinished: 3 runs are left.") < body.index("Which?")
    assert names.index("svg") < names.index("table")
    assert "It did not reproduce." in body
    assert "b, seed 2: <script>" in body
    assert 'layers.train="head"' in body
    assert "0.6000 ± 0.1414" in body
    place = body.index("0.6000 ± 0.1414")
    assert body[place + 1] == "[-0.6706, 1.8706]"  # the t-interval of two values, 0.1 from their mean


def test_arms_are_drawn_with_a_dot_for_each_seed():
    svg = chart.arms(TABLE)
    assert svg.count('class="range c0"') == 1, "one value has no interval"
    assert len(re.findall(r"M[\d.]+ [\d.]+h0", svg)) == 3 + 2
    assert chart.arms(Table("", ("acc",), ())) is None
    assert chart.arms(Table("", (), ())) is None


def test_lines_are_drawn_over_a_logarithmic_axis_and_escaped():
    lines = [Line("pretrained", [(1, 0.5, 0.4, 0.6), (10, 0.8, 0.8, 0.8), (100, 0.9, 0.85, 0.95)]), Line("none", [])]
    svg = chart.plot(Plot("t", "rows <per class>", "accuracy", lines, log=True))
    assert "rows &lt;per class&gt;" in svg
    xs = [float(x) for x in re.findall(r"M([\d.]+) [\d.]+h0", svg)] or [
        float(x) for x in re.findall(r"M([\d.]+) [\d.]+(?=h0)", svg)
    ]
    assert xs[1] - xs[0] == xs[2] - xs[1]
    assert svg.count("V") == 2, "a point without an interval has no bar"
    assert chart.plot(Plot("t", "x", "y", [Line("none", [])])) is None
    assert chart.plot(Plot("t", "x", "y", [Line("one", [(5, 0.5, 0.5, 0.5)])], log=True))


def test_a_page_of_lines_has_their_legend():
    plots = (Plot("Learning curves", "steps", "accuracy", [Line("one & two", [(1, 0.5, 0.4, 0.6)])]),)
    page = read(render_study(STUDY, Table("A.", ("acc",), TABLE.rows, plots)))
    assert "one & two" in page.text
    assert "Learning curves" in page.text


def test_numbers_of_an_axis_do_not_lie_on_one_another():
    near = [0.75, 0.928, 0.932, 0.956, 0.958]
    lines = [Line("a", [(x, 0.5 + x, 0.5 + x, 0.5 + x) for x in near])]
    drawn = str(chart.plot(Plot("t", "x", "y", lines)))
    places = [float(at) for at in re.findall(r'<text x="([\d.]+)" y="\d+" text-anchor="middle">', drawn)]
    assert len(places) > 2
    assert min(b - a for a, b in itertools.pairwise(places)) > 30
