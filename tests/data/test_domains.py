"""The domain of each row, and one that is held out."""

from __future__ import annotations

import re

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hfft import load_recipe
from hfft.data.domains import domain_ids
from hfft.data.load import load_splits
from hfft.data.named_domains import held_out_apart
from hfft.data.spec import Data
from hfft.data.splits import column
from hfft.errors import BadInput, DataError, RecipeError
from hfft.pipeline.row_groups import domain_ids as ids_for_methods
from hfft.tasks.table import TASKS
from tests.training import methods_of

TASK = TASKS["image-classification"]
PENS = {"path": "printed_digits", "columns": {"domain": "domain"}, "validation": 0.2}


def table(values, feature="string") -> Dataset:
    return Dataset.from_dict({"x": list(range(len(values))), "site": values}).cast_column(
        "site", feature if not isinstance(feature, str) else Value(feature)
    )


def site(name: str = "b", column_name: str = "site") -> Data:
    return Data(path="x", columns={"domain": column_name}, held_out_domain=name)


def numbered(numbers) -> Dataset:
    return Dataset.from_dict({"row": list(numbers)})


def test_the_rows_of_a_domain_leave_train_and_are_the_test_split():
    found, _ = load_splits(Data(**PENS, held_out_domain="italic"), TASK)
    assert found.sizes == {"train": 960, "validation": 240, "test": 300}
    assert found.origin["test"] == "domain italic of train"
    assert found.source["test"] == "train"
    ids, names = domain_ids(Data(**PENS, held_out_domain="italic"), found)
    assert names == ("bold", "fine", "outline", "rough")
    whole, _ = load_splits(Data(**{**PENS, "validation": "none"}, test="none"), TASK)
    everything, pens = domain_ids(Data(**PENS), whole)
    assert np.bincount(everything).tolist() == [300] * 5
    rows = {name: column(part, "row").to_numpy() for name, part in found.items()}
    assert {pens[i] for i in everything[rows["test"]]} == {"italic"}
    assert "italic" not in {pens[i] for i in everything[np.concatenate([rows["train"], rows["validation"]])]}
    assert sorted(np.concatenate([*rows.values()])) == list(range(1500))
    np.testing.assert_array_equal(np.array(names)[ids], np.array(pens)[everything[rows["train"]]])


@pytest.mark.parametrize(
    ("values", "feature", "name"),
    [
        (["a", "b", "b", "c"], "string", "b"),
        ([3, 7, 7, 9], "int64", "7"),
        ([0, 1, 1, 2], ClassLabel(names=["a", "b", "c"]), "b"),
    ],
)
def test_words_numbers_and_classes_name_domains(values, feature, name):
    outside, inside = held_out_apart(numbered([3, 2, 0]), table(values, feature), site(name))
    assert inside["row"][:] == [2]
    assert outside["row"][:] == [3, 0]


@pytest.mark.parametrize(
    ("values", "data", "message"),
    [
        (["a", "b"], site("B"), r"held_out_domain: is 'B'.*column 'site' has: a, b"),
        (["a", "b"], site("a", "sight"), r"domain: no column 'sight' in split train.*did you mean 'site'"),
        (["b", "b"], site("b"), "is the only domain in column 'site', so that nothing is left to train on"),
        (["a", None, " "], site("a"), "2 of 3 rows have no value in column 'site', the first is row 1; fill them in"),
    ],
)
def test_domains_that_cannot_be_are_refused(values, data, message):
    with pytest.raises(DataError, match=message):
        held_out_apart(numbered(range(len(values))), table(values), data)


def test_a_column_that_is_not_there_is_told_also_where_no_method_reads_it():
    with pytest.raises(
        DataError, match=r"data.columns.domain: no column 'domains' in split train.*did you mean 'domain'"
    ):
        load_splits(Data(path="printed_digits", columns={"domain": "domains"}), TASK)


def test_a_column_of_lists_is_no_domain():
    whole = Dataset.from_dict({"site": [["a"], ["b"]]}, features=Features({"site": [Value("string")]}))
    with pytest.raises(DataError, match="choose one of words or numbers"):
        held_out_apart(numbered(range(2)), whole, site("a"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.held_out_domain=bold"], "name the column of the domains in data.columns.domain"),
        (["data.held_out_domain=bold", "data.columns.domain=domain", "data.test=test"], "and test; leave test out"),
        (
            ["data.held_out_domain=bold", "data.columns.domain=domain", "data.streaming=true", "data.validation=none"],
            "and streaming; leave streaming out",
        ),
        (["strategy.vrex=1"], "strategy.vrex: needs the domain of each row; name the column in data.columns.domain"),
        (["strategy.balanced={by: domain}"], "strategy.balanced: needs the domain of each row"),
        (
            ["strategy.vrex=1", "strategy.mixup=0.2", "data.columns.domain=domain"],
            "strategy.vrex: needs rows that are not mixed, but mixup mixes them",
        ),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_is_read(words, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("digits", *words)


def test_one_domain_where_several_are_needed_is_refused_in_one_line(capsys):
    recipe = load_recipe("digits", "data.path=printed_digits", "data.name=bold", "data.columns.domain=domain")
    splits, _ = load_splits(recipe.data, TASK)
    assert ids_for_methods(recipe, splits, []) is None
    with pytest.raises(
        BadInput, match=r"strategy.vrex: needs .* several domains, but column 'domain' is 'bold' in all"
    ):
        ids_for_methods(recipe, splits, methods_of(vrex=1.0))
    both = load_recipe("digits", "data.path=printed_digits", "data.columns.domain=domain")
    splits, _ = load_splits(both.data, TASK)
    assert set(ids_for_methods(both, splits, methods_of(vrex=1.0))) == {0, 1, 2, 3, 4}
    assert re.search(
        r"domains: bold \d+, fine \d+, italic \d+, outline \d+, rough \d+ training rows", capsys.readouterr().out
    )
