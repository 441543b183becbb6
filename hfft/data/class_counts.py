"""How many rows of each split have each class."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from datasets import Dataset

from hfft.data.splits import column
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing, printable

Counts = Mapping[str, Mapping[str, int]]  # split -> class -> rows
SHOWN = 10  # classes of a split that a line lists


def class_counts(splits: Mapping[str, Dataset], meaning: Labels) -> dict[str, dict[str, int]]:
    """Split -> class -> number of its rows; nothing where labels are not classes. A row may have several, or none."""
    problem = PROBLEMS[meaning.problem]
    if not problem.class_names:
        return {}
    found = {}
    for name, rows in splits.items():
        labels = column(rows, "labels")
        if problem.classes:
            counts = np.bincount(labels.to_numpy(), minlength=meaning.size)
        else:
            counts = labels.combine_chunks().flatten().to_numpy().reshape(-1, meaning.size).sum(0)
        found[name] = dict(zip(meaning.names, map(int, counts), strict=True))
    return found


def absent_notes(counts: Counts, wanted: Collection[str] | None = None) -> list[str]:
    """One line for each split that lacks classes: held-out ones lack those that train lacks too.

    Args:
        wanted: the classes that train should have; default: all.
    """
    found, train = [], counts.get("train", {})
    for split, rows in counts.items():
        known = split == "train" or not train or wanted is not None
        there = rows if wanted is None or split != "train" else {name: rows[name] for name in wanted}
        absent = [repr(name) for name, count in there.items() if not count and (known or train[name])]
        if absent and len(absent) < len(rows):
            one = len(absent) == 1
            what = "class" if one else f"{len(absent)} of {len(rows)} classes:"
            effect = "the model cannot learn" if split == "train" else "figures on this split say nothing about"
            found.append(
                f"split {split} has no row of {what} {listing(absent, SHOWN)}; {effect} {'it' if one else 'them'}"
            )
    return found


def describe_counts(counts: Counts) -> str:
    """The classes of each split on one line; of many classes the smallest and the largest. Empty without counts."""
    return "; ".join(f"{split} ({_described(rows)})" for split, rows in counts.items())


def _described(rows: Mapping[str, int]) -> str:
    if len(rows) <= SHOWN:
        return ", ".join(f"{printable(name):.30}: {count}" for name, count in rows.items())
    least, most = min(rows, key=lambda name: rows[name]), max(rows, key=lambda name: rows[name])
    return f"{len(rows)} classes, from {printable(least):.30}: {rows[least]} to {printable(most):.30}: {rows[most]}"
