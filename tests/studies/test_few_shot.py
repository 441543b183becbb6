"""The few-shot curve: its arms, the rows of each, and a table computed by hand."""

import numpy as np
import pytest

from hfft.data import load_splits
from hfft.data.splits import column
from hfft.errors import RecipeError
from hfft.recipe import load_recipe
from hfft.studies.few_shot import area
from hfft.studies.find import make_study
from hfft.studies.run import run_study
from hfft.studies.shots import classify, features, few
from hfft.studies.study import recipe_of
from hfft.studies.table import Cell
from tests.studies.figures import came_to, seeds_of


def study(*overrides, **options):
    return make_study("few-shot", "digits", overrides, **{"seeds": 2, "shots": [1, 2, 8, "full"], **options})


def test_a_classifier_is_one_child_of_each_seed_and_a_fine_tune_one_of_each_number(tmp_path):
    children = {child.name: child for child in study().plan({})}
    assert len(children) == 2 * (1 + 4 + 4)
    assert children["classifier-2"].options["shots"] == [1, 2, 8, "full"]
    recipe = recipe_of(study(), children["lora-8-2"], tmp_path)
    assert (recipe.data.shots, recipe.data.shots_seed, recipe.seed) == (8, 2, 2)
    assert (recipe.training["max_steps"], recipe.training["learning_rate"]) == (100, 5e-3)
    assert recipe.layers.adapter["type"] == "lora"
    whole = recipe_of(study(), children["fine-tune-full-1"], tmp_path)
    assert (whole.data.shots, whole.training.get("max_steps")) == (None, None)


def test_the_table_has_every_use_and_the_area_under_the_curve():
    done = {
        f"classifier-{seed}": came_to(
            0.9, shots={"1": a, "2": a + 0.2, "8": a + 0.3, "full": 0.9}, labels=list("0123456789")
        )
        for seed, a in ((1, 0.4), (2, 0.5))
    }
    done |= seeds_of({"fine-tune-1": [0.3, 0.3], "fine-tune-2": [0.5, 0.5], "fine-tune-8": [0.9, 0.9]})
    table = study(uses=["classifier", "fine-tune"]).table(done)
    assert table.row("8 shots").cells["classifier"].values == pytest.approx({1: 0.7, 2: 0.8})
    # trapezoids over log2: from 1 to 2 shots a width of 1, from 2 to 8 one of 2
    areas = table.row("area").cells
    assert areas["classifier"].values == pytest.approx({1: (0.5 + 2 * 0.65) / 3, 2: (0.6 + 2 * 0.75) / 3})
    assert areas["fine-tune"].values[1] == pytest.approx((0.4 + 2 * 0.7) / 3)
    assert (
        "with 8 rows of each class, test accuracy is classifier 0.750 ± 0.071, fine-tune 0.900 ± 0.000" in table.answer
    )
    assert "n=500, 2 seeds); the largest area under the curve has classifier" in table.answer
    assert [x for x, *_ in table.plots[0].lines[0].points] == [1, 2, 8, 30]  # 300 rows of 10 classes


def test_an_area_needs_two_numbers_of_shots_and_every_value():
    assert not area({4: Cell({1: 0.5}), "full": Cell({1: 0.9})}).values
    assert area({1: Cell({1: 0.5, 2: 0.5}), 4: Cell({2: 0.7})}).values == {2: pytest.approx(0.6)}


def test_unusable_options_are_refused():
    for options in (
        {"shots": [1, 1]},
        {"shots": ["all"]},
        {"uses": ["soup"]},
        {"classifier": {"type": "logistic-regresion"}},
    ):
        with pytest.raises(RecipeError):
            study(**options)


@pytest.mark.slow
def test_the_classifier_has_the_rows_of_the_runs_and_is_scikit_learns(tmp_path, monkeypatch):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    recipe = load_recipe("digits", "data.max_train_samples=null", "data.validation=none", "data.max_eval_samples=100")
    recipe = load_recipe(recipe.resolved(), "training.seed=3")
    train = features(recipe)["train"]
    rows = few(recipe, train, 4)
    other = load_recipe("digits", "data.max_train_samples=null", "data.shots=4", "data.shots_seed=3", "training.seed=3")
    trained, _ = load_splits(other.data, other.the_task, other.seed)
    assert sorted(train.ids[rows]) == sorted(column(trained.train, "row").to_numpy())
    found = classify(recipe, [4], {"type": "logistic-regression", "C": 1.0})
    test = features(recipe)["test"]
    theirs = LogisticRegression(max_iter=1000).fit(train.values[rows], train.labels[rows])
    assert found["test"] == {"accuracy": pytest.approx(np.mean(theirs.predict(test.values) == test.labels)), "n": 100}


@pytest.mark.slow
def test_a_small_one_runs_to_its_page(tmp_path, monkeypatch):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    few_rows = ("data.max_train_samples=null", "data.max_eval_samples=20")
    small = study(*few_rows, shots=[1, 2], steps=2, seeds=1, uses=["classifier", "lora"])
    table = run_study(small, tmp_path / "study")
    assert not table.failed
    assert set(table.row("2 shots").cells) == {"classifier", "lora"}
    assert not (tmp_path / "study" / "children" / "classifier-1" / "model").exists()
    assert run_study(small, tmp_path / "study").answer == table.answer


@pytest.mark.slow
def test_features_are_of_a_seeds_own_rows_where_a_share_of_them_is_the_test_split(tmp_path, monkeypatch):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    given = ("digits", "data.max_train_samples=null", "data.test=0.3", "data.max_eval_samples=40")
    first, again, other = (features(load_recipe(*given, f"training.seed={seed}"))["test"] for seed in (1, 1, 2))
    assert first is again
    assert not np.array_equal(first.labels, other.labels)
