"""What a user is told about the labels of train: likely mistakes, and other ways to read them."""

import pytest
from datasets import ClassLabel, Dataset

from hfft.data import classes, labels
from hfft.data.audit import Faults
from hfft.errors import DataError
from tests.data.test_labels import COLUMNS, MULTI, encode, recipe, refused

QUOTE = "'"
HERE = "split train, column 'label': "


def told(values, feature=None, **settings):
    """The notes on labels that occur three times each."""
    return encode([value for value in values for _ in range(3)], feature, **settings)[2]


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (["pos", "pos ", "Pos", "neg"], ["Pos", "pos", "pos "]),
        (["a  b", "a b", "c"], ["a  b", "a b"]),
        (["caf\u00e9", "cafe\u0301", "x"], ["'cafe\\u0301'", "'caf\\xe9'"]),
        (["7", "007", "x"], ["007", "7"]),
        (["STRASSE", "stra\u00dfe", "x"], ["STRASSE", "stra\u00dfe"]),
    ],
)
def test_classes_that_are_likely_one_are_told_with_their_numbers_of_rows(names, alike):
    shown = ", ".join(f"{name if name.startswith(QUOTE) else repr(name)} (3 rows)" for name in alike)
    assert told(names) == [f"{HERE}{shown} are {len(alike)} classes but likely one; write them alike in the data"]
    assert told(range(len(names)), ClassLabel(names=classes.ordered(set(names)))) == told(names)
    assert encode([[name] for name in names], None, MULTI)[2] == [told(names)[0].replace("3 rows", "1 row")]


@pytest.mark.parametrize("names", [["pos", "neg"], ["a-b", "a b"], ["1", "2"], ["1.5 l", "15 l"], [True, False]])
def test_classes_that_differ_in_more_are_not_told(names):
    assert told(names) == []


@pytest.mark.parametrize(
    ("values", "row", "gap", "outputs"),
    [
        ([0, 1, 5], 6, "class 5 comes after 1", 3),
        (["0", "1", "5"], 6, "class 5 comes after 1", 3),
        ([1.0, 3.0], 3, "class 3 comes after 1", 2),
        ([0, 1, 255], 6, "class 255 comes after 1", 3),
    ],
)
def test_numbers_that_leave_some_out_are_told_with_the_first_row(values, row, gap, outputs):
    assert told(values) == [
        f"split train, row {row}, column 'label': {gap}, and no row has a number between them; the model gets {outputs} "
        f"outputs, one for each number that occurs"
    ]


def test_several_gaps_are_one_line():
    (line,) = told([0, 2, 5, 9])
    assert "class 2 comes after 0, and no row has a number between them, and 2 more such gaps; the model gets 4" in line


@pytest.mark.parametrize("values", [[0, 1, 2], [10, 20, 30], ["a", "1", "5"], [2019, 2024], [-1, 0, 1], [-1, 1]])
def test_numbers_without_gaps_and_codes_are_not_told(values):
    assert [note for note in told(values) if "between them" in note] == []


def test_named_classes_may_have_any_number():
    assert told([0, 1, 3], ClassLabel(names=["a", "b", "c", "d"])) == []


@pytest.mark.parametrize(
    "values", [[1, 2, 3, 4, 5], ["1", "2", "3", "4", "5"], [float(i) for i in range(1, 8)], list(range(1, 11))]
)
def test_grades_are_told_that_regression_exists(values):
    assert told(values) == [
        f"the classes are the numbers 1 to {len(values)}; if they are grades, problem_type=regression also learns that "
        f"neighbours are close (classification does not)"
    ]


def test_stars_of_a_data_set_with_named_classes_are_grades():
    names = ["1 star", *(f"{i} stars" for i in range(2, 6))]
    assert "the numbers 1 to 5; if they are grades" in told(range(5), ClassLabel(names=names))[0]


@pytest.mark.parametrize("values", [[0, 1, 2, 3, 4], [1, 2, 3, 4], list(range(1, 12)), ["1 star", "none"]])
def test_other_numbers_are_no_grades(values):
    assert told(values) == []


# --- minus one


@pytest.mark.parametrize("values", [[-1, 0, 1], [-1.0, 0.0, 1.0], ["-1", "0", "1"], [-1, 1], [-2, -1, 0, 1, 2]])
def test_minus_one_is_a_class_among_whole_numbers(values):
    targets, meaning, notes = encode(values, test=values[::-1])
    assert meaning.names == tuple(str(int(float(value))) for value in values)
    assert targets == {"train": list(range(len(values))), "test": list(range(len(values)))[::-1]}
    assert [note for note in notes if "-1 is a class" in note] == []


def test_minus_one_beside_other_numbers_is_a_class_that_is_told():
    assert told([-1, 0, 1, 2])[-1] == (
        f"{HERE}-1 is a class of its own (3 rows); if it means that a label is missing, leave these cells empty, or list "
        f"the other classes in data.classes"
    )
    targets, _, _ = encode([0, 1, 2] * 3, test=[0, 1, 2])
    assert targets["test"] == [0, 1, 2]


def test_minus_one_is_no_label_where_the_recipe_names_other_classes():
    refused(
        "split train, row 2: no label in column 'label' (None, NaN, -1 and '' count as none); fix it, or set "
        "data.on_bad_rows=skip",
        [0, 1, -1],
        classes=["0", "1"],
    )
    assert encode([0, 1, -1], classes=["-1", "1"])[0]["train"] == [1, 0]


def test_a_split_of_minus_one_alone_has_labels_where_it_is_a_class_of_train():
    targets, _, notes = encode([-1, 0, 1], test=[-1, -1])
    assert (targets["test"], notes) == ([0, 0], [])


# --- two columns


def columns(train, test):
    parts = {
        name: Dataset.from_dict({"text": [str(i) for i in range(len(values))], "label": values})
        for name, values in (("train", train), ("test", test))
    }
    given = recipe()
    faults = Faults(given.data)
    faults.totals = {name: len(rows) for name, rows in parts.items()}
    encoded, _, notes = labels.encode(parts, COLUMNS, given.data, given.the_task, faults)
    faults.settle()
    return list(encoded["test"]["labels"]), notes


@pytest.mark.parametrize(
    ("train", "test", "kinds"),
    [
        (["0", "1"], [1, 0], "texts, where this column holds numbers"),
        ([0, 1], ["1", "0"], "numbers, where this column holds texts"),
        (["false", "true"], [True, False], "texts, where this column holds truth values"),
    ],
)
def test_test_labels_of_another_type_are_told(train, test, kinds):
    targets, notes = columns(train, test)
    assert targets == [1, 0]
    assert notes == [f"split test, column 'label': train has {kinds}; classes are compared by their names"]


def test_a_test_label_of_another_type_that_is_no_class_is_refused_with_both_types():
    with pytest.raises(DataError) as caught:
        columns(["neg", "pos"], [1, 0])
    assert str(caught.value).splitlines()[0] == (
        "split test, rows 0, 1 (2 of 2): class '1' does not occur in train (train has: neg, pos; texts, where this column "
        "holds numbers); fix the split, or name the classes to keep in data.classes"
    )


@pytest.mark.parametrize(("train", "test"), [([0, 1], [1.0, 0.0]), (["a", "b"], ["b"])])
def test_columns_of_one_kind_are_not_told(train, test):
    assert columns(train, test)[1] == []


# --- vectors


@pytest.mark.parametrize("kind", [float, bool, int])
def test_vectors_of_two_classes_are_never_class_numbers(kind):
    given = [[kind(i % 2), kind(1 - i % 2)] for i in range(6)]
    targets, meaning, notes = encode(given, None, MULTI, classes=["x", "y"])
    assert (meaning.names, targets["train"]) == (("x", "y"), [[i % 2, 1 - i % 2] for i in range(6)])
    assert notes == [
        "each row of train has exactly one of the classes; if they exclude each other, one label a row with "
        "problem_type=single_label_classification fits better"
    ]
    asked = (
        "labels such as [0, 1] name every class in every row; if they are vectors of zeros and ones, name their 2 classes "
        "in data.classes, in their order"
        if kind is int
        else "labels are vectors of 2 zeros and ones, but data.classes names 0 classes; name all 2, in their order"
    )
    refused(asked, given, problem=MULTI)


def test_lists_that_name_every_class_in_every_row_are_asked_about():
    refused(
        "labels such as ['0', '1'] name every class in every row; if they are vectors of zeros and ones, name their 2 "
        "classes in data.classes, in their order",
        [["0", "1"], ["1", "0"]],
        problem=MULTI,
    )


@pytest.mark.parametrize("kind", [float, bool])
def test_lists_of_a_single_zero_or_one_are_asked_about(kind):
    refused(
        "labels are lists of a single zero or one; write them as single values, and use "
        "problem_type=single_label_classification",
        [[kind(0)], [kind(1)]],
        problem=MULTI,
    )
