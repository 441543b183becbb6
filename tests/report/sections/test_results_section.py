"""The cards of figures."""

import math

from tests.report.runs import Reader, metrics, section


def test_arrows_say_what_is_better():
    html = section("results")
    assert '<td class="word">loss ↓</td><td><b>0.5000</b></td></tr>' in html
    assert '<td class="word">f1_macro ↑</td><td><b>0.6125</b></td></tr>' in html
    assert "random weights" not in html


def test_a_figure_that_random_weights_lack_has_dashes():
    html = section("results", metrics(from_scratch={"test": {"loss": 3.5, "n": 1200}}))
    Reader(html)
    assert "<td><b>1.5000</b></td><td>3.5000</td><td>-2.0000</td></tr>" in html
    assert "<td><b>1.6125</b></td><td>–</td><td>–</td></tr>" in html


def test_a_figure_that_is_not_a_number_is_shown_as_such():
    html = section("results", metrics(test={"loss": math.nan, "n": 3}, from_scratch={"test": {"loss": 1.0, "n": 3}}))
    assert "<td><b>nan</b></td><td>1.0000</td><td>+nan</td></tr>" in html


def test_a_split_of_unknown_origin_says_so():
    found = metrics()
    del found["data"]["origin"]["test"]
    assert "origin: unknown" in section("results", found)


def test_what_the_figures_do_not_say_stands_below_them():
    html = section("results", metrics(findings=["test (n=9): so <few> rows"]))
    assert "<p>test (n=9): so &lt;few&gt; rows</p>" in html
