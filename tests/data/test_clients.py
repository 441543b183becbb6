"""Rows divided among clients: each row has one owner, shares follow Dirichlet draws or a column, held-out rows follow train's."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset

from hfft.data.clients import class_shares, divided, owners
from hfft.data.load import load_splits
from hfft.data.rows_spec import Client
from hfft.data.spec import Data
from hfft.data.splits import column
from hfft.errors import DataError, RecipeError
from hfft.recipe import load_recipe
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS

ABC = Labels.of("single_label_classification", "abc")
TEXTS = TASKS["text-classification"]


def rows(*counts):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return Dataset.from_dict({"labels": labels, "row": np.arange(len(labels)) + 5})


@pytest.fixture
def table(tmp_path):
    """A function that loads a table of 90 texts of three classes by two writers, with the rows of a client."""
    lines = [
        "text,label,writer",
        *(f"text {i} of it,{'abc'[i % 3]},{'ann' if i % 5 else 'bob'}" for i in range(90)),
    ]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    (tmp_path / "test.csv").write_text("text,label,writer\nnew,a,ann\nnewer,b,bob\nnewest,c,ann\n")

    def load(seed=42, **options):
        return load_splits(Data(path=str(tmp_path), **options), TEXTS, seed)[0]

    return load


def numbers(part):
    return column(part, "row").to_numpy().tolist()


def test_shares_add_up_and_large_alphas_make_them_equal():
    few, many = (class_shares(np.array([50, 60, 70]), 4, alpha, 0) for alpha in (0.1, 1e6))
    assert few.shape == many.shape == (3, 4)
    assert few.sum(1) == pytest.approx(1)
    assert many == pytest.approx(np.full((3, 4), 0.25), abs=1e-3)
    assert few.max() > 0.7


@pytest.mark.parametrize("alpha", [0.2, 1.0, 1e6])
def test_each_row_has_one_owner_and_classes_follow_the_shares(alpha):
    labels = column(rows(40, 17, 3), "labels").to_numpy()
    shares = class_shares(np.bincount(labels), 3, alpha, 1)
    found = divided(labels, np.arange(60), shares, 1)
    counts = np.array([[((labels == k) & (found == c)).sum() for c in range(3)] for k in range(3)])
    assert counts.sum(1).tolist() == [40, 17, 3]
    assert np.abs(counts - shares * np.array([[40], [17], [3]])).max() <= 1


def test_the_owner_of_a_row_depends_on_its_number_not_its_place():
    labels, order = np.array([0, 1] * 20), np.random.default_rng(3).permutation(40)
    shares = class_shares(np.array([20, 20]), 4, 0.5, 0)
    first = divided(labels, np.arange(40), shares, 0)
    assert (divided(labels[order], order, shares, 0) == first[order]).all()
    assert (divided(labels, np.arange(40), shares, 1) != first).any()


def test_held_out_rows_are_divided_by_the_shares_of_train():
    train, test = rows(400, 400, 400), rows(100, 100, 100)
    client = Client(of=4, number=1, alpha=0.3)
    one, other = owners(train, client, ABC), owners(train, client, ABC, held_out=test)
    labels, held = column(train, "labels").to_numpy(), column(test, "labels").to_numpy()
    for k in range(3):
        ours = np.bincount(one[labels == k], minlength=4) / 400
        theirs = np.bincount(other[held == k], minlength=4) / 100
        assert ours == pytest.approx(theirs, abs=0.011)


def test_draws_are_repeated_until_each_client_has_enough_rows():
    counts = np.array([20, 20])
    sizes = [
        np.bincount(owners(rows(20, 20), Client(of=4, number=1, alpha=0.1, min_rows=5, seed=s), ABC)) for s in (0, 1)
    ]
    assert all(len(one) == 4 and one.min() >= 5 for one in sizes)
    with pytest.raises(DataError, match=r"none of 10,000 draws of 40 rows gives each of 30 clients 2 with alpha 0\.1"):
        class_shares(counts, 30, 0.1, 0, min_rows=2)


def test_a_client_without_rows_is_an_error_with_remedies():
    with pytest.raises(
        DataError, match=r"client .* of 8 has no rows with alpha 0\.05 and seed 0; raise alpha, use fewer"
    ):
        owners(rows(10, 10), Client(of=8, number=1, alpha=0.05), ABC)


@pytest.mark.parametrize("more", [{}, {"max_train_samples": 40}, {"validation": 0.2}, {"shots": 9}])
def test_all_clients_together_have_the_rows_of_the_whole_run(table, more):
    whole = table(**more)
    parts = [table(**more, client=Client(of=3, number=k, alpha=1.0, min_rows=1)) for k in (1, 2, 3)]
    assert sorted(n for part in parts for n in numbers(part.train)) == numbers(whole.train)
    for part in parts:
        assert numbers(part.test) == numbers(whole.test)
        assert (part.validation is None) == (whole.validation is None)
        if whole.validation is not None:
            assert numbers(part.validation) == numbers(whole.validation)


def test_labels_made_wrong_are_the_same_at_the_clients_and_in_the_whole(table):
    noise = {"label_noise": {"symmetric": 0.5}}
    whole = table(**noise)
    by_number = dict(zip(numbers(whole.train), whole.train["labels"], strict=True))
    for k in (1, 2):
        part = table(**noise, client={"of": 2, "number": k, "alpha": 5.0})
        assert [by_number[n] for n in numbers(part.train)] == part.train["labels"][:]


def test_one_client_has_all_rows_and_the_origin_says_which_it_is(table):
    assert numbers(table(client={"of": 1, "number": 1}).train) == numbers(table().train)
    part = table(client={"of": 2, "number": 2, "alpha": 100.0, "seed": 3}, validation="none")
    assert part.origin["train"] == f"train, client 2 of 2, alpha 100, seed 3, {len(part.train)} of 90 rows"


def test_a_client_may_be_a_value_of_a_column(table):
    parts = {
        name: table(columns={"domain": "writer"}, client={"domain": name}, validation="none") for name in ("ann", "bob")
    }
    assert numbers(parts["bob"].train) == list(range(0, 90, 5))
    assert len(parts["ann"].train) == 72
    assert parts["bob"].origin["train"] == "train, client with domain bob, 18 of 90 rows"
    with pytest.raises(DataError, match=r"data.client.domain: is 'bo'; did you mean 'bob'"):
        table(columns={"domain": "writer"}, client={"domain": "bo"})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.client={of: 3}"], "needs of and number"),
        (["data.client={of: 3, number: 4}"], "number is 4; expected at most 3"),
        (["data.client={of: 3, number: 1, alpha: 0}"], "data.client.alpha: is 0"),
        (["data.client={domain: a, number: 1}"], "has a domain, whose rows are the client's, and number"),
        (["data.client={domain: a}"], "name the column of the domains in data.columns.domain"),
        (["data.client={of: 3, number: 1}", "data.streaming=true"], "has a client, which needs all rows at once"),
    ],
)
def test_what_is_no_client_is_refused(words, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("digits", *words)
