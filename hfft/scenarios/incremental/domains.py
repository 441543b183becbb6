"""Domains as the tasks of a sequence: their order, and the domain of each row."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hfft import data
from hfft.console import quiet_libraries
from hfft.data import columns, splits
from hfft.data.named_domains import KEY, names_in
from hfft.data.source import load_raw
from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.scenarios.incremental.scored import check_scorable
from hfft.wording import listing, nearest

TEST = (
    "test_domains.npy"  # in the folder of the child that looks at the data: the task of each test row, -1 without one
)
_DRAW = 29  # of the order of domains, other draws than those of rows under the same seed


def order_of(known: Sequence[str], wanted: Sequence[str] | None, column: str, seed: int) -> list[str]:
    """The domains in the order in which they are learned: as they are named, or as the seed draws it.

    Args:
        known: all domains of the training split.
        column: the name of their column, for messages.

    Raises:
        BadInput: there is one domain alone, or those named are not those of the data.
    """
    known = sorted(known)
    if len(known) < 2:
        raise BadInput(
            f"tasks: column {column!r} has the one domain {known[0]!r} in train, and a sequence needs two or more; name another "
            f"column in {KEY}, or divide the classes"
        )
    if wanted is None:
        return [known[i] for i in np.random.default_rng((seed, _DRAW)).permutation(len(known))]
    for name in wanted:
        if name not in known:
            raise BadInput(
                f"tasks: no domain {name!r} in column {column!r}{nearest(name, known)} (it has: {listing(known, 20)})"
            )
    if left := [name for name in known if name not in wanted]:
        raise BadInput(
            f"tasks: domain {left[0]!r} of column {column!r} is not named; name every domain, or leave its rows out of the data"
        )
    return list(wanted)


def domains_of_split(
    recipe: Recipe, loaded: data.Splits, split: str, raw: Mapping[str, Any] | None = None
) -> np.ndarray:
    """The name of the domain of each row of a split, `(N,)`.

    Args:
        loaded: the splits of the recipe.
        raw: the splits of the data that they were drawn from, where these are at hand.

    Raises:
        DataError: the split has no such column, or a row has no domain.
    """
    assert recipe.data.columns.domain is not None
    raw = load_raw(recipe.data).splits if raw is None else raw
    train, _, test = splits.choose(list(raw), recipe.data)
    name = train if split == "train" or loaded.source.get(split) == "train" else test
    assert isinstance(name, str)
    whole = names_in(columns.typed(raw[name]), recipe.data.columns.domain, KEY, name)
    part: Any = dict(loaded.items())[split]
    return whole[splits.column(part, "row").to_numpy()]


def domain_tasks(recipe: Recipe, wanted: Sequence[str] | None = None, write: bool = True) -> dict[str, Any]:
    """The domains of a recipe's data in the order in which they are learned; a child of a study.

    Writes the task of each test row, as `test_domains.npy`.

    Args:
        wanted: all domains in order; default: an order that the seed draws.

    Returns:
        `tasks`: the classes, the same for each task; `domains`; `rows`: split -> rows of each task; `train`: seconds.

    Raises:
        BadInput: there is one domain, one is unknown or not named, or has no row or a single one to learn.
    """
    started = time.perf_counter()
    quiet_libraries()
    column = recipe.data.columns.domain
    if column is None:
        raise BadInput("tasks: are domains; name the column of each row's domain in data.columns.domain")
    for key in ("client", "held_out_domain"):
        if getattr(recipe.data, key) is not None:
            raise BadInput(f"data.{key}: chooses rows by their domain, as the tasks of the sequence do; leave it out")
    loaded, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    check_scorable(labels.problem, loaded)
    raw: Any = load_raw(recipe.data).splits
    known = set(names_in(columns.typed(raw[recipe.data.train]), column, KEY, recipe.data.train).tolist())
    order = order_of(sorted(known), wanted, column, recipe.seed)
    found = {split: domains_of_split(recipe, loaded, split, raw) for split in ("train", "test")}
    rows = {split: [Counter(names.tolist())[name] for name in order] for split, names in found.items()}
    for name, n in zip(order, rows["train"], strict=True):
        if n < 2:
            raise BadInput(
                f"tasks: domain {name!r} has {'no row' if n == 0 else 'a single row'} among the {len(found['train'])} of train; "
                f"raise data.max_train_samples, or leave its rows out of the data"
            )
    if write:
        recipe.output_dir.mkdir(parents=True, exist_ok=True)
        places = {name: t for t, name in enumerate(order)}
        np.save(recipe.output_dir / TEST, np.array([places.get(name, -1) for name in found["test"].tolist()]))
    return {
        "tasks": [list(labels.names)] * len(order),
        "domains": order,
        "rows": rows,
        "train": {"seconds": round(time.perf_counter() - started, 3)},
    }


def task_of_test_rows(folder: Path) -> np.ndarray:
    """The task of each test row, `(N,)`, that a child has written; -1 for rows of no domain that is trained on."""
    return np.load(folder / TEST, allow_pickle=False)
