"""The study of look-alike classes: its arms, and a table computed by hand."""

import pytest

from hfft.errors import RecipeError
from hfft.studies.find import make_study
from hfft.studies.run import run_study
from tests.studies.figures import seeds_of

CLASSES = {"look_alike": ["3", "5", "8"], "different": ["0", "1", "6"]}


def study(**options):
    return make_study("fine-grained", "digits", **{"rows": [5, 20], "seeds": 2, **CLASSES, **options})


def gains(alike, different, rows=20):
    """Two seeds on which pretraining gains so much."""
    done = {}
    for group, values in (("look-alike", alike), ("different", different)):
        done |= seeds_of({f"{group}-{rows}": [0.5 + gain for gain in values], f"{group}-{rows}-random": [0.5, 0.5]})
    return done


def test_each_group_has_both_starts_for_each_number_of_rows_of_a_class():
    arms = {child.arm: child.overrides for child in study().plan({})}
    assert len(arms) == 8
    assert arms["look-alike-20"] == {"data.classes": ["3", "5", "8"], "data.max_train_samples": 60}
    assert arms["different-5-random"]["backbone.init"] == "random"


def test_gains_are_compared_by_seed_with_the_most_rows():
    answer = study().table(gains([0.10, 0.11], [0.20, 0.21])).answer
    assert "on look-alike ones is smaller, as published for many rows" in answer
    assert "test accuracy: -10.0 ± 0.0 points with 20 rows of each class; 2 seeds, n=500 and 500)" in answer
    assert (
        "is larger: the published effect does not reproduce here"
        in study().table(gains([0.3, 0.31], [0.2, 0.21])).answer
    )


def test_a_difference_that_may_be_nothing_does_not_reproduce_it():
    assert "is neither smaller nor larger for sure" in study().table(gains([0.1, 0.3], [0.2, 0.21])).answer
    assert study().table({}).answer == "digits: nothing to compare yet."


def test_groups_of_other_sizes_are_refused():
    with pytest.raises(RecipeError, match="give as many of both"):
        study(different=["0", "1"])


@pytest.mark.slow
def test_a_small_one_runs_to_its_page(tmp_path):
    few = ("data.max_eval_samples=20", "training.num_train_epochs=1")
    small = make_study("fine-grained", "digits", few, look_alike=["3", "8"], different=["0", "1"], rows=5, seeds=1)
    table = run_study(small, tmp_path / "study")
    assert not table.failed
    assert [row.cells["gain"].values.keys() for row in table.rows] == [{1}, {1}]
