"""Retention: which runs are planned, what made-up figures come to, and the real figures of a small net."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from hfft.studies.find import make_study
from hfft.studies.retention import ALL, NEW, OLD, Retention
from hfft.studies.run import run_study
from hfft.studies.study import Figures, recipe_of
from tests.studies.fake_runs import figures, tiny


def study(**options):
    recipe = tiny("score.old_task={path: letters}")
    return Retention(recipe=recipe, **{"methods": ["head", "lwf"], "alphas": [0.5], "seeds": 3, **options})


def measured(new, old, start=0.8):
    return Figures(
        {"test": {"accuracy": new, "n": 500}, "old_task": {"path": "letters", "n": 1000, "before": start, "after": old}}
    )


WORTH = {ALL: (0.95, 0.3), "head": (0.7, 0.8), "lwf": (0.949, 0.7), "wise-ft-0.5": (0.94, 0.6)}
NOISE = (0.0, 0.002, -0.002)  # of the new task, by seed: not of a size, so that the interval of lwf reaches over zero


def finished(asked):
    done = {}
    for _ in range(2):
        for child in asked.plan(done):
            new, old = WORTH[child.arm.removesuffix("-kept")]
            new += NOISE[child.seed - 1] if child.arm.startswith("lwf") else 0
            done[child.name] = measured(new, old) if child.measure else figures(new)
    return done


def test_what_is_measured_is_planned_when_its_run_is_there():
    asked = study()
    first = {child.arm for child in asked.plan({})}
    assert first == {ALL, "head", "lwf"}
    later = {child.arm: child for child in asked.plan({"all-1": figures(0.9)}) if child.arm not in first}
    assert set(later) == {"all-kept", "wise-ft-0.5"}
    assert later["wise-ft-0.5"].options == {"child": "all-1", "alpha": 0.5}
    assert [c for c in asked.plan({"all-1": Figures(failed="no disk")}) if c.measure] == []


def test_every_way_learns_from_the_same_start_and_lwf_in_all_layers():
    ways = study(methods=["lwf", "last-2"]).ways()
    assert ways["lwf"] == {"layers.train": ["all"], "layers.freeze": [], "layers.adapter": None, "strategy.lwf": {}}
    assert ways["last-2"]["layers.train"] == ["last-2"]


def test_a_recipe_that_freezes_layers_or_has_an_adapter_plans_runs_that_fit():
    for given in ("layers.train=[last-1]", "layers.freeze=[first-1]", "layers.adapter={type: lora}"):
        asked = Retention(recipe=tiny("score.old_task={path: letters}", given), seeds=1)
        made = {child.arm: recipe_of(asked, child, Path("children")) for child in asked.plan({})}
        assert made["lora"].layers.adapter is not None
        assert [made[arm].layers.adapter for arm in made if arm != "lora"] == [None] * 5


def test_the_table_has_both_tasks_and_the_answer_the_way_that_keeps_most_for_nothing():
    asked = study()
    table = asked.table(finished(asked))
    assert [row.arm for row in table.rows] == ["start", ALL, "head", "lwf", "wise-ft 0.5"]
    cells = table.row("lwf").cells
    assert cells[OLD].summary().mean == pytest.approx(0.7)
    assert cells[f"{OLD} minus all"].summary().mean == pytest.approx(0.4)
    assert (
        "all layers learn, the new task comes to 0.950 (n=100) and the old one falls from 0.800 by 50.0 ± 0.0 points"
        in table.answer
    )
    assert "of the ways that are not seen to learn less, lwf keeps the most: +40.0 ± 0.0 points" in table.answer
    (plot,) = table.plots
    assert [line.name for line in plot.lines] == ["all, wise-ft", "head", "lwf"]
    assert [x for x, *_ in plot.lines[0].points] == pytest.approx([0.94, 0.95])


def test_one_seed_names_no_best_way_and_nothing_is_said_of_nothing():
    asked = study(seeds=1)
    assert "keeps the most" not in asked.table(finished(asked)).answer
    assert asked.table({}).answer.endswith("nothing to compare yet.")


def test_a_run_that_failed_is_told_and_the_others_go_on():
    asked = study()
    done = finished(asked)
    done["lwf-kept-2"] = Figures(failed="the old head does not fit")
    row = asked.table(done).row("lwf")
    assert row.failed == {2: "lwf-kept: the old head does not fit"}
    assert sorted(row.cells[OLD].values) == [1, 3]


def test_without_rows_of_the_old_task_and_with_shares_at_the_ends_it_is_refused():
    with pytest.raises(ValidationError, match=r"name them in score\.old_task"):
        Retention(recipe=tiny())
    with pytest.raises(ValidationError, match=r"need validation rows, but data\.validation is none; use alphas=\[\]"):
        Retention(recipe=tiny("score.old_task={path: letters}", "data.validation=none"))
    assert Retention(recipe=tiny("score.old_task={path: letters}", "data.validation=none"), alphas=[]).plan({})
    with pytest.raises(ValidationError, match="less than 1"):
        study(alphas=[0.5, 1])
    with pytest.raises(ValidationError, match="did you mean 'lwf'"):
        study(methods=["lwff"])


@pytest.mark.slow
def test_a_net_that_learns_digits_forgets_letters_less_where_less_learns(tmp_path):
    few = [
        "data.max_train_samples=60",
        "data.max_eval_samples=60",
        "training.num_train_epochs=2",
        "training.use_cpu=true",
    ]
    asked = make_study(
        "retention", "digits", ["score.old_task={path: letters}", *few], seeds=1, methods=["head"], alphas=[0.5]
    )
    table = run_study(asked, tmp_path / "study")
    old = {row.arm: row.cells[OLD].summary().mean for row in table.rows}
    new = {row.arm: row.cells[NEW].summary().mean for row in table.rows if NEW in row.cells}
    assert old["head"] == old["start"]  # what is frozen forgets nothing
    assert old["start"] > old["wise-ft 0.5"] > old[ALL]
    assert set(new) == {ALL, "head", "wise-ft 0.5"}
    assert np.isfinite(list(new.values())).all()
