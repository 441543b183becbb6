"""A label that is spread over several columns: one per class, or one per number to predict."""

import json

import datasets
import pytest

from hfft.data import label_columns
from hfft.errors import BadInput, DataError
from hfft.recipe.build import build
from hfft.tasks.labels import Labels
from tests.parts import splits_of

MULTI, REGRESSION = "multi_label_classification", "regression"
ROWS = [(0, 1, 1), (0, 0, 0), (1, 0, 0), (1, 1, 1)]
HEADER = "id,text,is_a,is_b,is_c"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def table(folder, rows=ROWS, header=HEADER, name="train.csv", words=str):
    lines = [",".join([f"{i}", f"a text {i}", *map(words, row)]) for i, row in enumerate(rows)]
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join([header, *lines]) + "\n")
    return folder


def recipe(folder, label, problem=MULTI, **data):
    columns = {"label": label, **data.pop("columns", {})}
    values = {"task": "text-classification", "problem_type": problem, "backbone": {"name": "-"}}
    return build(json.dumps({**values, "data": {"path": str(folder), "columns": columns, **data}}), "r.yaml", "r")


def load(*args, **settings):
    splits, meaning = splits_of(recipe(*args, **{"validation": "train", **settings}))
    return [row["labels"] for row in splits.train], meaning, splits


CELLS = {
    "numbers": str,
    "fractions": lambda x: f"{x}.0",
    "truth values": lambda x: str(bool(x)),
    "lower case": lambda x: str(bool(x)).lower(),
}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("words", CELLS)
@pytest.mark.parametrize("label", [["is_a", "is_b", "is_c"], "/^is_/", ["is_a", "/_[bc]$/"], "/is_.*/"])
def test_a_column_per_class_is_a_vector_of_its_cells(tmp_path, label, words, streaming):
    folder = table(tmp_path / "d", words=CELLS[words])
    targets, meaning, splits = load(folder, label, streaming=streaming)
    assert meaning == Labels.of(MULTI, ["is_a", "is_b", "is_c"])
    assert targets == [list(map(float, row)) for row in ROWS]
    assert [row["labels"] for row in splits.validation] == targets
    assert set(next(iter(splits.train))) == {"text", "row", "labels"}


def test_the_recipe_gives_the_order_and_chooses_among_the_columns(tmp_path):
    folder = table(tmp_path / "d")
    targets, meaning, _ = load(folder, ["is_c", "is_a"])
    assert (meaning.names, targets) == (("is_c", "is_a"), [[c, a] for a, _, c in ROWS])
    targets, meaning, _ = load(folder, "/is_/", classes=["is_b", "is_a"])
    assert (meaning.names, targets) == (("is_b", "is_a"), [[b, a] for a, b, _ in ROWS])


@pytest.mark.parametrize("streaming", [False, True])
def test_several_numbers_are_predicted_from_a_column_each(tmp_path, streaming):
    rows = [(0.5, -1, 3), (2, 0, -1)]
    targets, meaning, _ = load(table(tmp_path / "d", rows), ["is_c", "is_a"], REGRESSION, streaming=streaming)
    assert (meaning, targets) == (Labels(REGRESSION, (), 2), [[3, 0.5], [-1, 2]])


@pytest.mark.parametrize(
    ("header", "rows"),
    [("id,text", [()] * 3), (HEADER, [(-1, -1, -1)] * 3), (HEADER, [("", "", "")] * 3)],
)
def test_a_held_out_split_without_labels_in_these_columns_is_left_out_with_a_note(tmp_path, header, rows):
    folder = table(tmp_path / "d")
    table(folder, rows, header, "test.csv")
    _, _, splits = load(folder, "/is_/")
    assert (list(splits.sizes), splits.notes[0]) == (
        ["train", "validation"],
        "split test has no labels and is not scored",
    )


def test_a_held_out_split_that_lacks_one_of_the_columns_is_refused(tmp_path):
    folder = table(tmp_path / "d")
    table(folder, [(0, 1)] * 2, "id,text,is_a,is_c", "test.csv")
    with pytest.raises(DataError, match=r"data.columns.label: no column 'is_b' in split test; did you mean 'is_c'"):
        load(folder, "/is_/")
    with pytest.raises(DataError, match=r"data.columns.label: no column 'b' in split test \(it has: a\)"):
        label_columns.present({"a": None}, ["a", "b"], "test")
    assert not label_columns.present({}, ["a", "b"], "test")


@pytest.mark.parametrize(
    ("label", "rows", "message"),
    [
        (
            ["is_a", "is_d"],
            ROWS,
            "data.columns.label: no column 'is_d'; did you mean 'is_c'? (train has: id, text, is_a",
        ),
        ("/^toxic/", ROWS, "data.columns.label: no column matches /^toxic/ (train has: id, text, is_a, is_b, is_c)"),
        ("/t/", ROWS, "data.columns.label: column 'text' is already used for text; leave it out of /t/"),
        ("/is_/", [(0, 2, 1), *ROWS], "split train, row 0: column 'is_b' holds '2', not 0, 1, true or false; fix it"),
        ("/is_/", [*ROWS, (0, 1, "no")], "split train, row 4: column 'is_c' holds 'no', not 0, 1, true or false; fix"),
        ("/is_/", [*ROWS, (0, 1, 0.5)], "split train, row 4: column 'is_c' holds '0.5', not 0, 1, true or false; fix"),
        ("/is_/", [*ROWS, ("", 1, 0)], "split train, row 4: no label in column 'is_a' (None, NaN, -1 and '' count as"),
        ("/is_/", [*ROWS, (0, -1, 0)], "split train, row 4: no label in column 'is_b' (None, NaN, -1 and '' count as"),
    ],
)
def test_columns_that_cannot_be_are_told_in_one_line(tmp_path, label, rows, message):
    with pytest.raises(DataError) as caught:
        load(table(tmp_path / "d", rows), label, validation=0.25)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_a_class_that_is_no_column_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data.classes: no column 'is_x'; did you mean 'is_.'"):
        load(table(tmp_path / "d"), "/is_/", classes=["is_x", "is_b"])


@pytest.mark.parametrize(
    ("label", "problem", "data", "message"),
    [
        (
            ["a", "b"],
            "single_label_classification",
            {},
            "data.columns.label: names a column per class, but single_label",
        ),
        ("/a/", "single_label_classification", {}, "data.columns.label: names a column per class, but single_label"),
        ("a", "single_label_classification", {"label_sep": "|"}, "data.label_sep: separates the classes of a row, but"),
        (
            ["a", "b"],
            MULTI,
            {"label_sep": "|"},
            "data.label_sep: separates classes in one column, but each has its own",
        ),
        (["a", "a"], MULTI, {}, "data.columns.label: names 'a' twice; name each column once"),
        ("/(/", MULTI, {}, "data.columns.label: /(/ is not a regular expression"),
        ([], MULTI, {}, "data.columns.label: "),
    ],
)
def test_label_columns_that_do_not_fit_the_problem_are_refused_with_the_recipe(label, problem, data, message):
    with pytest.raises(BadInput) as caught:
        recipe("d", label, problem, **data)
    assert message in str(caught.value)
