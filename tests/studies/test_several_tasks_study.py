"""The study of several tasks: which runs it plans, and a table computed by hand."""

import pytest

from hfft.errors import BadInput
from hfft.studies.find import make_study
from hfft.studies.study import Figures, recipe_of


def study(**options):
    return make_study("tasks", "digits_tasks", **{"seeds": 2, **options})


def test_it_plans_each_task_alone_and_all_together_in_every_way(tmp_path):
    asked = study(methods=["uncertainty", "pcgrad", "sqrt"])
    children = {child.name: child for child in asked.plan({})}
    assert len(children) == 2 * (3 + 4)
    recipes = {name: recipe_of(asked, child, tmp_path) for name, child in children.items()}
    alone = recipes["alone-ink-1"]
    assert (alone.tasks, alone.problem, alone.data.columns.label) == ([], "regression", "ink")
    assert len(recipes["together-2"].tasks) == 3
    assert recipes["uncertainty-1"].strategy.uncertainty.enabled
    assert recipes["together-1"].strategy.uncertainty is None
    assert recipes["pcgrad-1"].strategy.pcgrad.tasks
    assert recipes["sqrt-1"].strategy.mixing.power == 0.5
    assert not any(recipe.score.single_task for recipe in recipes.values())


def test_layers_of_each_tasks_own_and_a_best_model_by_a_tasks_metric_are_for_the_tasks_together(tmp_path):
    training = {"load_best_model_at_end": True, "metric_for_best_model": "ink_rmse", "greater_is_better": False}
    overrides = ["head.kind=mlp", "head.per_task=true", "data.validation=0.1"]
    overrides += [f"training.{key}={str(value).lower()}" for key, value in training.items()]
    asked = make_study("tasks", "digits_tasks", overrides, methods=["sqrt"], seeds=1)
    recipes = {child.name: recipe_of(asked, child, tmp_path) for child in asked.plan({})}
    assert {name for name, recipe in recipes.items() if recipe.head.per_task} == {"together-1", "sqrt-1"}
    chosen = {name: recipe.training.get("metric_for_best_model") for name, recipe in recipes.items()}
    assert chosen["alone-ink-1"] == "rmse"
    assert chosen["alone-digit-1"] is None
    assert chosen["sqrt-1"] == "ink_rmse"


def done():
    found = {}
    for seed in (1, 2):
        for task, value in (("digit", 0.9), ("parity", 0.8)):
            found[f"alone-{task}-{seed}"] = Figures({"test": {"accuracy": value, "n": 500}, "train": {"seconds": 1.0}})
        found[f"alone-ink-{seed}"] = Figures({"test": {"rmse": 0.1, "n": 500}, "train": {"seconds": 1.0}})
        together = {
            "digit_accuracy": 0.91 + seed / 1000,
            "parity_accuracy": 0.8,
            "ink_rmse": 0.2 + seed / 1000,
            "n": 1500,
        }
        found[f"together-{seed}"] = Figures({"test": together, "train": {"seconds": 3.0}})
    return found


def test_each_task_has_its_metric_and_its_difference_to_itself_alone():
    table = study(methods=[]).table(done())
    row = next(row for row in table.rows if row.arm == "together")
    assert row.cells["digit minus alone"].summary().mean == pytest.approx(0.0115)
    assert row.cells["ink minus alone"].summary().mean == pytest.approx(0.1015)
    assert row.cells["parity: test accuracy (n=500)"].summary().mean == pytest.approx(0.8)
    assert "digit better (accuracy +0.0115" in table.answer
    assert "ink worse (rmse +0.1015" in table.answer
    assert "parity not clearly different" in table.answer
    assert study().table({}).answer == "digits_tasks: nothing to compare yet."


def test_a_single_task_or_a_way_that_is_not_known_is_refused():
    with pytest.raises(BadInput, match="needs a recipe of several tasks, but digits has one"):
        make_study("tasks", "digits")
    with pytest.raises(BadInput, match="names 'pcgrd'; did you mean 'pcgrad'"):
        study(methods=["pcgrd"])
