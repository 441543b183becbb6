"""Labels written as one text: classes joined by a separator, or a list as Python, JSON or NumPy print it."""

import pytest
from datasets import Value

from hfft.data.label_texts import parse_list
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from tests.data.test_labels import MULTI, encode, refused, stream

LISTS = [["a"], [], ["b", "a"]]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("['a', 'b']", ["a", "b"]),
        ('["a","b"]', ["a", "b"]),
        ("['a' 'b']", ["a", "b"]),  # NumPy; Python would read 'ab'
        ("['a''b']", None),
        ("('a',)", ["a"]),
        ("{'a', 'b'}", ["a", "b"]),
        ("[1 0 1]", [1, 0, 1]),
        ("[1. 0.]", [1.0, 0.0]),
        ("[true, False]", [True, False]),
        ("[]", []),
        ("set()", []),
        (" [ ] ", []),
        (r"['it\'s, so', 'b']", ["it's, so", "b"]),
        ('["it\'s"]', ["it's"]),
        ("[007, 1]", ["007", 1]),
        ("[a, b]", None),
        ("['a'", None),
        ("a", None),
        ("['a', ['b']]", None),
        ("[__import__('os').getcwd()]", None),
        ("['a'] + ['b']", None),
        ("", None),
    ],
)
def test_a_list_in_brackets_is_read_without_evaluating_it(text, items):
    assert parse_list(text) == items


@pytest.mark.parametrize("through", [encode, stream])
@pytest.mark.parametrize("write", [repr, lambda x: str(x).replace("'", '"'), lambda x: str(x).replace(",", "")])
def test_lists_written_as_text_are_read_as_lists(through, write):
    classes = ["a", "b"] if through is stream else None
    texts = [write(value) for value in LISTS]
    targets, meaning, notes = through(texts, None, MULTI, classes=classes, test=texts[:1])
    assert meaning == Labels.of(MULTI, ["a", "b"])
    assert targets == {"train": [[1, 0], [0, 0], [1, 1]], "test": [[1, 0]]}
    told = [f"labels of train are lists written as text, such as {texts[0]}; they are read as lists"]
    assert notes == ([] if through is stream else told)


@pytest.mark.parametrize("through", [encode, stream])
def test_vectors_written_as_text_are_vectors(through):
    targets, meaning, _ = through(["[0, 1, 1]", "[0 0 0]", "[1., 0., 0.]"], None, MULTI, classes=["x", "y", "z"])
    assert meaning.names == ("x", "y", "z")
    assert targets["train"] == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]


def test_a_text_that_is_no_list_among_lists_is_named():
    message = (
        "split test, row 1: label 'b' is not a list in brackets, as most of train are; fix it, or set "
        "data.on_bad_rows=skip"
    )
    refused(message, ["['a']", "['b']"], problem=MULTI, test=["['a']", "b"])
    refused(message.replace("test, row 1", "train, row 2"), ["['a']", "['b']", "b"], problem=MULTI)


def joined(train, sep="|", through=encode, **settings):
    return through(train, None, MULTI, label_sep=sep, **settings)


@pytest.mark.parametrize("through", [encode, stream])
@pytest.mark.parametrize("sep", ["|", ",", ";", "__"])
def test_joined_classes_are_divided_and_an_empty_cell_names_none(through, sep):
    texts = [sep.join(value) if value else None for value in LISTS]
    classes = ["a", "b"] if through is stream else None
    targets, meaning, notes = joined(texts, sep, through, classes=classes, test=[f" b {sep} a{sep}"])
    assert meaning == Labels.of(MULTI, ["a", "b"])
    assert targets == {"train": [[1, 0], [0, 0], [1, 1]], "test": [[1, 1]]}
    assert notes == ([] if through is stream else ["split train: 1 of 3 labels are empty and name no class"])


def test_joined_numbers_of_which_no_row_has_two_are_numbers_in_the_file():
    targets, meaning, _ = joined([1, 2, 10, 2])
    assert (meaning.names, targets["train"][2]) == (("1", "2", "10"), [0, 0, 1])
    targets, _, _ = joined([1.0, float("nan"), 10.0])
    assert targets["train"] == [[1, 0], [0, 0], [0, 1]]


def test_a_held_out_split_without_any_label_is_not_scored_although_empty_cells_name_no_class():
    targets, _, notes = joined(["a", "b"], test=[None, None])
    assert (list(targets), notes) == (["train"], ["split test has no labels and is not scored"])


def test_an_unknown_class_in_a_joined_text_is_named():
    message = (
        "split test, row 0: class 'z' does not occur in train (train has: a, b); fix the split, or name the classes to "
        "keep in data.classes"
    )
    refused(message, ["a", "b|a"], problem=MULTI, label_sep="|", test=["a|z"])


def test_list_texts_in_a_task_with_one_label_a_row_are_told():
    _, meaning, notes = encode(["['a', 'b']", "['a']", "['b']"])
    assert meaning.size == 3
    assert notes == [
        "split train, column 'label': class names such as ['a', 'b'] are lists; "
        "problem_type=multi_label_classification reads them as several classes each"
    ]
    assert encode(["(a)", "[b]", "{c}"], Value("string"))[2] == []


@pytest.mark.parametrize("sep", ["|", ", ", "; "])
def test_joined_texts_in_a_task_with_one_label_a_row_are_told(sep):
    _, _, notes = encode(["a", "b", f"a{sep}b"])
    assert notes == [
        f"split train, column 'label': the class name {f'a{sep}b'!r} joins others; problem_type=multi_label_classification "
        f"with data.label_sep={sep.strip()!r} reads it as several classes"
    ]
    assert encode(["a", "b", "New York, NY", "x|y"])[2] == []


@pytest.mark.parametrize("through", [encode, stream])
def test_a_separator_for_labels_that_are_no_texts_is_refused(through):
    with pytest.raises(
        DataError, match=r"data.label_sep: divides texts, but the labels have type List\(.*leave it out"
    ):
        through([["a"], ["b"]], None, MULTI, classes=["a", "b"], label_sep="|")
