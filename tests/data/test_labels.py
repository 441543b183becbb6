"""Targets and class names from whatever a label column holds, in one order on every machine."""

import itertools
import json
import random

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hfft.data import classes, labels
from hfft.data.audit import Faults, Tally
from hfft.data.source import load_raw
from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.recipe.build import build
from hfft.tasks.labels import Labels
from tests.parts import splits_of

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
COLUMNS = {"text": "text", "label": "label"}
DROP = "fix it, or set data.on_bad_rows=skip"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def recipe(problem=SINGLE, classes=None, path="-", task="text-classification", **data):
    values = {"task": task, "problem_type": problem, "backbone": {"name": "-"}}
    return build(json.dumps({**values, "data": {"path": str(path), "classes": classes, **data}}), "test.yaml", "test")


def tallies(streams):
    return {name: Tally(name, recipe().data) for name in streams}


def rows(values, feature=None):
    """Rows of a text and a label each; a feature is stated and not checked, as a file may state it."""
    found = Dataset.from_dict({"text": [f"t{i}" for i in range(len(values))], "label": values})
    if feature is None:
        return found
    info = datasets.DatasetInfo(features=Features(text=Value("string"), label=feature))
    table = found.data.table.cast(info.features.arrow_schema.remove_metadata())
    return Dataset(datasets.table.InMemoryTable(table), info=info)


def encode(train, feature=None, problem=SINGLE, classes=None, label_sep=None, **held_out):
    """(targets of each split, what they mean, notes)."""
    parts = {"train": rows(train, feature), **{name: rows(values, feature) for name, values in held_out.items()}}
    given = recipe(problem, classes, label_sep=label_sep)
    faults = Faults(given.data)
    faults.totals = {name: len(rows) for name, rows in parts.items()}
    encoded, meaning, notes = labels.encode(parts, COLUMNS, given.data, given.the_task, faults)
    faults.settle()
    for part in encoded.values():
        assert part.column_names == ["text", "row", "labels"]
        assert part["text"] == [f"t{i}" for i in part["row"]]
    return {name: list(part["labels"]) for name, part in encoded.items()}, meaning, notes


def refused(message, *args, **settings):
    with pytest.raises(DataError) as caught:
        encode(*args, **settings)
    assert str(caught.value) == message


def stream(train, feature=None, problem=SINGLE, classes=None, label_sep=None, **held_out):
    parts = {"train": rows(train, feature), **{name: rows(values, feature) for name, values in held_out.items()}}
    streams = {name: part.to_iterable_dataset() for name, part in parts.items()}
    given = recipe(problem, classes, label_sep=label_sep)
    encoded, meaning, notes = labels.encode_streams(streams, COLUMNS, given.data, given.the_task, tallies(streams))
    found = {name: list(part) for name, part in encoded.items()}
    for part in found.values():
        assert all(row["text"] == f"t{row['row']}" for row in part)
    return {name: [row["labels"] for row in part] for name, part in found.items()}, meaning, notes


# --- the order of classes

ORDERS = {
    "words": (["b", "a", "C"], ["C", "a", "b"]),
    "ints": ([10, 9, -5, 2], ["-5", "2", "9", "10"]),
    "ints as text": (["10", "9", "2"], ["2", "9", "10"]),
    "padded ints as text": (["01", "1", "2"], ["01", "1", "2"]),
    "whole floats": ([2.0, 10.0, 0.0], ["0", "2", "10"]),
    "bools": ([True, False], ["false", "true"]),
    "numbers and words": (["10", "9", "x"], ["10", "9", "x"]),
    "words that float reads": (["nan", "1", "2", "inf"], ["1", "2", "inf", "nan"]),
    "stars": (["5 stars", "1 star"], ["1 star", "5 stars"]),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_classes_have_one_order_whatever_the_order_of_the_rows(kind):
    values, names = ORDERS[kind]
    for seed in range(5):
        given = random.Random(seed).sample(values * 3, 3 * len(values))
        targets, meaning, _ = encode(given)
        assert meaning == Labels.of(SINGLE, names)
        assert [names[i] for i in targets["train"]] == [classes.class_name(value) for value in given]


@pytest.mark.parametrize("values", [["1", "01", "1.0", "b"], ["1", "01", "1.0"], ["nan", "1", "2"], [1.0, 3.0, -2.0]])
def test_classes_have_one_order_in_every_process(values):
    orders = {tuple(classes.ordered(given)) for given in itertools.permutations(values)}  # as hashes may order a set
    assert len(orders) == 1


@pytest.mark.parametrize("through", [encode, stream])
def test_a_class_label_keeps_its_own_order(through):
    feature = ClassLabel(names=["pos", "neg", "none"])
    targets, meaning, _ = through([1, 0, 2, 0], feature, test=[2, 1])
    assert meaning == Labels.of(SINGLE, ["pos", "neg", "none"])
    assert targets == {"train": [1, 0, 2, 0], "test": [2, 1]}


def test_classes_of_the_held_out_splits_are_those_of_train_even_in_another_order():
    parts = {
        "train": rows([0, 1, 2], ClassLabel(names=["a", "b", "c"])),
        "test": rows([0, 1, 2], ClassLabel(names=["c", "a", "b"])),
    }
    encoded, _, _ = labels.encode(parts, COLUMNS, recipe().data, recipe().the_task, Faults(recipe().data))
    assert list(encoded["test"]["labels"]) == [2, 0, 1]


# --- labels that are not there

UNLABELLED = {
    "ClassLabel": (ClassLabel(names=["a", "b"]), [0, 1], -1),
    "ints": (Value("int64"), [3, 4], -1),
    "no ints": (Value("int64"), [3, 4], None),
    "floats": (Value("float64"), [3.0, 4.0], float("nan")),
    "negative floats": (Value("float64"), [3.0, 4.0], -1.0),
    "words": (Value("string"), ["x", "y"], ""),
    "no words": (Value("string"), ["x", "y"], None),
    "ints as words": (Value("string"), ["x", "y"], "-1"),
}


@pytest.mark.parametrize("kind", UNLABELLED)
def test_a_held_out_split_without_labels_is_left_out_with_a_note(kind):
    feature, known, none = UNLABELLED[kind]
    targets, meaning, notes = encode(known, feature, validation=known, test=[none] * 3)
    assert targets == {"train": [0, 1], "validation": [0, 1]}
    assert meaning.size == 2
    assert notes == ["split test has no labels and is not scored"]


@pytest.mark.parametrize("problem", [SINGLE, REGRESSION])
def test_a_held_out_split_without_a_label_column_is_left_out_with_a_note(problem):
    parts = {"train": rows([1, 2]), "test": rows([1, 2]).remove_columns("label")}
    encoded, _, notes = labels.encode(parts, COLUMNS, recipe().data, recipe(problem).the_task, Faults(recipe().data))
    assert list(encoded) == ["train"]
    assert notes == ["split test has no labels and is not scored"]
    streams = {name: part.to_iterable_dataset() for name, part in parts.items()}
    given = recipe(problem, None if problem == REGRESSION else ["1", "2"])
    encoded, _, again = labels.encode_streams(streams, COLUMNS, given.data, given.the_task, tallies(streams))
    assert list(encoded) == ["train"]
    assert again == notes


@pytest.mark.parametrize("kind", UNLABELLED)
@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_without_labels_among_others_are_named(kind, split):
    feature, known, none = UNLABELLED[kind]
    gappy = [known[0], none, known[1], none]
    if split == "train" and none == -1 and feature.dtype != "string" and not isinstance(feature, ClassLabel):
        assert "-1" in encode(gappy, feature)[1].names, "among whole numbers it is a class"
        return
    parts = {"train": known, split: gappy}
    refused(
        f"split {split}, rows 1, 3 (2 of 4): no label in column 'label' (None, NaN, -1 and '' count as none); fix "
        f"them, or set data.on_bad_rows=skip",
        parts.pop("train"),
        feature,
        **parts,
    )


def test_minus_one_is_a_number_like_others_where_numbers_are_predicted():
    targets, _, notes = encode([-1.0, 0.5, -1.0], problem=REGRESSION, test=[0.0, -1.0])
    assert targets == {"train": [[-1.0], [0.5], [-1.0]], "test": [[0.0], [-1.0]]}
    assert notes == []
    assert encode([-1.0, 0.5], problem=REGRESSION, test=[-1.0, -1.0])[2] == [
        "split test has no labels and is not scored"
    ]


# --- labels that cannot be

TRAIN = ClassLabel(names=["a", "b", "c"])


@pytest.mark.parametrize(
    ("message", "train", "settings"),
    [
        (f"split train, row 2: label 3 is out of range, expected 0 to 2; {DROP}", [0, 1, 3], {"feature": "abc"}),
        (
            f"split test, row 1: label 7 is out of range, expected 0 to 2; {DROP}",
            [0, 1, 2],
            {"feature": "abc", "test": [0, 7]},
        ),
        ("the labels of train are all 'x'; a classifier needs two classes or more", ["x", "x"], {}),
        ("the labels of train are all 'b'; a classifier needs two classes or more", [1, 1], {"feature": "abc"}),
        (
            "split test, row 1: class 'z' does not occur in train (train has: x, y); fix the split, or name the classes "
            "to keep in data.classes",
            ["x", "y"],
            {"test": ["x", "z"]},
        ),
        (
            "split test, row 1: class 'c' has no row in train; fix the split, or name the classes to keep in "
            "data.classes",
            [0, 1],
            {"feature": "abc", "test": [0, 2]},
        ),
        ("labels are fractions; to predict numbers, set problem_type=regression", [0.5, 1.0], {}),
        (
            "labels are lists; problem_type single_label_classification needs the other (try "
            "problem_type=multi_label_classification)",
            [["x"], ["y"]],
            {},
        ),
        (
            "labels are single values; problem_type multi_label_classification needs the other (try "
            "problem_type=single_label_classification; or name a column per class in data.columns.label, or what "
            "separates the classes in data.label_sep)",
            ["x", "y"],
            {"problem": MULTI},
        ),
        (
            "1500 different labels in 1500 rows are not classes; name another label column",
            [f"a review {i}" for i in range(1500)],
            {},
        ),
        ("labels such as {'a': 1} are not classes; name another label column", [{"a": 1}, {"a": 2}], {}),
    ],
)
def test_labels_that_cannot_be_are_told_in_one_line(message, train, settings):
    feature = ClassLabel(names=list(settings.pop("feature"))) if "feature" in settings else None
    refused(message, train, feature, **settings)


def test_many_classes_with_many_rows_each_are_classes():
    assert encode([f"class {i % 1200}" for i in range(3000)])[1].size == 1200


# --- a choice of classes


@pytest.mark.parametrize("feature", [None, ClassLabel(names=["z", "c", "b", "a"])])
@pytest.mark.parametrize("through", [encode, stream])
def test_chosen_classes_come_in_the_order_of_the_recipe_and_other_rows_are_left_out(feature, through):
    train, test = ["a", "b", "c", "a", "b"], ["c", "b", "c", "a"]
    known = None if feature is None else feature.names.index
    given = (train, test) if known is None else ([known(v) for v in train], [known(v) for v in test])
    targets, meaning, _ = through(given[0], feature, classes=["c", "a"], test=given[1])
    assert meaning == Labels.of(SINGLE, ["c", "a"])
    assert targets == {"train": [1, 0, 1], "test": [0, 0, 1]}


def test_choosing_all_classes_in_their_order_changes_nothing():
    given = {"train": ["b", "a", "c", "b"], "test": ["c", "a"]}
    assert encode(**given) == encode(**given, classes=["a", "b", "c"])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["catt", "dog"], "data.classes: no class 'catt' in the data; did you mean 'cat'? (it has: bird, cat, dog)"),
        (["dog", "cat", "dog"], "data.classes: 'dog' appears twice; name each class once"),
    ],
)
@pytest.mark.parametrize("feature", [None, ClassLabel(names=["bird", "cat", "dog"])])
def test_a_mistaken_choice_of_classes_is_named(classes, message, feature):
    refused(message, ["bird", "cat", "dog"] if feature is None else [0, 1, 2], feature, classes=classes)


def test_a_choice_that_leaves_a_split_empty_is_an_error():
    message = "data.classes: no row of split test belongs to b, c; name other classes"
    refused(message, ["a", "b", "c"], classes=["b", "c"], test=["a", "a"])


def test_choosing_classes_of_images_writes_no_image_anew(tmp_path):
    features = Features(image=datasets.Image(), label=ClassLabel(names=["a", "b", "c"]))
    noise = np.random.default_rng(0)
    pixels = [noise.integers(0, 256, (40, 40, 3), np.uint8) for _ in range(30)]  # 4.8 KB each, however packed
    for i, image in enumerate(pixels):
        image[0, 0] = i
    path = tmp_path / "d" / "train.parquet"
    path.parent.mkdir()
    Dataset.from_dict({"image": pixels, "label": [i % 3 for i in range(30)]}, features=features).to_parquet(path)
    whole = load_raw(Data(path=str(tmp_path / "d"))).splits["train"]
    files = sorted((tmp_path / "cache").rglob("*.arrow"))
    task = "image-classification"
    splits, _ = splits_of(
        recipe(path=tmp_path / "d", classes=["c", "a"], task=task, validation=0.2, max_train_samples=9)
    )
    assert splits.sizes == {"train": 9, "validation": 4}
    new = set((tmp_path / "cache").rglob("*.arrow")) - set(files)
    assert sum(path.stat().st_size for path in new) < 5000, "verdicts on the rows, no images"
    for _, part in splits.items():
        assert part.cache_files == whole.cache_files
        assert all((np.asarray(row["image"])[0, 0] == row["row"]).all() for row in part)


# --- several classes at once


@pytest.mark.parametrize(
    ("values", "feature", "names"),
    [
        ([["b", "a"], [], ["c"], ["a", "a"]], None, ["a", "b", "c"]),
        ([[9, 2], [], [10], [2, 2]], None, ["2", "9", "10"]),
        ([[1, 2], [], [0], [2, 2]], List(ClassLabel(names=["c", "b", "a"])), ["c", "b", "a"]),
    ],
)
def test_lists_of_classes_become_vectors(values, feature, names):
    targets, meaning, _ = encode(values, feature, MULTI)
    assert meaning == Labels.of(MULTI, names)
    place = {
        value: i for i, value in enumerate(range(3) if feature is not None else sorted({v for x in values for v in x}))
    }
    assert targets["train"] == [[float(i in {place[v] for v in value}) for i in range(3)] for value in values]


def test_a_choice_among_several_classes_drops_the_others_and_keeps_the_rows():
    targets, meaning, _ = encode([["b", "a"], [], ["c"]], None, MULTI, classes=["c", "a"])
    assert meaning == Labels.of(MULTI, ["c", "a"])
    assert targets["train"] == [[0, 1], [0, 0], [1, 0]]


VECTORS = [[0, 1, 1], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("kind", [int, float, bool])
@pytest.mark.parametrize("through", [encode, stream])
def test_vectors_of_zeros_and_ones_are_taken_as_they_are(kind, through):
    given = [[kind(x) for x in vector] for vector in VECTORS]
    targets, meaning, _ = through(given, None, MULTI, classes=["x", "y", "z"], test=given[:1])
    assert meaning == Labels.of(MULTI, ["x", "y", "z"])
    assert targets == {"train": VECTORS, "test": VECTORS[:1]}


@pytest.mark.parametrize("through", [encode, stream])
def test_vectors_and_lists_of_classes_are_told_apart(through):
    feature = List(ClassLabel(names=["p", "q"]))
    listed, _, _ = through([[0, 1], [1, 0], [1]], feature, MULTI, classes=["q", "p"], test=[[0, 1]])
    assert listed == {"train": [[1, 1], [1, 1], [1, 0]], "test": [[1, 1]]}
    vectors, _, _ = through([[0, 1], [1, 0], [0, 1]], None, MULTI, classes=["p", "q"], test=[[0, 1]])
    assert vectors == {"train": [[0, 1], [1, 0], [0, 1]], "test": [[0, 1]]}
    numbered, _, _ = through([[0, 1], [1, 0]], None, MULTI, classes=["0", "1"], test=[[1]])
    assert numbered == {"train": [[1, 1], [1, 1]], "test": [[0, 1]]}


@pytest.mark.parametrize(
    ("message", "train", "settings"),
    [
        (
            "labels are vectors of 3 zeros and ones, but data.classes names 0 classes; name all 3, in their order",
            VECTORS,
            {},
        ),
        (
            "labels are vectors of 3 zeros and ones, but data.classes names 2 classes; name all 3, in their order",
            VECTORS,
            {"classes": ["x", "y"]},
        ),
        (
            f"split test, row 1: label [0, 2, 1] is not a vector of 3 zeros and ones; {DROP}",
            VECTORS,
            {"classes": ["x", "y", "z"], "test": [[0, 0, 1], [0, 2, 1]]},
        ),
        (
            f"split train, row 1: no label in column 'label' (None, NaN, -1 and '' count as none); {DROP}",
            [["a"], ["b", None]],
            {},
        ),
    ],
)
def test_lists_that_cannot_be_are_told_in_one_line(message, train, settings):
    refused(message, train, problem=MULTI, **settings)


# --- numbers to predict


@pytest.mark.parametrize("through", [encode, stream])
@pytest.mark.parametrize(
    ("values", "feature"),
    [([1.5, -2.0, 0.0], None), ([1, -2, 0], None), (["1.5", "-2", "0"], None), ([True, False, True], None)],
)
def test_numbers_are_predicted_as_they_are(values, feature, through):
    targets, meaning, _ = through(values, feature, REGRESSION, test=values)
    assert meaning == Labels(REGRESSION, (), 1)
    assert targets["train"] == targets["test"] == [[float(value)] for value in values]


@pytest.mark.parametrize("through", [encode, stream])
def test_lists_of_numbers_are_predicted_together(through):
    values = [[1.0, 2.0], [3.0, -4.0]]
    targets, meaning, _ = through(values, List(Value("float64"), length=2), REGRESSION)
    assert meaning == Labels(REGRESSION, (), 2)
    assert targets["train"] == values


@pytest.mark.parametrize("through", [encode, stream])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, float("nan")], f"split train, row 1: label nan is not a finite number; {DROP}"),
        ([1.0, float("inf")], f"split train, row 1: label inf is not a finite number; {DROP}"),
        (["1", "one"], f"split train, row 1: label 'one' is not a finite number; {DROP}"),
    ],
)
def test_what_is_no_number_is_refused_with_its_row(values, message, through):
    with pytest.raises(DataError) as caught:
        through(values, None, REGRESSION)
    assert str(caught.value) == message


def test_lists_of_numbers_of_another_length_are_refused_with_their_row():
    message = f"split test, row 1: label [1.0] is not a list of 2 finite numbers; {DROP}"
    refused(message, [[1.0, 2.0]], problem=REGRESSION, test=[[3.0, 4.0], [1.0]])


# --- streams


@pytest.mark.parametrize(
    ("values", "feature", "settings"),
    [
        ([2, 0, 1], ClassLabel(names=["x", "y", "z"]), {"test": [1, 2]}),
        ([[0, 2], [], [1]], List(ClassLabel(names=["x", "y", "z"])), {"problem": MULTI, "test": [[2]]}),
        (["y", "x", "z", "x"], None, {"classes": ["z", "x"], "test": ["x", "y", "z"]}),
        ([3, 5, 4], None, {"classes": ["4", "5"], "test": [4, 5, 9]}),
        ([["a"], ["b", "c"]], None, {"problem": MULTI, "classes": ["c", "a"], "test": [[]]}),
        ([1.0, 2.0], None, {"problem": REGRESSION, "test": [3.0]}),
    ],
)
def test_a_stream_is_encoded_as_the_whole_set_is(values, feature, settings):
    assert stream(values, feature, **settings) == encode(values, feature, **settings)


def test_a_stream_that_does_not_name_its_classes_needs_them_named():
    with pytest.raises(DataError) as caught:
        stream(["a", "b"])
    assert str(caught.value) == ("column 'label' of a streamed data set has no class names; list them in data.classes")


@pytest.mark.parametrize("kind", ["ClassLabel", "words", "no words"])
def test_a_streamed_split_without_labels_is_left_out_and_single_gaps_are_named(kind):
    feature, known, none = UNLABELLED[kind]
    classes = None if kind == "ClassLabel" else known
    targets, _, notes = stream(known, feature, classes=classes, test=[none] * 30)
    assert targets == {"train": [0, 1]}
    assert notes == ["split test has no labels and is not scored"]
    with pytest.raises(DataError) as caught:
        stream([known[0], none], feature, classes=classes)
    expected = f"split train, row 1: no label in column 'label' (None, NaN, -1 and '' count as none); {DROP}"
    assert str(caught.value) == expected


def test_a_task_without_labels_only_numbers_its_rows():
    given = recipe(task="fill-mask")
    parts = {"train": rows(["x", "y"]).select_columns(["text"])}
    encoded, meaning, notes = labels.encode(parts, {"text": "text"}, given.data, given.the_task, Faults(given.data))
    streams = {"train": parts["train"].to_iterable_dataset()}
    streamed, same, _ = labels.encode_streams(streams, {"text": "text"}, given.data, given.the_task, tallies(streams))
    assert list(streamed["train"]) == list(encoded["train"]) == [{"text": "t0", "row": 0}, {"text": "t1", "row": 1}]
    assert meaning == same == Labels("masked_language_modelling")
    assert notes == []


@pytest.mark.parametrize(("missing", "unlabelled"), [(0, False), (9, False), (10, True), (11, True)])
def test_a_stream_whose_first_ten_rows_have_no_label_has_none(missing, unlabelled):
    stream = rows([-1] * missing + [1] * 3).to_iterable_dataset()
    assert labels._unlabelled(stream, "label") is unlabelled
    assert labels._unlabelled(stream, "other")
