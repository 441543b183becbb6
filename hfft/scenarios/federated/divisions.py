"""Who owns which rows: the clients of each division of a recipe's data, and the held-out rows that are like theirs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hfft import data
from hfft.console import quiet_libraries
from hfft.data import beside
from hfft.data.clients import owners
from hfft.data.rows_spec import Client
from hfft.data.splits import column
from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.wording import listing

Division = Mapping[str, Any]  # {"of": …, "alpha": …, "min_rows": …, "seed": …} as in `data.client`, or {"by": column}


def clients_of(recipe: Recipe, divisions: Mapping[str, Division]) -> dict[str, Any]:
    """The clients of each division; a child of a study.

    Args:
        divisions: name -> how the training rows are divided.

    Returns:
        `divisions`: name -> `names` of the clients, their training `rows`, the rows of each class (`classes`), and `owners`,
        the number of the client of each test row, -1 for a domain that no client has; `train`: seconds.

    Raises:
        BadInput: a client has no rows, or there is no test split.
    """
    started = time.perf_counter()
    quiet_libraries()
    loaded, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    if loaded.test is None:
        raise BadInput("data.test: there is no test split, on which all clients are scored; set data.test=0.2")
    train, test = loaded.train, loaded.test
    assert isinstance(train, Dataset)
    assert isinstance(test, Dataset)
    found = {}
    for name, division in divisions.items():
        if "by" in division:
            names, of_train, of_test = by_domain(recipe, loaded)
        else:
            names, of_train, of_test = by_class(division, train, test, labels)
        classes = column(train, "labels").to_numpy()
        counts = [np.bincount(classes[of_train == k], minlength=labels.size).tolist() for k in range(len(names))]
        found[name] = {
            "names": names,
            "rows": [sum(of_class) for of_class in counts],
            "classes": counts,
            "owners": of_test.tolist(),
        }
    return {
        "divisions": found,
        "labels": list(labels.names),
        "train": {"seconds": round(time.perf_counter() - started, 3)},
    }


def by_class(
    division: Division, train: Dataset, test: Dataset, labels: Labels
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the clients, and the client of each training row and of each test row, of a division by class.

    Raises:
        DataError: a client has no rows.
    """
    client = Client(**division, number=1)
    names = [str(k + 1) for k in range(int(division["of"]))]
    return names, owners(train, client, labels), owners(train, client, labels, held_out=test)


def by_domain(recipe: Recipe, loaded: data.Splits) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The same of a division by `data.columns.domain`: a client for each of its values in train.

    Raises:
        BadInput: there is a single one.
        DataError: there is no such column, or a row has no domain.
    """
    domains = data.domain_ids(recipe.data, loaded)
    assert domains is not None
    of_train, names = domains
    if len(names) < 2:
        raise BadInput(
            f"by: {names[0]!r} is the only value of column {recipe.data.columns.domain!r}; name another column"
        )
    name = str(recipe.data.columns.domain)
    values = beside.values_of("data.columns.domain", recipe.data, loaded, "test", name)
    number = {one: k for k, one in enumerate(names)}
    return list(names), of_train, np.array([number.get(str(value), -1) for value in values])


def read_division(children: Path, seed: int, name: str) -> dict[str, Any]:
    """What `clients_of` found of a division, from the folder of the study's child."""
    found = json.loads((children / f"clients-{seed}" / "metrics.json").read_text(encoding="utf-8"))
    return found["divisions"][name]


def client_accuracies(right: np.ndarray, owner: Sequence[int], clients: int) -> tuple[list[float | None], list[int]]:
    """The accuracy of each client on its test rows, and their number; None where it has none.

    Args:
        right: whether each test row is answered rightly, `(N,)`.
        owner: the client of each test row, from 0.
    """
    numbers = np.asarray(owner)
    counts = [int((numbers == k).sum()) for k in range(clients)]
    return [float(right[numbers == k].mean()) if count else None for k, count in enumerate(counts)], counts


def describe(name: str, found: Mapping[str, Any]) -> str:
    """`alpha 0.5: 10 clients with 41 to 302 training rows`, with their names where they have any."""
    rows, names = found["rows"], found["names"]
    named = "" if all(one.isdigit() for one in names) else f" ({listing(names, 8)})"
    return f"{name}: {len(names)} clients{named} with {min(rows):,} to {max(rows):,} training rows"
