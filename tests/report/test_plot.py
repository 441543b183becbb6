"""The pictures: inside their frame, described, and with every figure in the table behind them."""

import math
import random
import re
import xml.dom.minidom

import pytest

from hfft.report import plot
from hfft.report.chart import WIDTH
from hfft.report.heat import confusion_map, standalone
from hfft.report.page import environment
from tests.report.runs import HOSTILE, Reader


def html(drawn):
    """A picture with its caption and table."""
    return str(environment().get_template("macros.html.j2").module.picture(drawn))


def numbers(svg):
    """All coordinates of the paths, as pairs of command and number."""
    return [float(x) for d in re.findall(r' d="([^"]*)"', svg) for x in re.findall(r"[\d.]+", d)]


VALUES = [[0.5], [0.0], [-3.0, -3.0], [1e-9, 1e9], [0.1, 9.99, 10.0], [1e12] * 40, [math.nan, 1.0]]


@pytest.mark.parametrize("values", VALUES)
def test_a_line_stays_inside_its_frame(values):
    drawn = plot.lines("t", "d", [plot.Line("a", list(enumerate(values)), True)], ("x", "y"))
    assert all(0 <= x <= WIDTH for x in numbers(drawn.svg))
    assert "nan" not in drawn.svg
    Reader(html(drawn))


def test_nothing_finite_is_no_picture():
    assert plot.lines("t", "d", [plot.Line("a", [(0, math.nan)])], ("x", "y")) is None
    assert plot.bars("t", "d", [("a", math.nan, None, None)], "value") is None


def test_bars_stay_inside_and_their_lengths_are_their_values():
    rng = random.Random(0)
    given = [(f"bar {i}", v := rng.random(), v - 0.1, v + 0.1) for i in range(12)]
    drawn = plot.bars("t", "d", given, "value", end=1.2)
    assert all(0 <= x <= max(WIDTH, 12 * plot.ROW + 60) for x in numbers(drawn.svg))
    boxes = re.findall(r'class="area c0" d="M([\d.]+) [\d.]+H([\d.]+)', drawn.svg)
    lengths = [float(b) - float(a) for a, b in boxes]
    scale = lengths[0] / given[0][1]
    assert lengths == pytest.approx([value * scale for _, value, *_ in given], abs=0.11)
    assert drawn.rows == [list(bar) for bar in given]


def test_many_bars_are_cut_and_the_number_is_said():
    drawn = plot.bars("t", "d", [(f"b{i}", i / 500, None, None) for i in range(500)], "value")
    assert drawn.svg.count('class="area') == 40
    assert (len(drawn.rows), drawn.left_out) == (100, 400)
    assert "400 more rows are not listed" in Reader(html(drawn)).text


def test_the_table_behind_lines_has_every_series_and_both_ends():
    series = [plot.Line("a", [(i, i * 2) for i in range(1000)]), plot.Line("b", [(0, 5.0), (999, 7.0)])]
    drawn = plot.lines("t", "d", series, ("x", "y"))
    assert drawn.head == ["x", "a", "b"]
    assert drawn.rows[0] == ["0", 0, 5.0]
    assert drawn.rows[-1] == ["999", 1998, 7.0]
    assert len(drawn.rows) + drawn.left_out == 1000


def test_a_reliability_diagram_has_columns_as_high_as_their_accuracy():
    drawn = plot.columns("t", "d", [(0.0, 0.5, 0.25, 0.4), (0.5, 1.0, 1.0, 0.75)], ("x", "y"), (["h"], [["r"]]))
    (_, bottom, top), (_, _, full) = re.findall(r'class="area c0" d="M([\d.]+) ([\d.]+)V([\d.]+)', drawn.svg)
    assert (float(bottom) - float(top)) / (float(bottom) - float(full)) == pytest.approx(0.25, abs=0.01)
    assert drawn.svg.count('class="gap') == 2


@pytest.mark.parametrize("name", [HOSTILE, "犬" * 60])
def test_every_drawing_is_named_described_and_safe(name):
    one = plot.lines(name, name, [plot.Line(name, [(0, 1)])], (name, name))
    two = plot.bars(name, name, [(name, 1.0, None, None)], name)
    for drawn in (one, two):
        page = Reader(html(drawn))
        assert "script" not in page.seen
        assert ("role", "img") in page.attributes
        assert ("aria-label", f"{name}: {name}") in page.attributes
        assert {"title", "desc", "details", "caption"} <= set(page.seen)


@pytest.mark.parametrize("size", [2, 12, 13, 50])
def test_a_confusion_map_has_a_cell_for_every_count(size):
    rng = random.Random(size)
    counts = [[rng.randrange(3) for _ in range(size)] for _ in range(size)]
    names = [HOSTILE if i == 0 else f"c{i}" for i in range(size)]
    text = standalone(confusion_map("Confusion", counts, names))
    page = Reader(text)
    assert "script" not in page.seen
    assert ("xmlns", "http://www.w3.org/2000/svg") in page.attributes
    assert page.seen.count("rect") == 1 + sum(map(bool, (count for row in counts for count in row)))


def test_a_file_is_well_formed_xml():
    drawn = plot.columns(HOSTILE, HOSTILE, [(0.0, 0.5, 0.25, 0.4)], ("x", "y"), (["h"], [["r"]]))
    for svg in (drawn.svg, confusion_map(HOSTILE, [[1, 2], [0, 0]], [HOSTILE, "b"])):
        xml.dom.minidom.parseString(standalone(svg))
