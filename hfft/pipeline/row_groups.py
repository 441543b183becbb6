"""The class and the domain of each training row, for methods that need them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from datasets import IterableDataset

from hfft import data, strategy
from hfft.data.splits import column
from hfft.errors import BadInput
from hfft.processes import say
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing


def class_ids(splits: data.Splits, labels: Labels) -> np.ndarray | None:
    """Class of each training row, `(rows,)`, or `(rows, C)` of 0 and 1; None if rows have no classes or are streamed."""
    problem = PROBLEMS[labels.problem]
    if isinstance(splits.train, IterableDataset) or not problem.class_names:
        return None
    found = column(splits.train, "labels")
    return found.to_numpy() if problem.classes else found.combine_chunks().flatten().to_numpy().reshape(-1, labels.size)


def domain_ids(recipe: Recipe, splits: data.Splits, methods: Sequence[strategy.Method]) -> np.ndarray | None:
    """Number of each training row's domain, `(rows,)`; None if no method needs it.

    Raises:
        BadInput: a row has no domain, or there is a single one.
    """
    needing = [method.name for method in methods if "domains" in method.needs]
    found = data.domain_ids(recipe.data, splits) if needing else None
    if found is None:
        return None
    ids, names = found
    if len(names) < 2:
        raise BadInput(
            f"strategy.{needing[0]}: needs training rows of several domains, but column {recipe.data.columns.domain!r} is "
            f"{names[0]!r} in all of them; use rows of others, or leave the method out"
        )
    counts = np.bincount(ids).tolist()
    say(f"domains: {listing([f'{name} {count}' for name, count in zip(names, counts, strict=True)], 10)} training rows")
    return ids
