"""Load data from any source as train, validation and test splits with encoded labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from datasets import IterableDataset

from hfft.data import builtin, columns, labels, shots, splits
from hfft.data.audit import Faults, Tally, check, remark_notes, twin_notes, without_bad
from hfft.data.augment.grammar import columns_read
from hfft.data.class_counts import absent_notes, class_counts
from hfft.data.draw_rows import DrawnRows, cap_of
from hfft.data.groups import groups_of
from hfft.data.modality.base import Rows
from hfft.data.named_domains import check_column
from hfft.data.source import load_raw
from hfft.data.source.raw import Raw
from hfft.data.spec import NONE, Data
from hfft.data.unlabelled import without_labels
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.table import Task


@dataclass(frozen=True)
class Splits:
    """The three splits, with labels encoded in column `labels`, and their origin.

    Attributes:
        columns: role (`image`, `text`, …) -> column.
        origin: split -> its origin, such as `0.02 of train, stratified, seed 42`; used in reports.
        sizes: split -> number of rows; None for a stream of unknown length.
        revision: commit of a hub data set.
        notes: remarks for the user, one line each.
        source: split -> the split whose rows its column `row` numbers, if it is another.
        left_out: split of the data -> number of its rows left out as bad.
        tallies: the same, while a stream is read.
        stored: split -> the rows of a stream as stored, images undecoded; those of train in shuffled shards.
        leaked: held-out split -> number of its rows that also occur in train.
        wrong_labels: split -> number of its rows whose label was changed by `data.label_noise`.
        offered: split -> the names of all columns that it has in the data; none for a stream.
        classes: split -> class -> number of rows; empty without classes and for streams, whose rows are not read yet.
        content: split -> a digest of each row's inputs, `(N,)`, 0 where they are not read before training; none for a stream.
        tasks: task -> its own splits, where there are several; the rows here are the first one's then.
    """

    train: Rows
    validation: Rows | None
    test: Rows | None
    columns: dict[str, str]
    origin: dict[str, str]
    sizes: dict[str, int | None]
    revision: str | None = None
    notes: tuple[str, ...] = ()
    source: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    leaked: dict[str, int] = field(default_factory=dict)
    stored: Mapping[str, IterableDataset] = field(default_factory=dict)
    content: Mapping[str, np.ndarray] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    wrong_labels: dict[str, int] = field(default_factory=dict)
    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tasks: Mapping[str, Splits] = field(default_factory=dict)

    @property
    def skipped(self) -> dict[str, int]:
        """Split -> number of its rows left out as bad so far; for a stream, counted each time they are read."""
        read = {name: tally.skipped for name, tally in self.tallies.items() if tally.skipped}
        return {**self.left_out, **read}

    def items(self) -> list[tuple[str, Rows]]:
        """(name, rows) of the existing splits."""
        named = (("train", self.train), ("validation", self.validation), ("test", self.test))
        return [(name, rows) for name, rows in named if rows is not None]


def load_splits(data: Data, task: Task, seed: int = 42) -> tuple[Splits, Labels]:
    """Load the data as splits with encoded labels, and the meaning of the labels.

    Raises:
        DataError: a split or column does not exist, a split is empty, or rows cannot be used: a label that is missing,
            out of range or unknown in train, an image that cannot be decoded, an empty text, a duplicate id.
        BadInput, HubError: the data does not exist or cannot be reached.
    """
    seed = seed if data.seed is None else data.seed
    inputs = task.modality.inputs
    if data.path in builtin.BUILTIN:
        splits.choose(builtin.split_names(data.path), data)
    given = load_raw(data)
    raw = given.splits
    origin, shares = _wanted(list(raw), data)

    parts = {name: columns.typed(raw[split]) for name, split in origin.items()}
    check_column(parts["train"], data)
    offered = {name: tuple(rows.features or ()) for name, rows in parts.items()}
    found = columns.find(parts["train"], data, task)
    if data.labels == NONE:
        parts, found = without_labels(parts, found, data, task)
    found, joined = columns.label_parts(parts["train"], found, data, task)
    faults = Faults(data)
    faults.starts = given.starts
    if data.columns.id is not None:
        for name, rows in parts.items():
            faults.repeated(name, rows, data.columns.id)
    beside = tuple(columns_read(data.augment))
    parts = {
        name: columns.read(rows, found, data, task, name, origin[name], joined, beside if name == "train" else ())
        for name, rows in parts.items()
    }
    parts, found = columns.apart(parts, found)
    if data.streaming:
        stated = {name: _stated(raw[split], split) for name, split in origin.items()}
        return _streams(parts, found, origin, stated, given, data, task, seed, joined)

    faults.totals = {name: len(rows) for name, rows in parts.items()}
    try:
        encoded, meaning, notes = labels.encode(parts, found, data, task, faults, joined)
        whole = raw[origin["train"]]
        together = groups_of(encoded["train"], whole, found, data, inputs)
        drawn = DrawnRows(data, meaning, seed, encoded, origin, notes, whole, together)
        drawn.divide(shares)
    except DataError:
        faults.refuse()  # bad rows may be the cause
        raise
    drawn.cap()
    drawn.unbalance()
    drawn.of_client()
    source = dict.fromkeys([*shares, *(["test"] if data.test_from_train else [])], "train")
    checked = check(drawn.rows, source, found, inputs, faults)
    left_out = faults.settle()
    drawn.rows = {name: faults.without(rows, source.get(name, name)) for name, rows in drawn.rows.items()}
    if data.shots is not None and data.imbalance is None and data.client is None:
        left = class_counts({"train": drawn.rows["train"]}, meaning)["train"]
        shots.check_complete(left, data.shots, data.shots_seed)
    wrong_labels = drawn.mislabel()
    counts = class_counts(drawn.rows, meaning)
    if data.labels == NONE:
        counts.pop("train", None)
        drawn.origin["train"] += ", labels not read"
        drawn.notes.append(
            "labels of the training rows are not read (data.labels: none); those of other splits are for scoring alone"
        )
    loaded = Splits(
        drawn.rows["train"],
        drawn.rows.get("validation"),
        drawn.rows.get("test"),
        columns=found,
        origin={name: what for name, what in drawn.origin.items() if name in drawn.rows},
        sizes={name: len(rows) for name, rows in drawn.rows.items()},
        revision=given.revision,
        notes=(
            *given.notes,
            *drawn.notes,
            *absent_notes(counts, data.train_classes),
            *faults.notes(left_out),
            *remark_notes(checked.remarks),
            *twin_notes(checked.twins, source),
        ),
        source=source,
        left_out=left_out,
        leaked={name: len(rows) for name, rows in checked.twins.items()},
        content=checked.content,
        classes=counts,
        wrong_labels=wrong_labels,
        offered={name: offered[source.get(name, name)] for name in drawn.rows},
    )
    return loaded, meaning


def _wanted(there: Sequence[str], data: Data) -> tuple[dict[str, str], dict[str, float]]:
    """Split -> the split of the data that it is, and split -> the share of train that it is made of."""
    train, validation, test = splits.choose(there, data)
    wanted = {"test": None if data.test_from_train else test, "validation": validation}
    shares = {name: share for name, share in wanted.items() if isinstance(share, float)}
    named = {name: split for name in ("validation", "test") if isinstance(split := wanted[name], str)}
    return {"train": train, **named}, shares


def _stated(rows: IterableDataset, split: str) -> int | None:
    """Number of rows that a stream states."""
    info = (rows.info.splits or {}).get(split)
    return (info.num_examples or None) if info else None


def _streams(
    parts: dict[str, IterableDataset],
    found: dict[str, str],
    origin: dict[str, str],
    stated: dict[str, int | None],
    given: Raw,
    data: Data,
    task: Task,
    seed: int,
    joined: tuple[str, ...] = (),
) -> tuple[Splits, Labels]:
    """The splits of a streamed set, with train in a new order each epoch. With `data.classes` their sizes are unknown."""
    inputs = task.modality.inputs
    tallies = {name: Tally(name, data) for name in parts}
    streams, meaning, notes = labels.encode_streams(parts, found, data, task, tallies, joined)
    sizes: dict[str, int | None] = {}
    for name, rows in streams.items():
        sizes[name], cap = None if data.classes else stated[name], cap_of(name, data)
        if cap is not None:
            rows, sizes[name] = rows.take(cap), min(cap, sizes[name] or cap)
        if name == "train":
            mixed = min(10, rows.num_shards)
            rows = rows.shuffle(seed, buffer_size=1, max_buffer_input_shards=mixed)  # shards; rows: `Stream.read`
        if data.on_bad_rows == "skip":
            rows = without_bad(rows, tallies[name], found, inputs)
        streams[name] = rows
    stored = dict(streams)
    streams = {name: inputs.decoded(rows, found, name) for name, rows in stored.items()}
    origin = {name: what for name, what in origin.items() if name in streams}
    held = streams.get("validation"), streams.get("test")
    remarks = (*given.notes, *notes)
    return Splits(
        streams["train"], *held, found, origin, sizes, given.revision, remarks, tallies=tallies, stored=stored
    ), meaning
