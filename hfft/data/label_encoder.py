"""Encode a label, whatever its column holds, as a target."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import datasets

from hfft.data.audit import BadRow
from hfft.data.classes import class_name, inner_feature
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing

_BITS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0}
REMEDY = "fix the split, or name the classes to keep in data.classes"


def encoder_of(
    feature: Any, meaning: Labels, subset: bool, vectors: bool, joined: tuple[str, ...] = (), unlike: str = ""
) -> Callable[[Any], Any]:
    """A function that maps a label to its target, or to None if only a `subset` of classes is used and it is not one of them.

    The function raises BadRow for an invalid label.

    Args:
        joined: the columns that were joined into the label's.
        unlike: how the column differs from train's, for the message about a class that train does not have.
    """
    problem = PROBLEMS[meaning.problem]
    if not problem.class_names:
        return lambda value: _numbers(value, meaning.size)
    if joined:
        return lambda value: [_bit(cell, name) for cell, name in zip(value, joined, strict=True)]
    if vectors:
        return lambda value: _vector(value, meaning.size)
    index = _indexer(feature, meaning, subset, unlike)
    if problem.classes:
        return index

    def several(value: Any) -> list[float]:
        chosen = set(map(index, value))
        return [float(i in chosen) for i in range(meaning.size)]

    return several


def _indexer(feature: Any, meaning: Labels, subset: bool, unlike: str) -> Callable[[Any], int | None]:
    """A function that maps a class to its index."""
    inner = inner_feature(feature)
    names = list(inner.names) if isinstance(inner, datasets.ClassLabel) else None
    index = meaning.label2id

    def find(value: Any) -> int | None:
        if names is not None:
            if not isinstance(value, int) or not 0 <= value < len(names):
                raise BadRow(f"label {{}} is out of range, expected 0 to {len(names) - 1}", value)
            value = names[value]
        name = class_name(value)
        if name in index:
            return index[name]
        if subset:
            return None
        raise BadRow(f"class {{}} does not occur in train (train has: {listing(index, 20)}{unlike})", name, REMEDY)

    return find


def _bit(cell: str | None, name: str) -> float:
    """A cell of a column per class."""
    if cell is None or cell.lower() not in _BITS:
        raise BadRow(f"column {name!r} holds {{}}, not 0, 1, true or false", cell)
    return _BITS[cell.lower()]


def _vector(value: Any, size: int) -> list[float]:
    if len(value) != size or not set(value) <= {0, 1}:
        raise BadRow(f"label {{}} is not a vector of {size} zeros and ones", value)
    return [float(x) for x in value]


def _numbers(value: Any, size: int) -> list[float]:
    try:
        numbers = [float(x) for x in (value if isinstance(value, (list, tuple)) else [value])]
    except (TypeError, ValueError):
        numbers = [math.nan]
    if len(numbers) != size or not all(map(math.isfinite, numbers)):
        expected = "a finite number" if size == 1 else f"a list of {size} finite numbers"
        raise BadRow(f"label {{}} is not {expected}", value)
    return numbers
