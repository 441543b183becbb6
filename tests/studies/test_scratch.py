"""The scratch study: its arms, and a table computed by hand."""

import pytest

from hfft.errors import RecipeError
from hfft.studies.find import make_study
from hfft.studies.run import run_study
from tests.studies.figures import came_to, seeds_of


def study(**options):
    return make_study("scratch", "digits", budgets=[1, 3], seeds=2, **options)


def test_every_budget_has_both_starts_and_random_weights_also_three_times_the_steps():
    children = study().plan({})
    assert [child.name for child in children] == [
        f"{arm}-{seed}"
        for seed in (1, 2)
        for arm in ("pretrained-1", "pretrained-3", "random-1", "random-3", "random-9")
    ]
    epochs = {child.arm: child.overrides["training.num_train_epochs"] for child in children}
    assert epochs == {"pretrained-1": 1, "pretrained-3": 3, "random-1": 1, "random-3": 3, "random-9": 9}
    assert {child.arm: child.overrides.get("backbone.init") for child in children}["random-9"] == "random"
    assert (
        study().plan(seeds_of({"pretrained-1": [0.5]})) == children
    )  # what is known does not change with what is done


def test_gains_are_paired_by_seed_and_random_weights_catch_up_between_budgets():
    done = seeds_of({"pretrained-1": [0.80, 0.82], "pretrained-3": [0.90, 0.92]})
    done |= seeds_of({"random-1": [0.50, 0.56], "random-3": [0.85, 0.87], "random-9": [0.95, 0.97]})
    table = study().table(done)
    assert table.row("1 epoch").cells["gain"].values == pytest.approx({1: 0.30, 2: 0.26})
    over = table.row("3 epochs").cells["gain over it"].summary()
    assert over.mean == pytest.approx(-0.05)
    assert over.sd == pytest.approx(0)
    # 0.91 is half way from 0.86 at 3 epochs to 0.96 at 9, over the logarithm
    assert "reach the best pretrained score (3 epochs) at 5 [5, 5] epochs" in table.answer
    assert "0.910, random ones 0.860 (+5.0 ± 0.0 points; n=500, 2 seeds)" in table.answer


def test_random_weights_that_never_catch_up_are_said_to():
    done = seeds_of(
        {"pretrained-1": [0.8], "pretrained-3": [0.9], "random-1": [0.3], "random-3": [0.5], "random-9": [0.6]}
    )
    answer = make_study("scratch", "digits", budgets=[1, 3], seeds=1).table(done).answer
    assert "do not reach the best pretrained score (3 epochs) within 9 epochs" in answer
    assert "one seed" in answer


def test_what_is_saved_is_where_the_learning_curve_reaches_the_end_of_the_other():
    done = {
        "pretrained-1-1": came_to(0.9, steps=100, seconds=10, curve=[0.6, 0.8, 0.9, 0.9]),
        "random-1-1": came_to(0.7, steps=100, seconds=8, curve=[0.1, 0.4, 0.6, 0.7]),
    }
    row = study().table(done).row("1 epoch")
    assert row.cells["steps saved"].values == {1: pytest.approx(100 - 37.5)}  # 0.7 is half way from step 25 to 50
    assert row.cells["seconds saved"].values == {1: pytest.approx(8 - 3.75)}


def test_nothing_done_is_a_table_too():
    assert study().table({}).answer == "digits: nothing to compare yet."


def test_a_recipe_that_counts_steps_and_a_budget_twice_are_refused():
    with pytest.raises(RecipeError, match="leave that out"):
        make_study("scratch", "digits", ["training.max_steps=5"])
    with pytest.raises(RecipeError, match="different numbers of epochs"):
        make_study("scratch", "digits", budgets=[1, 1])


@pytest.mark.slow
def test_a_small_one_runs_to_its_page_and_again_runs_nothing(tmp_path):
    tiny = make_study(
        "scratch", "digits", ["data.max_train_samples=20", "data.max_eval_samples=20"], budgets=[1], longer=1, seeds=1
    )
    table = run_study(tiny, tmp_path / "study")
    assert not table.failed
    assert table.row("1 epoch").cells["gain"].values.keys() == {1}
    assert table.answer in (tmp_path / "study" / "report.html").read_text()
    said = []
    assert run_study(tiny, tmp_path / "study", say=lambda *lines: said.extend(lines)).answer == table.answer
