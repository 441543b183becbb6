"""The table of a ranking in all its forms, from rows that are made up."""

import csv
import io
import json
import re

import pytest

from hfft.rank.page import render, scatter
from hfft.rank.ranking import Ranking
from hfft.rank.table import Row, as_csv, as_json, floor_notes, half_interval, in_order, lines, recommendation


def row(name, logme, milliseconds, linear=0.5, kind="pretrained", **more):
    return Row(
        name,
        kind,
        f"backbone.name={name}",
        scores={"logme": logme, "linear": linear},
        milliseconds=milliseconds,
        **more,
    )


SLOW, MIDDLE, QUICK = row("slow", 0.9, 9.0, 0.8), row("middle", 0.1, 5.0, 0.6), row("quick", 0.4, 1.0, 0.7)
FLOOR, GONE = row("slow", -0.5, 0.5, 0.2, "random"), Row("gone", error="there is no such model")
ROWS = in_order([GONE, MIDDLE, FLOOR, QUICK, SLOW])


def test_rows_are_in_the_order_of_their_logme_and_what_could_not_be_ranked_is_last():
    assert [row.shown for row in ROWS] == ["slow", "quick", "middle", "random slow", "gone"]


def test_the_front_is_what_no_other_model_beats_in_less_time():
    assert [row.shown for row in ROWS if row.front] == ["slow", "quick"]
    same = in_order([row("a", 0.5, 2.0), row("b", 0.5, 1.0), row("c", 0.6, 1.0)])
    assert [row.shown for row in same if row.front] == ["c"]


def test_the_recommendation_names_the_best_and_its_reasons():
    said = recommendation(ROWS, "accuracy", 0.05)
    assert said == (
        "take slow: its LogME is the highest, 0.900 (quick has 0.400, random weights have -0.500), and so is its linear "
        "probe, accuracy 0.800 ± 0.050; the fastest on the Pareto front, quick, takes 11% of its time for a LogME of 0.400"
    )


def test_one_model_alone_is_compared_with_random_weights_only():
    said = recommendation(in_order([SLOW, FLOOR]), "accuracy", None)
    assert (
        said == "take slow: its LogME is 0.900 (random weights have -0.500), its linear probe comes to accuracy 0.800"
    )


@pytest.mark.parametrize(("linear", "said"), [(0.82, "as good within its interval (0.820)"), (0.9, "better (0.900)")])
def test_a_probe_that_says_otherwise_is_told(linear, said):
    rows = in_order([SLOW, row("probed", 0.1, 5.0, linear)])
    assert f"by the linear probe (accuracy 0.800 ± 0.050) probed is {said}" in recommendation(rows, "accuracy", 0.05)


def test_where_random_weights_are_no_worse_no_model_is_recommended():
    said = recommendation(in_order([QUICK, row("quick", 0.7, 1.0, kind="random")]), "accuracy", None)
    assert said.startswith(
        "take none of them: random quick has a LogME of 0.700, the best pretrained one, quick, only 0.400"
    )


def test_models_that_are_no_better_than_their_own_floor_are_told():
    rows = [row("good", 0.5, 1.0, floor=0.1), row("bad", 0.05, 1.0, floor=0.1), row("own", 0.0, 1.0), FLOOR]
    (said,) = floor_notes(rows)
    assert said == "no better than their own architecture with random weights: bad (0.050, random 0.100)"
    assert floor_notes(rows[:1]) == []


def test_the_interval_is_that_of_a_share_of_so_many_rows():
    assert half_interval(row("a", 0, 1, linear=0.5), 400, "accuracy") == pytest.approx(0.049)
    assert half_interval(row("a", 0, 1, linear=0.5), 400, "R2") is None


def test_the_text_leaves_out_columns_without_values_and_says_why_a_row_has_none():
    text = lines(ROWS)
    assert text[0].split() == ["model", "LogME", "linear", "ms/row"]
    assert text[1].split() == ["*", "slow", "0.900", "0.800", "9"]
    assert text[-1] == "gone: not ranked: there is no such model"
    assert "licence" in lines([row("a", 1, 1, licence="mit")])[0]


def test_paths_are_cut_and_layers_are_numbered():
    assert Row("/a/b/c/d/").shown == "c/d"
    assert Row("me/model", "random").shown == "random me/model"
    assert Row("/a/b/c", layer=3).shown == "layer 3"


def test_json_and_csv_have_every_row():
    told = json.loads(as_json(ROWS, data="100 rows"))
    assert told["data"] == "100 rows"
    assert [row["name"] for row in told["rows"]] == ["slow", "quick", "middle", "slow", "gone"]
    assert told["rows"][0]["logme"] == 0.9
    assert told["rows"][4]["error"] == "there is no such model"
    read = list(csv.DictReader(io.StringIO(as_csv(ROWS))))
    assert [row["kind"] for row in read] == ["pretrained", "pretrained", "pretrained", "random", "pretrained"]
    assert (read[0]["logme"], read[4]["logme"], read[0]["front"]) == ("0.9", "", "True")


def test_the_page_shows_everything_and_escapes_names():
    hostile = row("<script>x</script>", 0.3, 2.0)
    rows = in_order([*ROWS, hostile])
    page = render(Ranking("r", rows, "100 rows of train", "accuracy", "take <b>", "backbone.name=slow", ["a note"]))
    assert "take &lt;b&gt;" in page
    assert "<script>" not in page
    assert "a note" in page
    assert "backbone.name=slow" in page
    assert page.count('class="line c0"') == 1
    assert len(re.findall(r'class="dots c[01]"', page)) == 5
    assert page.startswith("<!DOCTYPE html>")


def test_the_chart_places_points_by_time_and_score():
    svg = scatter(ROWS)
    at = [tuple(map(float, found)) for found in re.findall(r'class="dots c\d" d="M([\d.]+) ([\d.]+)h0"', svg)]
    (slow, quick, middle, floor) = at
    assert floor[0] < quick[0] < middle[0] < slow[0]
    assert slow[1] < quick[1] < middle[1] < floor[1], "higher scores are further up"
    assert scatter([Row("a")]) is None
