"""What a user should know about the labels of train before training: likely mistakes, and other ways to read them."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import datasets

from hfft.data.classes import class_name, inner_feature
from hfft.data.label_texts import looks_joined, looks_listed
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing

SHOWN = 5  # classes or numbers that a note lists
_WHOLE = re.compile(r"-?\d+")
_STARS = re.compile(r"(\d+) stars?")


def label_notes(
    values: Sequence[Any], skipped: Collection[int], feature: Any, meaning: Labels, column: str
) -> list[str]:
    """One line for each finding.

    Args:
        values: the labels of train, in the order of its rows; lists where a row has several.
        skipped: row numbers without a usable label.
    """
    problem = PROBLEMS[meaning.problem]
    if not problem.class_names:
        return []
    named = inner_feature(feature).names if isinstance(inner_feature(feature), datasets.ClassLabel) else None
    count, first = Counter[str](), dict[str, int]()
    for i, value in enumerate(values):
        if i in skipped:
            continue
        for item in value if isinstance(value, list) else [value]:
            name = named[item] if named is not None and item in range(len(named)) else class_name(item)
            count[name] += 1
            first.setdefault(name, i)
    count = Counter({name: count[name] for name in meaning.names if name in count})
    found = alike(count, column)
    if problem.classes and named is None:
        found += [*gaps(list(count), first, column), *minus_one(count, column), *lists(list(count), column)]
    if problem.classes:
        found += stars(list(meaning.names))
    return found


def alike(count: Counter[str], column: str) -> list[str]:
    """Classes whose names differ only in case, spaces, leading zeros or the way that a letter is encoded."""
    groups: dict[str, list[str]] = {}
    for name in count:
        groups.setdefault(_plain(name), []).append(name)
    return [
        f"split train, column {column!r}: {listing((f'{shown} ({_rows(count[name])})' for name, shown in _shown(names)), SHOWN)}"
        f" are {len(names)} classes but likely one; write them alike in the data"
        for names in groups.values()
        if len(names) > 1
    ]


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"


def _shown(names: Sequence[str]) -> list[tuple[str, str]]:
    """Names with what is printed of each; as code points where their letters would look the same."""
    same = len({unicodedata.normalize("NFKC", name) for name in names}) < len(names)
    return [(name, ascii(name) if same else repr(name)) for name in names]


def _plain(name: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    return f"{float(text):g}" if re.fullmatch(r"[-+]?\d{1,15}(\.\d{1,15})?", text) else text


def gaps(names: Sequence[str], first: dict[str, int], column: str) -> list[str]:
    """Class numbers that start at -1, 0 or 1 and leave some out, such as 0, 1, 5."""
    if not all(map(_WHOLE.fullmatch, names)):
        return []
    numbers = sorted({int(name): name for name in names}.items())
    steps = [(low, high, name) for (low, _), (high, name) in itertools.pairwise(numbers) if high > low + 1]
    if not steps or numbers[0][0] not in (-1, 0, 1) or set(names) == {"-1", "1"}:
        return []
    low, high, name = steps[0]
    others = f", and {len(steps) - 1} more such gaps" if len(steps) > 1 else ""
    return [
        f"split train, row {first[name]}, column {column!r}: class {high} comes after {low}, and no row has a number "
        f"between them{others}; the model gets {len(numbers)} outputs, one for each number that occurs"
    ]


def minus_one(count: Counter[str], column: str) -> list[str]:
    """A class -1 beside numbers that make it look like a missing label; -1, 1 and -1, 0, 1 are usual classes."""
    others = set(count) - {"-1"}
    if "-1" not in count or others <= {"0", "1"} or any(name.startswith("-") for name in others):
        return []
    return [
        f"split train, column {column!r}: -1 is a class of its own ({_rows(count['-1'])}); if it means that a label is missing, "
        f"leave these cells empty, or list the other classes in data.classes"
    ]


def lists(names: Sequence[str], column: str) -> list[str]:
    """Class names that are lists of classes, or join others."""
    example, joined = looks_listed(names), looks_joined(names)
    if joined is not None:
        return [
            f"split train, column {column!r}: the class name {joined[0]!r:.60} joins others; "
            f"problem_type=multi_label_classification with data.label_sep={joined[1]!r} reads it as several classes"
        ]
    if example is None:
        return []
    return [
        f"split train, column {column!r}: class names such as {example:.60} are lists; "
        f"problem_type=multi_label_classification reads them as several classes each"
    ]


def stars(names: Sequence[str]) -> list[str]:
    """Grades from 1 to 5 or up to 10, such as stars; fewer are as likely the numbers of any classes."""
    words = [_STARS.fullmatch(name) for name in names]
    digits = [word[1] for word in words if word] if all(words) else list(names)
    if not 5 <= len(names) <= 10 or digits != [str(i) for i in range(1, len(names) + 1)]:
        return []
    return [
        f"the classes are the numbers 1 to {len(names)}; if they are grades, problem_type=regression also learns that "
        f"neighbours are close (classification does not)"
    ]


def one_hot_note(values: Sequence[Sequence[Any]]) -> list[str]:
    """Vectors of zeros and ones that have exactly one 1 in each row."""
    if not values or any(sum(map(float, vector)) != 1 for vector in values):
        return []
    return [
        "each row of train has exactly one of the classes; if they exclude each other, one label a row with "
        "problem_type=single_label_classification fits better"
    ]


# --- two columns


def unlike(train: Any, other: Any) -> str:
    """`; texts, where this column holds numbers` if the label columns of train and of another split are of different kinds."""
    mine, theirs = _kind(train), _kind(other)
    return f"; {mine}, where this column holds {theirs}" if mine != theirs and "" not in (mine, theirs) else ""


def _kind(feature: Any) -> str:
    """What a label column holds, for a message; an empty string for names, which are compared as they are."""
    inner = inner_feature(feature)
    dtype = "" if isinstance(inner, datasets.ClassLabel) else str(getattr(inner, "dtype", ""))
    kinds = {"string": "texts", "large_string": "texts", "bool": "truth values"}
    return kinds.get(dtype, "numbers" if dtype.startswith(("int", "uint", "float")) else "")
