"""Find the classes of a label column and their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import datasets

from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS, MultiLabel, SingleLabel
from hfft.wording import listing, nearest

# what else several classes a row may look like in a table
_OTHERWISE = "; or name a column per class in data.columns.label, or what separates the classes in data.label_sep"


def inner_feature(feature: Any) -> Any:
    """The type of a label, or of each label in a list."""
    return getattr(feature, "feature", feature)


def find_labels(
    feature: Any,
    values: Sequence[Any] | None,
    problem: str,
    wanted: list[str] | None,
    joined: tuple[str, ...] = (),
) -> tuple[Labels, bool]:
    """Find the classes from the feature's names, the recipe, or the values; and whether labels are vectors over them.

    Args:
        values: the labels of train; None for a stream.
        joined: the columns that were joined into the label's, one per class or number.

    Raises:
        DataError: the labels do not fit the problem, or could mean two things.
    """
    listed, kind = hasattr(feature, "feature"), PROBLEMS[problem]
    if joined and not kind.classes:
        return Labels(problem, joined if kind.class_names else (), len(joined)), True
    if not kind.class_names:
        size = (len(values[0]) if values else feature.length) if listed else 1
        return Labels(problem, (), max(size, 1)), False
    check_listed(feature, problem)
    vectors = _vectors(feature, values, wanted) if listed else 0
    if vectors and len(wanted or ()) != vectors:
        raise DataError(
            f"labels are vectors of {vectors} zeros and ones, but data.classes names {len(wanted or ())} classes; name all "
            f"{vectors}, in their order"
        )
    names = list(wanted or ())
    if isinstance(inner_feature(feature), datasets.ClassLabel):
        names = _chosen(wanted, list(inner_feature(feature).names))
    elif values is not None and not vectors:
        names = _chosen(wanted, _found(values, listed))
        if listed and not wanted and len(names) > 1 and all(len(set(value)) == len(names) for value in values):
            raise DataError(
                f"labels such as {values[0]!r:.80} name every class in every row; if they are vectors of zeros and ones, "
                f"name their {len(names)} classes in data.classes, in their order"
            )
    if len(names) < 2 and kind.classes:
        raise DataError(f"the labels of train are all {listing(names)!r}; a classifier needs two classes or more")
    return Labels.of(problem, names), bool(vectors)


def check_listed(feature: Any, problem: str) -> None:
    """Raise DataError if a row has a list of labels and the problem has one label a row, or the other way round."""
    listed, kind = hasattr(feature, "feature"), PROBLEMS[problem]
    if kind.class_names and listed != kind.multi_label:
        raise DataError(
            f"labels are {'lists' if listed else 'single values'}; problem_type {problem} needs the other "
            f"(try problem_type={(MultiLabel if listed else SingleLabel).name}{'' if listed else _OTHERWISE})"
        )


def _chosen(wanted: list[str] | None, there: list[str]) -> list[str]:
    """The wanted classes, or all that the data has."""
    for i, name in enumerate(wanted or ()):
        if name not in there:
            raise DataError(
                f"data.classes: no class {name!r} in the data{nearest(name, there)} (it has: {listing(there, 20)})"
            )
        if name in (wanted or ())[:i]:
            raise DataError(f"data.classes: {name!r} appears twice; name each class once")
    return wanted or there


def _found(values: Sequence[Any], listed: bool) -> list[str]:
    """The classes that occur in the labels, in order."""
    try:
        flat = {v for value in values for v in (value if listed else [value])}
    except TypeError:
        raise DataError(f"labels such as {values[0]!r:.80} are not classes; name another label column") from None
    if any(isinstance(v, float) and not v.is_integer() for v in flat):
        raise DataError("labels are fractions; to predict numbers, set problem_type=regression")
    if len(flat) > 1000 and len(flat) > len(values) / 2:
        raise DataError(
            f"{len(flat)} different labels in {len(values)} rows are not classes; name another label column"
        )
    return [class_name(v) for v in ordered(flat)]


def ordered(values: set[Any]) -> list[Any]:
    """Classes in order: numbers by value, even when written as text; words alphabetically."""
    try:
        return sorted(values, key=lambda v: (_number(v), str(v)))
    except (TypeError, ValueError):
        return sorted(values, key=str)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def class_name(value: Any) -> str:
    """The name of a class from its value in the column."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _vectors(feature: Any, values: Sequence[Any] | None, wanted: list[str] | None) -> int:
    """The length of labels that are vectors of 0 and 1, one entry per class; 0 if labels list the classes instead.

    A list never names a class twice, so a repeated value means vectors, and so do fractions and truth values, which are
    no class numbers. If neither tells, the class names decide.

    Raises:
        DataError: vectors of length 1.
    """
    if isinstance(inner_feature(feature), datasets.ClassLabel):
        return 0
    named = bool(wanted) and not set(wanted or ()) <= {"0", "1"}
    if values is None:  # a stream, whose values are not known yet
        dtype = str(getattr(inner_feature(feature), "dtype", ""))
        if dtype.startswith(("float", "bool")):
            return len(wanted or ())
        text = "string" in dtype
        return len(wanted or ()) if named and not text and not all(map(str.isdigit, wanted or ())) else 0
    size = len(values[0])
    if not size or not all(len(v) == size and set(v) <= {0, 1} for v in values):
        return 0
    repeated = any(len(set(v)) < size for v in values) or any(isinstance(x, float | bool) for v in values for x in v)
    if size == 1 and repeated:
        raise DataError(
            "labels are lists of a single zero or one; write them as single values, and use "
            "problem_type=single_label_classification"
        )
    if size == 1:
        return 0
    return size if repeated or (named and size == len(wanted or ())) else 0
