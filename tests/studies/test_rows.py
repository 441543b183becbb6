"""The study of rows: its arms, and a table computed by hand."""

import pytest

from hfft.data import load_splits
from hfft.data.splits import column
from hfft.errors import RecipeError
from hfft.recipe import load_recipe
from hfft.studies.find import make_study
from hfft.studies.rows import pretrained, scratch
from hfft.studies.run import run_study
from tests.studies.figures import came_to, seeds_of


def study(**options):
    return make_study("rows", "digits", **{"rows": [100, 200, 400], "seeds": 2, **options})


def made_up(ours, theirs, rows=(100, 200, 400)):
    """Two seeds, 0.01 below and above the given accuracies."""
    done = {}
    for size, a, b in zip(rows, ours, theirs, strict=True):
        done |= seeds_of({pretrained(size): [a - 0.01, a + 0.01]}, train={"n": size})
        done |= seeds_of({scratch(size): [b - 0.01, b + 0.01]}, train={"n": size})
    return done


def test_every_size_has_both_starts_and_as_many_steps_as_the_largest():
    arms = {child.arm: child.overrides for child in study().plan({})}
    assert list(arms) == [arm(rows) for rows in (100, 200, 400) for arm in (pretrained, scratch)]
    assert {overrides["training.max_steps"] for overrides in arms.values()} == {250}  # 10 epochs of 25 batches of 16
    assert [overrides["data.max_train_samples"] for overrides in arms.values()] == [100, 100, 200, 200, 400, 400]
    assert "training.max_steps" not in study(equal="epochs").plan({})[0].overrides


def test_pretraining_is_worth_the_rows_at_which_random_weights_are_as_good():
    done = made_up([0.80, 0.85, 0.90], [0.5, 0.7, 0.9])
    table = study().table(done)
    # 0.8 lies half way from 200 to 400 rows of random weights, over the logarithm, on both seeds alike
    assert table.row("100 rows").cells["is worth rows"].text == "283 [283, 283]"
    assert table.row("400 rows").cells["gain"].summary().mean == pytest.approx(0)
    assert table.answer.startswith("digits: 400 rows with pretrained weights are worth 400 [400, 400] with random ones")
    assert "n=500, 2 seeds" in table.answer


def test_what_was_not_reached_is_over_the_largest_measured():
    table = study().table(made_up([0.95, 0.96, 0.97], [0.5, 0.7, 0.9]))
    assert table.row("100 rows").cells["is worth rows"].text == "over 400 [over 400, over 400]"
    assert "+45.0 ± 0.0 points" in table.answer


def test_the_answer_is_about_the_recipes_own_rows():
    own = make_study("rows", "digits", ["data.max_train_samples=100"], rows=[100, 200, 400], seeds=2)
    assert own.table(made_up([0.80, 0.85, 0.90], [0.5, 0.7, 0.9])).answer.startswith("digits: 100 rows with")


def test_the_forecast_is_tested_on_the_largest_size():
    rows, errors = (20, 50, 100, 300, 1200), lambda n: 0.02 + 0.9 * n**-0.5
    exact = [1 - errors(n) for n in rows]
    note = study(rows=list(rows)).table(made_up(exact, exact, rows)).notes[0]
    assert f"{100 * (errors(1200) - errors(1400)):+.1f} points" in note
    assert f"expected {exact[-1]:.3f}" in note
    assert f"{exact[-1]:.3f} was measured, within" in note


def test_fewer_rows_than_asked_for_are_named():
    done = made_up([0.8, 0.85, 0.9], [0.5, 0.7, 0.9])
    done |= seeds_of({pretrained(400): [0.9, 0.9], scratch(400): [0.9, 0.9]}, train={"n": 360})
    assert [row.arm for row in study().table(done).rows] == ["100 rows", "200 rows", "360 rows"]


def test_a_number_of_rows_twice_is_refused():
    with pytest.raises(RecipeError, match="different numbers of rows"):
        study(rows=[100, 100])


def test_nothing_done_is_a_table_too():
    assert study().table({}).answer == "digits: nothing to compare yet."


@pytest.mark.slow
def test_a_small_one_runs_to_its_page_with_nested_rows(tmp_path):
    few = ("data.max_eval_samples=20", "training.num_train_epochs=1")
    small = make_study("rows", "digits", few, rows=[10, 20], seeds=1)
    table = run_study(small, tmp_path / "study")
    assert not table.failed
    assert table.row("20 rows").cells["gain"].values.keys() == {1}
    taken = []
    for rows in (10, 20):
        recipe = load_recipe(tmp_path / "study" / "children" / f"pretrained-{rows}-1" / "recipe.yaml")
        splits, _ = load_splits(recipe.data, recipe.the_task, recipe.seed)
        taken.append(set(column(splits.train, "row").to_pylist()))
    assert len(taken[0]) == 10
    assert taken[0] < taken[1]


def test_sizes_that_are_all_the_rows_there_are_make_no_forecast():
    asked = make_study("rows", "digits", rows=[1200, 2000, 5000], seeds=1)
    done = {child.name: came_to(0.9, train={"n": 1167}) for child in asked.plan({})}
    assert asked.table(done).answer
