"""Measure the gap of data sets on the features of a pretrained model, and say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfft.data.source import load_raw
from hfft.data.spec import Data
from hfft.errors import BadInput
from hfft.features.export import Export, Wanted
from hfft.scenarios.adaptation import gap
from hfft.wording import listing, nearest

SEED = 0  # of the rows that are drawn, the folds and the permutations
SHOWN = 20  # classes that a table of the terminal has


@dataclass(frozen=True)
class Rows:
    """The features of one set.

    Attributes:
        features: `(N, D)`.
        names: the name of each row's class, `(N,)`; None without labels.
        whole: number of rows that the split has; more than N if some were drawn.
        split: its name.
    """

    features: np.ndarray
    names: np.ndarray | None
    whole: int
    split: str


def rows_of(wanted: Wanted, most: int, by: str | None = None) -> dict[str, Rows]:
    """Name -> the features of a data set, or of each value of its column `by`; at most so many rows of each, drawn with a seed.

    Raises:
        BadInput: the model, the data, a column or the split cannot be used, or there are too few rows.
    """
    export = Export(wanted)
    groups = {wanted.data: np.arange(export.rows)}
    if by is not None:
        values = values_of(wanted.data, export.split, by)
        groups = {str(value): np.flatnonzero(values == value) for value in dict.fromkeys(values.tolist())}
    drawn = {name: np.sort(np.random.default_rng(SEED).permutation(rows)[:most]) for name, rows in groups.items()}
    for name, places in drawn.items():
        if len(places) < 2 * gap.FOLDS:
            raise BadInput(f"{name}: {len(places)} rows say nothing of a distance; give at least {2 * gap.FOLDS}")
    parts = list(export.slices(np.concatenate(list(drawn.values()))))
    features = np.concatenate([part["features"] for part in parts])
    names = _names(parts, export.names())
    found, begin = {}, 0
    for name, places in drawn.items():
        mine = slice(begin, begin + len(places))
        found[name] = Rows(features[mine], None if names is None else names[mine], len(groups[name]), export.split)
        begin += len(places)
    return found


def _names(parts: Sequence[Mapping[str, Any]], classes: tuple[str, ...]) -> np.ndarray | None:
    """The name of each row's class, `(N,)`; None unless every row has one."""
    if "label" not in parts[0]:
        return None
    labels = [label for part in parts for label in part["label"].to_pylist()]
    if any(label is None or isinstance(label, (list, float)) for label in labels):
        return None
    if classes and any(label < 0 for label in labels):
        return None
    return np.array([classes[label] if classes else str(label) for label in labels], dtype=object)


def values_of(path: str, split: str, column: str) -> np.ndarray:
    """A column of a data set as texts, `(N,)`, in the order of its rows.

    Raises:
        BadInput: there is no such column.
    """
    rows = load_raw(Data(path=path)).splits[split]
    there = list(rows.features or {})
    if column not in there:
        raise BadInput(f"--by: no column {column!r}{nearest(column, there)} ({path} has: {listing(there)})")
    return np.array([str(value) for value in rows.select_columns([column])[column]], dtype=object)


def compared(a: Rows, b: Rows) -> dict[str, Any]:
    """The distances of two sets, what they are without a gap, and those of each class where both have labels."""
    found: dict[str, Any] = {"rows": [len(a.features), len(b.features)]} | gap.distances(a.features, b.features, SEED)
    found["no_gap"] = gap.between_halves(b.features, SEED)
    if a.names is not None and b.names is not None:
        found["label_shift"] = gap.label_shift(a.names, b.names)
        found["classes"] = gap.per_class(a.features, a.names, b.features, b.names, SEED)
    return found


def lines(found: Mapping[str, Any], a: str, b: str) -> list[str]:
    """The distances of `a` and `b` in words, and a table of classes."""
    pad, tested, none = found["proxy_a_distance"], found["mmd"], found["no_gap"]
    said = [
        f"{a} and {b}: proxy A-distance {pad['value']:.2f} [{pad['low']:.2f}, {pad['high']:.2f}] of 2, "
        f"MMD² {tested['value']:.4f} (p {tested['p']:.3f}), Fréchet distance {found['frechet']['value']:.3f}; "
        f"n={found['rows'][0]} and {found['rows'][1]}",
        f"without a gap, two halves of {b}: MMD² {none['mmd']:.4f}, Fréchet distance {none['frechet']:.3f}",
    ]
    classes = found.get("classes")
    if classes is None:
        return [*said, "no distances of classes: one of the sets has no labels"]
    said.append(f"shares of classes differ by {found['label_shift']:.3f} (total variation)")
    if alone := [name for name, one in classes.items() if 0 in one["rows"]]:
        said.append(f"classes of one set only: {listing(alone)}")
    measured = {name: one for name, one in classes.items() if "mmd" in one}
    order = sorted(measured, key=lambda name: -measured[name]["mmd"])
    said += ["  class             MMD²        p   Fréchet  rows"] if order else []
    for name in order[:SHOWN]:
        one = measured[name]
        count = f"{one['rows'][0]}, {one['rows'][1]}"
        said.append(f"  {name:<14.14}{one['mmd']:>8.4f} {one['p']:>8.3f} {one['frechet']:>9.3f}  {count}")
    if len(order) > SHOWN:
        said.append(f"  and {len(order) - SHOWN} nearer classes")
    few = [name for name, one in classes.items() if "mmd" not in one and 0 not in one["rows"]]
    return said + ([f"fewer than {gap.FEWEST} rows in one of the sets: {listing(few)}"] if few else [])


def source_lines(found: Mapping[str, Mapping[str, Any]], target: str) -> list[str]:
    """A table of sources, the nearest first, and which one that is."""
    order = sorted(found, key=lambda name: found[name]["mmd"]["value"])
    said = [f"distance to {target}:", "  source                MMD²        p  proxy A-distance  Fréchet  rows"]
    for name in order:
        one = found[name]
        pad = one["proxy_a_distance"]
        span = f"{pad['value']:.2f} [{pad['low']:.2f}, {pad['high']:.2f}]"
        said.append(
            f"  {name:<18.18}{one['mmd']['value']:>8.4f} {one['mmd']['p']:>8.3f}  {span:>16} {one['frechet']['value']:>8.3f}"
            f"  {one['rows'][0]}"
        )
    best, others = gap.nearest({name: dict(one) for name, one in found.items()})
    return [*said, f"nearest by MMD: {best}" + (f" ({listing(others)})" if others else "")]


def same_width(sets: Sequence[Rows]) -> None:
    """Raise BadInput unless all sets have features of one width."""
    if len({rows.features.shape[1] for rows in sets}) > 1:
        raise BadInput("the sets have features of different widths; use one model for all")
