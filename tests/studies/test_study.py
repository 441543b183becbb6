"""Children and their recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfft.errors import BadInput, RecipeError
from hfft.recipe import load_recipe, yaml_lines
from hfft.studies.compare import Compare
from hfft.studies.find import load_study, make_study
from hfft.studies.seeds import Seeds
from hfft.studies.study import (
    Child,
    Figures,
    against,
    better,
    cell,
    override_words,
    recipe_of,
    rows,
    usual_columns,
)
from tests.studies.fake_runs import TINY, figures, tiny

HERE = Path("study/children")


def test_a_childs_recipe_is_that_of_the_same_overrides_on_the_command_line():
    overrides = {"training.learning_rate": 1e-05, "layers.train": ["norms", "/fc1/"], "data.classes": ["1", "7"]}
    found = recipe_of(Seeds(recipe=tiny()), Child("a", 3, overrides), HERE)
    words = ["training.learning_rate=1e-5", "layers.train=[norms, /fc1/]", "data.classes=['1', '7']", "training.seed=3"]
    assert found == load_recipe(TINY, *words, f"training.output_dir={HERE}/a-3")


@pytest.mark.parametrize("overrides", [{"training.seed": 7}, {"training": {"seed": 7}}])
def test_an_arm_does_not_set_the_seed_that_its_figures_count_for(overrides):
    with pytest.raises(BadInput, match=r"child a-1: training\.seed is 7; leave it out of the arms"):
        recipe_of(Compare(recipe=tiny(), seeds=2, arms={"a": overrides}), Child("a", 1, overrides), HERE)


def test_a_child_is_not_published_and_has_no_run_from_scratch_beside_it():
    base = tiny("publish.hub_model_id=me/tiny", "score.from_scratch=true")
    found = recipe_of(Seeds(recipe=base), Child("a", 1), HERE)
    assert found.publish.hub_model_id is None
    assert not found.score.from_scratch
    asked = recipe_of(Seeds(recipe=base), Child("a", 1, {"score.from_scratch": True}), HERE)
    assert asked.score.from_scratch


def test_a_child_that_begins_from_another_has_its_model_and_not_what_the_base_began_without():
    base = load_recipe({**TINY, "task": "text-classification", "backbone": {"name": "nano-bert"}})
    assert base.head.new == ["bert.pooler"]
    found = recipe_of(Seeds(recipe=base), Child("b", 1, {}, begins_from="a-1"), HERE)
    assert found.backbone.name == f"{HERE}/a-1/model"
    assert found.head.new == []


def test_a_child_that_begins_from_a_finished_net_takes_it_whole_and_one_with_other_vectors_has_a_new_net():
    base = load_recipe({**TINY, "task": "text-classification", "backbone": {"name": "nano-bert", "rnn": {}}})
    found = recipe_of(Seeds(recipe=base), Child("b", 1, {}, begins_from="a-1"), HERE)
    assert found.backbone.rnn is None
    other = recipe_of(Seeds(recipe=base), Child("b", 1, {"backbone.name": "glove.txt"}), HERE)
    assert other.backbone.rnn == base.backbone.rnn


def test_a_child_that_goes_on_begins_neither_from_random_weights_nor_with_the_edits_of_the_first_again():
    asked = Seeds(recipe=tiny("backbone.init=random", "backbone.edit=[{remove: last-1}]", "layers.train=all"))
    made = recipe_of(asked, Child("again", 1, {}, "first-1"), Path("children"))
    assert (made.backbone.name, made.backbone.init, made.backbone.edit) == ("children/first-1/model", "pretrained", [])
    first = recipe_of(asked, Child("first", 1), Path("children"))
    assert (first.backbone.init, len(first.backbone.edit)) == ("random", 1)


def test_overrides_of_data_reach_every_task_of_several():
    asked = Seeds(recipe=load_recipe("digits_tasks", "data.max_train_samples=300"))
    made = recipe_of(asked, Child("few", 1, {"data.max_train_samples": 100}), Path("children"))
    assert [task.data.max_train_samples for task in made.tasks] == [100] * len(asked.recipe.tasks)


def test_a_metric_of_one_of_several_tasks_has_its_own_direction():
    assert better("ink_rmse", 0.1, 0.5)
    assert better("digit_accuracy", 0.5, 0.1)


def test_overrides_that_do_not_fit_name_the_child():
    with pytest.raises(BadInput, match=r"^child a-1: .*training\.learing_rate: unknown key; did you mean"):
        recipe_of(Seeds(recipe=tiny()), Child("a", 1, {"training.learing_rate": 1}), HERE)


@pytest.mark.parametrize("arm", ["", "a/b", "../x", "-x", "a b"])
def test_an_arm_that_cannot_name_a_folder_is_refused(arm):
    with pytest.raises(ValueError, match="names a folder"):
        Child(arm, 1)


def test_seeds_are_a_number_or_a_list():
    assert Seeds(recipe=tiny(), seeds=3).all_seeds == [1, 2, 3]
    assert Seeds(recipe=tiny(), seeds=[0, 7]).all_seeds == [0, 7]
    for wrong in (0, [], [1, 1], [-1]):
        with pytest.raises(ValueError, match="expected a number of seeds"):
            Seeds(recipe=tiny(), seeds=wrong)


def test_words_of_overrides_read_back():
    values = {"training.learning_rate": 1e-05, "layers.train": "last-2", "data.path": "a: b, 'c'", "data.test": None}
    for word, value in zip(override_words(values), values.values(), strict=True):
        assert yaml_lines.parse(word.partition("=")[2])[0] == value


def test_rows_keep_failures_and_pair_seeds():
    study = Compare(recipe=tiny(), seeds=2, arms={"a": {}, "b": {"layers.train": "head"}})
    children = study.plan({})
    assert [child.name for child in children] == ["a-1", "b-1", "a-2", "b-2"], "a study that is stopped has whole pairs"
    done = {"a-1": figures(0.8), "b-1": figures(0.9), "a-2": Figures(failed="why"), "b-2": figures(0.7)}
    columns = usual_columns(done)
    assert list(columns) == ["test accuracy (n=100)", "seconds", "steps"]
    found = against(rows(children, done, columns), "test accuracy (n=100)", "a")
    assert found[0].failed == {2: "why"}
    assert found[1].cells["minus a"].values == pytest.approx({1: 0.1})
    assert cell(children[:1], done, lambda f: f.seconds).values == {1: 2.0}
    table = study.table(done)
    assert table.answer == "tiny, test accuracy beside a: b +0.1000, which may be nothing (n=100, 1 seed)."
    assert study.table({}).answer == "tiny: no run has finished."


def test_figures_of_a_run():
    found = figures(0.8, 0.7)
    assert (found.main(), found.value(), found.value("validation"), found.n()) == ("accuracy", 0.8, 0.7, 100)
    assert (found.seconds, found.steps) == (2.0, 5)
    assert found.value(metric="f1") is None
    nothing = Figures(failed="x")
    assert (nothing.main(), nothing.value(), nothing.n(), nothing.seconds) == (None, None, 0, None)


def test_a_seeds_answer_says_split_n_and_interval():
    study = Seeds(recipe=tiny(), seeds=2)
    done = {"recipe-1": figures(0.8), "recipe-2": figures(0.9)}
    answer = study.table(done).answer
    assert answer.startswith(
        "tiny: test accuracy 0.8500 ± 0.0707 over 2 seeds, 95% interval of the mean [0.2147, 1.4853]"
    )
    assert "one seed: no spread" in study.table({"recipe-1": figures(0.8)}).answer
    assert study.table({"recipe-1": Figures(failed="x")}).answer == "tiny: no seed has finished."


def test_a_study_is_found_by_name_and_by_file(tmp_path):
    study = make_study("seeds", TINY, ["training.learning_rate=1e-4"], seeds=2)
    assert study.recipe.training["learning_rate"] == 1e-4
    file = tmp_path / "mine.yaml"
    file.write_text(
        "study: compare\nquestion: Which?\nrecipe: digits\noverrides: {layers.train: head}\nseeds: [1, 2]\n"
        "arms:\n  a: {}\n  b: {training.learning_rate: 1e-3}\n"
    )
    found = load_study(file, "training.weight_decay=0.1", seeds=1)
    assert (found.question, found.all_seeds, found.recipe.train_layers) == ("Which?", [1], ["head"])
    assert found.arms["b"] == {"training.learning_rate": 1e-3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: sedes\nrecipe: digits\n", r"study 'sedes' is unknown; did you mean 'seeds'"),
        ("study: seeds\nrecipe: digits\nsead: 3\n", r"mine.yaml  sead: unknown key; did you mean 'seeds'"),
        ("study: seeds\nrecipe: digits\nseeds: 0\n", r"mine.yaml  seeds: is 0; expected a number of seeds"),
        ("study: seeds\nrecipe: digit\n", r"recipe 'digit' is neither"),
        ("study: seeds\n", r"needs a recipe"),
        ("- a\n", r"expected a study"),
        ("study: [\n", r"not valid YAML"),
        ("study: seeds\nrecipe: digits\noverrides: 3\n", r"mine.yaml  overrides: is 3; expected section.key: value"),
        ("study: seeds\nrecipe: digits\noverrides: [a=1]\n", r"overrides: is \['a=1'\]; expected"),
        ("study: compare\nrecipe: digits\narms: {a/b: {}}\n", r"arm 'a/b'; expected letters"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=message):
        load_study(file)


def test_there_is_no_such_file():
    with pytest.raises(BadInput, match="neither a study nor a file"):
        load_study("nothing.yaml")
    with pytest.raises(RecipeError, match="axes"):
        make_study("grid", TINY, ["layers.train=head"])
