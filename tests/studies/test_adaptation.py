"""The study of adaptation: which runs it plans, and a table computed by hand."""

from __future__ import annotations

import pytest

from hfft.errors import BadInput, RecipeError
from hfft.studies.find import make_study
from hfft.studies.study import Figures, recipe_of
from tests.studies.figures import came_to


def study(**options):
    return make_study("adaptation", None, **{"seeds": 2, **options})


def test_it_plans_the_source_what_begins_from_it_each_method_and_the_upper_bound(tmp_path):
    asked = study(methods=["mcc", "coral"])
    assert asked.recipe.name == "printed_digits"
    children = {child.name: child for child in asked.plan({})}
    assert len(children) == 2 * 10
    recipes = {name: recipe_of(asked, child, tmp_path) for name, child in children.items()}
    coral = recipes["trained-coral-1"]
    assert (coral.strategy.coral.on, coral.strategy.mcc, coral.data.sets["target"].path) == ("target", None, "digits")
    assert coral.data.path == "printed_digits"
    shot = recipes["trained-shot-2"]
    assert children["trained-shot-2"].begins_from == "trained-source-only-2"
    assert (shot.data.path, shot.data.labels, shot.head.keep_known, shot.layers.freeze) == (
        "digits",
        "none",
        True,
        "head",
    )
    assert (shot.training["num_train_epochs"], shot.data.sets) == (10, {})
    upper = recipes["target-labels-1"]
    assert (upper.data.path, upper.data.labels) == ("digits", "read")
    assert children["classifiers-1"].options == {"target": "digits"}
    assert children["mcc-1"].begins_from == "trained-mcc-1"


def figures() -> dict[str, Figures]:
    measured = {"source-only": (0.50, 3.0), "mcc": (0.60, 4.0), "shot": (0.58, 2.0)}
    done = {}
    for seed in (1, 2):
        for arm, (accuracy, snd) in measured.items():
            free = {"snd": snd, "atc": 0.7, "entropy": 0.3, "source_validation": 0.8}
            scored = {"test": {"accuracy": accuracy + seed / 100, "n": 500}, "label_free": free}
            done[f"{arm}-{seed}"] = Figures(scored)
            done[f"trained-{arm}-{seed}"] = came_to(0.9, seconds=30.0 + seed)
        ways = {"1-NN": {"accuracy": 0.52 + seed / 100, "seconds": 0.1}}
        done[f"classifiers-{seed}"] = Figures({"test": {"n": 500}, "classifiers": ways})
        done[f"target-labels-{seed}"] = came_to(0.95)
    return done


def test_the_table_has_every_way_beside_the_source_only_model_and_the_choice_without_labels():
    table = study(methods=["mcc"]).table(figures())
    assert [row.arm for row in table.rows] == ["source-only", "1-NN", "mcc", "shot", "target-labels", "chosen by snd"]
    assert table.row("mcc").cells["minus source-only"].values == pytest.approx({1: 0.1, 2: 0.1})
    assert table.row("1-NN").cells["minus source-only"].values == pytest.approx({1: 0.02, 2: 0.02})
    assert table.row("mcc").cells["seconds"].values == pytest.approx({1: 31, 2: 32})
    assert table.row("shot").cells["snd"].values == {1: 2.0, 2: 2.0}
    assert table.row("chosen by snd").cells["minus source-only"].values == pytest.approx({1: 0.1, 2: 0.1})
    assert table.answer == (
        "printed_digits to digits: the source-only model has 0.515 (n=500, 2 seeds); most is gained by mcc (+10.0 ± 0.0 points), "
        "by the model that snd chooses +10.0 ± 0.0 points, by labels of the target +43.5 ± 6.4 points."
    )


def test_where_no_model_is_better_by_the_criterion_the_source_only_one_is_kept():
    table = study(methods=["mcc"], criterion="atc").table(figures())
    assert table.row("chosen by atc").cells["minus source-only"].values == pytest.approx({1: 0, 2: 0})


def test_a_failed_run_is_a_row_that_says_why():
    done = {**figures(), "trained-mcc-2": Figures(failed="no memory")}
    del done["mcc-2"]
    table = study(methods=["mcc"]).table(done)
    assert table.row("mcc").failed == {2: "trained-mcc: no memory"}
    assert list(table.row("mcc").cells["minus source-only"].values) == [1]


def test_nothing_done_is_a_table_too():
    assert study().table({}).answer == "printed_digits to digits: no run has finished."


@pytest.mark.parametrize("options", [{"methods": ["fixmatch"]}, {"criterion": "accuracy"}])
def test_methods_and_criteria_that_there_are_not_are_refused(options):
    with pytest.raises(BadInput, match="expected some of"):
        study(**options)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("score.metrics=[f1_macro]", "compares accuracy, but score.metrics begins with f1_macro"),
        ("data.validation=none", "chooses models by validation rows of the source"),
    ],
)
def test_another_metric_and_a_source_without_validation_rows_are_refused(override, message):
    with pytest.raises(RecipeError, match=message):
        make_study("adaptation", "printed_digits", [override])
