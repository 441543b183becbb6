"""Classes are divided into tasks; what cannot be a task is told before anything is trained."""

import pytest

from hfft.data.load import load_splits
from hfft.errors import BadInput, RecipeError
from hfft.scenarios.incremental.tasks import divide, tasks_of
from hfft.studies.find import make_study
from hfft.studies.run import run_study
from hfft.studies.study import Figures, recipe_of
from tests.studies.fake_runs import TINY, tiny

DIGITS = [str(i) for i in range(10)]


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (5, [["0", "1"], ["2", "3"], ["4", "5"], ["6", "7"], ["8", "9"]]),
        (3, [["0", "1", "2", "3"], ["4", "5", "6"], ["7", "8", "9"]]),
        ([["9", "1"], ["4"]], [["9", "1"], ["4"]]),
    ],
)
def test_classes_are_divided_in_their_order_or_as_named(tasks, expected):
    assert divide(DIGITS, tasks) == expected


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (6, "tasks: is 6, but the data has 10 classes, of which a task needs two; use at most 5"),
        ([["0", "1"], ["ten"]], "tasks: no class 'ten' in the data"),
    ],
)
def test_what_the_data_does_not_have_is_refused(tasks, message):
    with pytest.raises(BadInput, match=message):
        divide(DIGITS, tasks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": [["0", "1"], ["1", "2"]]}, "tasks: has class '1' twice; each class belongs to one task"),
        ({"tasks": 1}, "tasks: is 1; expected 2 tasks or more"),
        ({"tasks": [["0", "1"]]}, "tasks: has 1 tasks"),
        ({"tasks": [["0"], ["1", "2"]]}, "begins with a task of the one class '0'; a classifier needs two or more"),
        ({"memory": 0}, "memory: is 0; expected .* 1 or more|memory: .*greater than or equal to 1|memory: is 0"),
        ({"methods": ["dualprompt"]}, "methods"),
        ({"methods": ["der", "der"]}, "methods: is .* name each method once"),
        (
            {"tasks": "domain"},
            "tasks: is 'domain'; expected a number of tasks, the classes of each, data sets, or domains",
        ),
        ({"keys": 0}, "keys"),
        ({"settings": {"derpp": {}}}, "settings: names 'derpp'; expected one of joint, plain, lwf"),
    ],
)
def test_options_that_do_not_fit_are_told_in_one_line(options, message):
    with pytest.raises(RecipeError, match=message):
        make_study("incremental", TINY, (), **options)


def test_a_task_of_one_row_is_refused(tmp_path):
    rows = "text,label\n" + "".join(f"some words {i},{'ab'[i % 2]}\n" for i in range(8)) + "a lonely row,c\n"
    (tmp_path / "train.csv").write_text(rows)
    (tmp_path / "test.csv").write_text("text,label\nother words,a\n")
    recipe = tiny(
        "task=text-classification", "backbone.name=nano-bert", f"data.path={tmp_path}", "data.validation=none"
    )
    with pytest.raises(BadInput, match=r"tasks: task 2 \(c\) has a single row in train; join it to another task"):
        tasks_of(recipe, [["a", "b"], ["c"]])


def test_data_without_a_test_split_is_refused():
    with pytest.raises(BadInput, match=r"data.test: there is no test split, on which all tasks are scored"):
        tasks_of(tiny("data.test=none"), 5)


def test_a_study_that_cannot_be_divided_writes_and_trains_nothing(tmp_path):
    study = make_study("incremental", TINY, (), tasks=9)
    with pytest.raises(BadInput, match="use at most 5"):
        run_study(study, tmp_path / "study")
    assert not (tmp_path / "study" / "children").exists()
    study = make_study("incremental", TINY, (), tasks=5, memory=9)
    with pytest.raises(BadInput, match="9 rows cannot hold one of each of 10 classes"):
        run_study(study, tmp_path / "study")


def test_the_rows_of_each_task_are_counted():
    found = tasks_of(tiny("data.max_train_samples=null", "data.max_eval_samples=null"), 5)
    assert found["tasks"][0] == ["0", "1"]
    assert sum(found["rows"]["test"]) == 500


# --- several data sets

TEXT = ("task=text-classification", "backbone.name=nano-bert", "data.validation=none", "data.max_train_samples=null")


def csv(path, column, classes, rows=4):
    """Texts in a column, and their classes."""
    lines = [f"some words {name} {i},{name}" for name in classes for i in range(rows)]
    path.write_text(f"{column},label\n" + "\n".join(lines) + "\n")
    return str(path)


def test_several_data_sets_are_joined_each_a_task_of_its_own_classes(tmp_path):
    sets = [csv(tmp_path / "one.csv", "text", "ba", 5), csv(tmp_path / "two.csv", "text", "d")]
    asked = make_study("incremental", {**TINY, "data": {"path": sets[0]}}, TEXT, tasks=sets, seeds=1, methods=["der"])
    [first] = asked.plan({})
    recipe = recipe_of(asked, first, tmp_path)
    found = tasks_of(recipe, sets)
    assert found["tasks"] == [["a", "b"], ["d"]]
    assert found["rows"] == {"train": [8, 3], "test": [2, 1]}
    assert found["columns"] == {"text": "text"}
    children = asked.plan({"tasks-1": Figures(found)})
    made = {child.name: recipe_of(asked, child, tmp_path) for child in children}
    assert made["der-2-1"].data.train_classes == ["d"]
    loaded, labels = load_splits(made["der-2-1"].data, made["der-2-1"].the_task)
    assert labels.names == ("a", "b", "d")
    assert loaded.train["text"][0].startswith("some words d")
    assert len(loaded.test) == 3


def test_a_class_in_two_data_sets_is_refused(tmp_path):
    sets = [csv(tmp_path / "one.csv", "text", "ab"), csv(tmp_path / "two.csv", "text", "cb")]
    recipe = tiny(*TEXT, f"data.path={sets[0]}")
    with pytest.raises(BadInput, match=r"tasks: class 'b' is in .*two.csv and in a data set before it"):
        tasks_of(recipe, sets)
    with pytest.raises(RecipeError, match="expected two different data sets or more"):
        make_study("incremental", TINY, (), tasks=["a.csv", "a.csv"])
    with pytest.raises(BadInput, match="the first one has the one class 'd'"):
        tasks_of(recipe, [csv(tmp_path / "three.csv", "text", "d"), sets[0]])
