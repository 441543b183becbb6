"""The facts of a run, its faults first."""

from tests.report.runs import facts, metrics, section


def test_a_run_without_faults_tells_its_facts():
    assert facts(section("run")) == {
        "last training loss": "0.7500 (train, n 640, seed 97)",
        "training split": "train",
        "steps": "20 (epochs: 2)",
        "seconds": "4,000.2 (1:06:40), scoring included",
        "processes": "2",
        "versions": "hfft 0.1.0, torch 2.6.0",
    }


def test_faults_and_rows_that_were_found_are_told():
    found = metrics(faults=["the head <never> moved", "more"])
    found["data"] |= {"skipped": {"train": 3, "test": 1}, "leaked": {"test": 2}, "wrong_labels": {"train": 9}}
    html = section("run", found)
    assert "<dt>went wrong</dt><dd>the head &lt;never&gt; moved</dd>\n<dt>went wrong</dt><dd>more</dd>" in html
    assert "<dt>bad rows left out</dt><dd>train 3, test 1</dd>" in html
    assert "<dt>held-out rows also in train</dt><dd>test 2</dd>" in html
    assert "<dt>labels wrong on purpose</dt><dd>train 9</dd>" in html
    assert html.index("went wrong") < html.index("last training loss")


def test_what_is_unknown_has_a_dash():
    found = metrics()
    found["train"] |= {"loss": None, "epochs": None, "n": None}
    del found["data"]["origin"]["train"]
    told = facts(section("run", found))
    assert told["last training loss"] == "– (train, n unknown, seed 97)"
    assert told["training split"] == "–"
    assert told["steps"] == "20 (epochs: 0)"


def test_a_run_that_stopped_early_says_why():
    found = metrics()
    found["train"]["stopped"] = {"step": 20, "why": "after step 20 of 90, because <loss> did not improve"}
    assert facts(section("run", found))["stopped early"].startswith("after step 20 of 90, because")
    assert "stopped early" not in facts(section("run"))
