"""Two models on the same rows: figures against their definitions, and no test where the rows are not the same."""

import numpy as np
import pytest
from scipy.stats import binomtest

from hfft.compare.comparison import compare_runs
from hfft.compare.entry import read
from hfft.compare.paired import better, paired
from hfft.errors import BadInput
from tests.compare.made_runs import made_run


def two(tmp_path, *, ours=None, theirs=None):
    """Two runs, read."""
    made = [made_run(tmp_path / name, **(given or {})) for name, given in (("ours", ours), ("theirs", theirs))]
    return [read(path, path.name) for path in made]


def test_difference_and_test_are_those_of_the_rows(tmp_path):
    ours, theirs = two(tmp_path, ours={"wrong": 30}, theirs={"wrong": 50})
    found = paired(ours, theirs, "test", 0)
    assert found["difference"]["value"] == pytest.approx(20 / 400)
    assert found["p"] == pytest.approx(binomtest(20, 20).pvalue)
    assert {side: rows["count"] for side, rows in found["changed"].items()} == {"gained": 20, "lost": 0}
    first = found["changed"]["gained"]["rows"][0]
    assert first["row"] == 30
    assert first["this"] == first["true"] != first["other"]
    assert better(found) == "better"
    assert better(paired(theirs, ours, "test", 0)) == "worse"


def test_the_same_answers_differ_in_nothing(tmp_path):
    found = paired(*two(tmp_path), "test", 0)
    assert (found["difference"]["value"], found["p"]) == (0.0, 1.0)
    assert better(found) == "no difference is shown"


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ({"rows": "4567"}, "the rows of test are not the same"),
        ({"rows": None}, "theirs did not note its rows"),
        ({"n": 399}, "the rows of test are not the same"),
        ({"names": ("cat", "dog", "bat")}, "the classes are not the same"),
    ],
)
def test_no_test_without_the_same_rows(tmp_path, theirs, why):
    assert why in paired(*two(tmp_path, theirs=theirs), "test", 0)["why"]


def test_classes_in_another_order_are_the_same_classes(tmp_path):
    names = ("owl", "cat", "dog")
    ours, theirs = two(tmp_path, ours={"wrong": 5}, theirs={"wrong": 5, "names": names})
    found = paired(ours, theirs, "test", 0)
    assert found["difference"]["value"] == 0
    assert found["changed"]["gained"]["count"] == 0


def test_few_rows_have_an_interval_and_no_test(tmp_path):
    found = paired(*two(tmp_path, ours={"n": 20, "wrong": 2}, theirs={"n": 20, "wrong": 9}), "test", 0)
    assert "p" not in found
    assert found["why_no_p"] == "no test: 20 rows are fewer than 30"
    assert "low" in found["difference"]


def test_missing_outputs_are_told(tmp_path):
    ours, theirs = two(tmp_path)
    (theirs.folder / "outputs/test.safetensors").unlink()
    assert paired(ours, read(theirs.folder, "theirs"), "test", 0)["why"] == "theirs has no stored outputs for test"
    assert "validation" in paired(ours, theirs, "validation", 0)["why"]


def test_logits_that_are_not_finite_are_told(tmp_path):
    ours, theirs = two(tmp_path)
    logits = np.array(ours.outputs["test"].logits)
    logits[3, 0] = np.nan
    object.__setattr__(ours.outputs["test"], "logits", logits)
    assert paired(ours, theirs, "test", 0)["why"] == "logits for test are not finite"


def test_a_comparison_needs_two_finished_runs(tmp_path):
    one = made_run(tmp_path / "one")
    for runs in ([one], [one, one], [one, tmp_path / "one/../one"]):
        with pytest.raises(BadInput, match="at least two different runs"):
            compare_runs([str(run) for run in runs])
    with pytest.raises(BadInput, match="is no run folder; compare finished runs"):
        compare_runs([str(one), str(tmp_path)])
    other = made_run(tmp_path / "other")
    (other / "metrics.json").unlink()
    with pytest.raises(BadInput, match="is not finished"):
        compare_runs([str(one), str(other)])
    (other / "metrics.json").write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        compare_runs([str(one), str(other)])
