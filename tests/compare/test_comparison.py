"""The comparison: only what differs, every figure of every run, a page and a table that say the same."""

import json

import pytest

from hfft import cli
from hfft.compare.comparison import compare_runs, flat, recipe_differences
from hfft.compare.page import render
from hfft.runs.folder import RunFolder
from tests.compare.made_runs import made_run
from tests.report import blocks
from tests.report.runs import HOSTILE, Reader


@pytest.fixture
def runs(tmp_path):
    """Two runs, the second at another rate and with a scorecard."""
    one = made_run(tmp_path / "one", wrong=30)
    two = made_run(tmp_path / "two", "training.learning_rate=1e-3", "layers.train=head", wrong=50)
    card = blocks.scorecard()
    card["blocks"]["task"]["figures"]["accuracy"] = {"value": 0.875, "low": 0.84, "high": 0.9}
    RunFolder(two).write_json("scorecard.json", card)
    return [str(one), str(two)]


def test_only_what_differs_is_listed(runs):
    found = compare_runs(runs)
    assert found.differences == {"layers.train": [None, "head"], "training.learning_rate": [5e-4, 1e-3]}
    assert flat({"a": {"b": {"c": 1}, "d": {}}, "e": [1]}) == {"a.b.c": 1, "a.d": {}, "e": [1]}
    assert recipe_differences([{"a": 1}, {"a": 1}, {"a": 1, "b": {"c": 2}}]) == {"b.c": [None, None, 2]}


def test_figures_stand_beside_each_other_with_their_intervals(runs):
    figures = compare_runs(runs).figures
    assert figures["test"]["accuracy"] == [0.925, {"value": 0.875, "low": 0.84, "high": 0.9}]
    assert figures["test"]["ECE"][0] is None
    assert figures["test"]["ECE"][1]["value"] == 0.031
    assert figures["cost"]["parameters"] == [None, 303274]
    assert figures["cost"]["seconds of the run"] == [12.5, 12.5]


def test_page_and_terminal_say_the_same(runs):
    found = compare_runs(runs)
    page, lines = Reader(render(found)), "\n".join(found.lines())
    for needed in ("training.learning_rate", "0.8750 (0.8400 to 0.9000)", "0.9250", "layers.train"):
        assert needed in page.text
        assert needed in lines
    assert "two minus one on the same rows of test (n=400): accuracy -0.0500" in lines
    assert "right where one is wrong: 0, the reverse: 20: worse" in lines
    assert "right in one, wrong in two: 20 rows of test" in page.text
    assert page.seen.count("svg") == page.seen.count("desc") >= 3
    assert {"script", "link", "img", "iframe"}.isdisjoint(page.seen)
    json.dumps(found.json())


def test_hostile_names_stay_text(tmp_path):
    names = (HOSTILE, "b", "c")
    paths = [made_run(tmp_path / f"{i}<script>", wrong=10 * i, names=names) for i in range(2)]
    page = Reader(render(compare_runs([str(path) for path in paths])))
    assert "script" not in page.seen
    assert ("title", HOSTILE) in page.attributes


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    paths = [str(made_run(tmp_path / folder / "run")) for folder in ("a", "b")]
    assert compare_runs(paths).names == paths


def test_the_command_writes_the_page_and_prints_the_table_or_json(runs, tmp_path, capsys):
    page = tmp_path / "new/compare.html"
    assert cli.main(["compare", *runs, "--output", str(page)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == f"page: {page}"
    assert "on the same rows of test" in printed
    Reader(page.read_text(encoding="utf-8"))
    assert cli.main(["compare", *runs, "--output", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"]["test"]["two"]["n"] == 400
    (tmp_path / "file").write_text("")
    assert cli.main(["compare", *runs, "--output", str(tmp_path / "file/compare.html")]) == 2
    assert "--output: " in capsys.readouterr().err
