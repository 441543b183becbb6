"""The section of averaged weights: one row per candidate, and none for a run that was trained."""

from hfft.report import Record
from hfft.report.page import render_section
from tests.report import runs
from tests.report.runs import HOSTILE, Reader


def record(**changes):
    found = runs.metrics(**changes)
    scores = {"loss": 0.5, "accuracy": 0.75, "n": 12}
    rows = [
        {"name": HOSTILE, "kind": "run", "runs": ["a"], "alpha": None, "validation": scores, "chosen": False},
        {
            "name": "greedy soup of a, b",
            "kind": "greedy",
            "runs": [],
            "alpha": None,
            "validation": scores,
            "chosen": True,
        },
    ]
    return Record(found | {"soup": {"table": rows, "metric": "accuracy", "statistics": None}})


def test_each_candidate_has_its_figures():
    text = Reader(str(render_section("soup", record()))).text
    assert "greedy soup of a, b (chosen)0.50000.7500" in text
    assert HOSTILE in text
    assert "chosen by accuracy" in text


def test_a_run_that_was_trained_has_none():
    assert str(render_section("soup", Record(runs.metrics()))) == ""
