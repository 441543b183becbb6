"""Rows without labels beside few labelled ones: what is run, and what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfft.studies.semi_supervised import METHODS, SemiSupervised
from hfft.studies.study import recipe_of
from tests.studies.fake_runs import figures, tiny

SETS = ["data.sets={unlabelled: {path: digits}}", "data.max_train_samples=null"]


def study(**options):
    return SemiSupervised(recipe=tiny(*SETS), shots=[4, 40], seeds=2, steps=7, **options)


def test_each_arm_runs_the_same_steps_on_the_same_labelled_rows():
    found = study(methods=["fixmatch", "freematch"], options={"ratio": 3, "momentum": 0.9}, augment=["rand_augment"])
    children = {child.name: child for child in found.plan({})}
    assert len(children) == 2 * 2 * 4
    recipes = {name: recipe_of(found, child, Path("children")) for name, child in children.items()}
    for name, recipe in recipes.items():
        assert recipe.data.shots == int(name.split("-")[1])
        assert recipe.data.shots_seed == recipe.seed == int(name.split("-")[2])
        assert recipe.training["max_steps"] == 7
    assert recipes["augmented-4-1"].data.augment == ["rand_augment"]
    assert recipes["fixmatch-4-1"].strategy.fixmatch.ratio == 3
    assert recipes["freematch-40-2"].strategy.freematch.momentum == 0.9
    assert all(getattr(recipes["supervised-4-1"].strategy, name) is None for name in METHODS)
    assert recipes["freematch-40-2"].strategy.fixmatch is None


def test_the_recipes_own_options_stay():
    recipe = tiny(*SETS, "strategy.fixmatch={on: unlabelled, threshold: 0.8}")
    found = SemiSupervised(recipe=recipe, methods=["fixmatch"], options={"ratio": 2})
    assert found.method("fixmatch") == {"on": "unlabelled", "threshold": 0.8, "ratio": 2, "weight": 1.0}


def test_the_answer_names_the_best_and_those_that_harm():
    found = study(methods=["pseudo_label", "fixmatch"])
    done = {}
    for seed in (1, 2):
        for arm, value in (("supervised", 0.5), ("pseudo_label", 0.4), ("fixmatch", 0.6)):
            done[f"{arm}-4-{seed}"] = figures(value + seed / 100)
    table = found.table(done)
    assert table.row("fixmatch").cells["4 shots minus supervised"].values == pytest.approx({1: 0.1, 2: 0.1})
    assert (
        "with 4, 0.515 from these alone, and fixmatch +10.0 ± 0.0 points, worse than without: pseudo_label"
        in table.answer
    )
    assert found.table({}).answer == "tiny: nothing to compare yet."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["fixmach"]}, "names 'fixmach'; did you mean 'fixmatch'"),
        ({"on": "rest"}, r"on is 'rest', which is not in data.sets \(known: unlabelled\)"),
        ({"shots": [4, 4]}, "shots"),
    ],
)
def test_what_it_cannot_run_is_told(options, message):
    with pytest.raises(ValueError, match=message):
        SemiSupervised(recipe=tiny(*SETS), **options)
