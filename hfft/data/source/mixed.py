"""Several labelled sets read as one: columns under the first set's names, classes under the task's, a column `set`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value, concatenate_datasets

from hfft.data.classes import class_name, ordered
from hfft.data.source.raw import Raw
from hfft.data.spec import NONE, SET, Columns, Data, MixedSet
from hfft.data.splits import choose, column
from hfft.errors import DataError
from hfft.wording import listing, nearest

ROLES = ("image", "text", "text_pair", "label", "id", "domain")
_DRAW = 23  # of the rows of a share, other draws than those of `splits` under the same seed


@dataclass
class Part:
    """One of the sets.

    Attributes:
        key: where the recipe names it, for messages.
        splits: `train`, `validation`, `test` -> its rows as stored; only those that it has.
        columns: role -> its column.
        map: class of the set -> class of the task, None for rows that are left out.
    """

    name: str
    key: str
    path: str
    splits: dict[str, Dataset]
    columns: dict[str, str]
    map: Mapping[str, str | None]

    @property
    def label(self) -> Any:
        """The type of the labels; None without any."""
        return self.splits["train"].features.get(self.columns.get("label", ""))

    def named(self, split: str) -> list[str | None]:
        """The class of each row by its name in the set; None for rows without one."""
        name = self.columns["label"]
        if name not in self.splits[split].features:
            return [None] * len(self.splits[split])
        feature, values = self.splits[split].features[name], column(self.splits[split], name).to_pylist()
        if isinstance(feature, ClassLabel):
            return [feature.names[value] if value is not None and value >= 0 else None for value in values]
        return [None if value is None else class_name(value) for value in values]

    def classes(self) -> list[str]:
        """The classes that its training rows have or its type names, in order."""
        if isinstance(self.label, ClassLabel):
            return list(self.label.names)
        return [class_name(value) for value in ordered({name for name in self.named("train") if name is not None})]


def set_name(data: Data) -> str:
    """The name of the first set of a mix: the last part of its path."""
    found = PurePath(data.path).stem
    return found if found not in (data.mix or {}) else f"{found} (first)"


def joined(data: Data, first: Raw, others: Mapping[str, Raw]) -> Raw:
    """The splits of all sets together.

    Raises:
        DataError: a column is not there or has another type, a class is not one of the task's, or a set has no rows.
    """
    parts = _parts(data, first, others)
    names = _classes(data, parts)
    features, into = _features(parts, names), _names(data, first)
    ready, notes = dict[str, list[tuple[str, Dataset]]](), list[str]()
    for part in parts:
        counts, left_out = [], 0
        for split in (split for split in part.splits if split in into):
            rows, gone = _renamed(part, split, parts[0], features, names)
            left_out += gone
            if not len(rows) and split == "train":
                raise DataError(
                    f"{part.key}.map: leaves no training row of {part.path}; map one of its classes to the task's"
                )
            if split == "train" and part is not parts[0]:
                rows = _drawn(rows, data.mix[part.name], parts[0].columns.get("label"), data.seed or 0)
            ready.setdefault(split, []).append((part.name, rows))
            counts.append(f"{split} {len(rows)}")
        dropped = f"; its map leaves out {left_out} rows" if left_out else ""
        unread = [split for split in part.splits if split not in into]
        held = f"; its {listing(unread)} is not read, since that split is another (data.{unread[0]})" if unread else ""
        notes.append(f"set {part.name}: {', '.join(counts)}{dropped}{held}")
    found, starts = DatasetDict(), {}
    for split, some in ready.items():
        found[into[split]] = concatenate_datasets([rows for _, rows in some])
        ends = np.cumsum([0, *(len(rows) for _, rows in some)]).tolist()
        starts[split] = tuple(zip((name for name, _ in some), ends, strict=False))
    more = [f"{name}: {note}" for name, raw in others.items() for note in raw.notes]
    return Raw(found, first.revision, (*first.notes, *more, *notes), starts)


def _parts(data: Data, first: Raw, others: Mapping[str, Raw]) -> list[Part]:
    """The sets with their columns, the first one first.

    Raises:
        DataError: a split or column is not there.
    """
    own = _splits(first, data)
    columns = _columns("data", data.path, own["train"], data.columns)
    parts = [Part(set_name(data), "data", data.path, own, columns, data.map or {})]
    for name, raw in others.items():
        spec, key = data.mix[name], f"data.mix.{name}"
        if spec.split not in raw.splits:
            raise DataError(
                f"{key}.split: no split {spec.split!r}{nearest(spec.split, raw.splits)} ({spec.path} has: {listing(raw.splits)})"
            )
        theirs = _splits(raw, spec.data(train=spec.split, validation=spec.validation, test=spec.test))
        found = _columns(key, spec.path, theirs["train"], spec.columns, columns)
        parts.append(Part(name, key, spec.path, theirs, found, spec.map or {}))
    return parts


def _names(data: Data, first: Raw) -> dict[str, str]:
    """`train`, `validation`, `test` -> the split that it is in the first set, or its own name where that set has none.

    A split that is a share of train, or left off, is missing: those of further sets are then not read.
    """
    found = {}
    for split, name in zip(("train", "validation", "test"), choose(list(first.splits), data), strict=True):
        made = split == "test" and data.test_from_train
        if not isinstance(name, float) and getattr(data, split) != NONE and not made:
            found[split] = name or split
    return found


def _splits(raw: Raw, data: Data) -> dict[str, Dataset]:
    """`train`, and of `validation` and `test` those that the data has as splits of their own."""
    train, validation, test = choose(list(raw.splits), data)
    named = {"train": train, "validation": validation, "test": None if data.test_from_train else test}
    return {split: cast(Dataset, raw.splits[name]) for split, name in named.items() if isinstance(name, str)}


def _columns(
    key: str, path: str, rows: Dataset, named: Columns, wanted: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Role -> column of a set: as named, by the role's name, or the only one of its type.

    Args:
        wanted: the roles that the first set has, with its columns.

    Raises:
        DataError: a role that the first set has is not found, or several columns fit.
    """
    found: dict[str, str] = {}
    for role in ROLES:
        if wanted is not None and role not in wanted:
            continue
        given = getattr(named, role)
        if given is None and role in ("text_pair", "id", "domain"):
            given = None if wanted is None else wanted[role]
            if given is None:
                continue
        if given is None and role == "text" and "image" in found:
            continue
        fits = [name for name, feature in rows.features.items() if _fits(role, feature) and name not in found.values()]
        chosen = given or (role if role in rows.features else fits[0] if len(fits) == 1 else None)
        if chosen in rows.features:
            found[role] = str(chosen)
        elif wanted is not None or len(fits) > 1:
            what = f"no column {given!r}{nearest(given, rows.features)}" if given else "which column is it?"
            raise DataError(f"{key}.columns.{role}: {what} ({path} has: {listing(rows.features)})")
    return found


def _fits(role: str, feature: Any) -> bool:
    if role == "image":
        return isinstance(feature, Image)
    return isinstance(feature, ClassLabel) if role == "label" else _is_text(feature)


def _is_text(feature: Any) -> bool:
    return isinstance(feature, Value) and feature.dtype in ("string", "large_string")


def _classes(data: Data, parts: Sequence[Part]) -> list[str] | None:
    """The classes of the task, and of the first set's those that `data.classes` leaves out; None where labels stay as they are.

    Raises:
        DataError: a map names a class that does not exist, or a class of a set is not one of the task's.
    """
    maps = any(part.map for part in parts)
    types = [part.label for part in parts]
    if not maps and (types[0] is None or all(_is_number(feature) for feature in types)):
        return None
    if any(hasattr(feature, "feature") or isinstance(feature, list) for feature in types):
        if maps or any(feature != types[0] for feature in types):
            raise DataError(
                "data.mix: rows with several classes must have the same type of labels in all sets, and no map"
            )
        return None
    there = {part.name: part.classes() for part in parts}
    for part in parts:
        if unknown := [name for name in part.map if name not in there[part.name]]:
            raise DataError(
                f"{part.key}.map: no class {unknown[0]!r} in {part.path}{nearest(unknown[0], there[part.name])} (it has: "
                f"{listing(there[part.name], 20)})"
            )
    own = {name for part in parts for name in there[part.name] if name not in part.map}
    known = list(data.classes) if data.classes is not None else sorted(own)
    for part in parts:
        for name, target in part.map.items():
            if target is not None and target not in known:
                where = "data.classes" if data.classes is not None else "the classes of any set"
                raise DataError(
                    f"{part.key}.map: {name} becomes {target!r}, which is not in {where}{nearest(target, known)}; name another"
                    f"{'' if data.classes is not None else ', or list all classes of the task in data.classes'}"
                )
        if data.classes is not None and part.key != "data":
            held = {name for split in part.splits for name in part.named(split) if name is not None}
            if strange := [name for name in there[part.name] if name in held and name not in {*part.map, *known}]:
                raise DataError(
                    f"{part.key}.map: {listing(strange)} of {part.path} are not in data.classes; map each to one of these, or to "
                    f"null, which leaves its rows out"
                )
    found = [part.map.get(name, name) for part in parts for name in there[part.name]]
    return list(dict.fromkeys([*(data.classes or ()), *(name for name in found if name is not None)]))


def _is_number(feature: Any) -> bool:
    return isinstance(feature, Value) and feature.dtype.startswith("float")


def _features(parts: Sequence[Part], names: Sequence[str] | None) -> Features:
    """The columns of the joined rows: the roles, those that all sets have with the same type, and `set`.

    Raises:
        DataError: a role has columns of different types.
    """
    first = parts[0]
    base = first.splits["train"].features
    for part in parts[1:]:
        theirs = part.splits["train"].features
        for role, name in first.columns.items():
            ours, other = base[name], theirs[part.columns[role]]
            same = ours == other or (_is_text(ours) and _is_text(other))
            same |= isinstance(ours, Image) and isinstance(other, Image)
            if not same and (role != "label" or names is None):
                raise DataError(
                    f"{part.key}.columns.{role}: column {part.columns[role]!r} has type {other}, but {name!r} of the first set "
                    f"has {ours}; choose columns of one type"
                )
    roles = set(first.columns.values())
    used = [{first.columns[role]: part.columns[role] for role in first.columns} for part in parts]
    shared = [
        name
        for name, feature in base.items()
        if name not in roles
        and all(
            part.splits["train"].features.get(name) == feature and name not in columns.values()
            for part, columns in zip(parts, used, strict=True)
        )
    ]
    found = {name: base[name] for name in (*first.columns.values(), *shared)}
    if names is not None and "label" in first.columns:
        found[first.columns["label"]] = ClassLabel(names=list(names))
    return Features({**found, SET: Value("string")})


def _renamed(
    part: Part, split: str, first: Part, features: Features, names: Sequence[str] | None
) -> tuple[Dataset, int]:
    """The rows of a set under the joined columns, and how many its map leaves out."""
    rows, label = part.splits[split], first.columns.get("label")
    roles = {ours: part.columns[role] for role, ours in first.columns.items()}
    absent = [name for name, theirs in roles.items() if theirs not in rows.features and name == label]
    keep, targets = np.arange(len(rows)), list[int | None]()
    if names is not None:
        number = {name: i for i, name in enumerate(names)}
        given = part.named(split)
        after = [name if name is None else part.map.get(name, name) for name in given]
        keep = np.array(
            [i for i, (old, new) in enumerate(zip(given, after, strict=True)) if old is None or new is not None]
        )
        targets = [None if name is None else number.get(name) for name in after]
    there = {theirs: name for name, theirs in roles.items() if name not in absent}
    others = [name for name in features if name not in roles and name != SET and name in rows.features]
    found = rows.select_columns([*there, *others])
    if moved := {theirs: name for theirs, name in there.items() if theirs != name}:
        found = found.rename_columns(moved)
    if names is not None and label is not None:
        found = found.remove_columns([label]) if label in found.features else found
        found = found.add_column(label, pa.array(targets, pa.int64()), feature=features[label])
    elif label in absent:
        found = found.add_column(label, pa.nulls(len(rows), pa.float64()))
    found = found.add_column(SET, pa.array([part.name] * len(rows), pa.string()))
    found = found.select_columns(list(features)).cast(features)
    return (found.select(keep), len(rows) - len(keep)) if len(keep) < len(rows) else (found, 0)


def _drawn(rows: Dataset, spec: MixedSet, label: str | None, seed: int) -> Dataset:
    """The training rows that `share` and `max_samples` leave of a further set, in proportion to its classes and in order."""
    count = len(rows) if spec.share is None else max(1, round(spec.share * len(rows)))
    count = min(count, spec.max_samples or count)
    if count == len(rows):
        return rows
    order = np.random.default_rng((seed, _DRAW)).permutation(len(rows))
    place = np.zeros(len(rows))
    classes = np.array([str(value) for value in column(rows, label).to_pylist()]) if label else np.zeros(len(rows))
    for one in np.unique(classes):
        mine = order[classes[order] == one]
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return rows.select(np.sort(np.lexsort((order, place))[:count]))
