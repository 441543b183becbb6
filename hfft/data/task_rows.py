"""The rows of several tasks as those of one: read task by task, with labels that say whose they are."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from hfft.data.identity import identity
from hfft.data.inputs import Prepared, prepare
from hfft.data.joined_rows import JoinedRows, fetched
from hfft.data.load import Splits, load_splits
from hfft.data.spec import Data
from hfft.data.texts import TextRows
from hfft.errors import BadInput, DataError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import problem_of
from hfft.tasks.problem.several_tasks import width_of
from hfft.tasks.table import Task
from hfft.wording import listing


@dataclass(frozen=True)
class TaskData:
    """What one of several tasks reads: its rows and its kind of target."""

    data: Data
    task: Task


def load_task_splits(tasks: Mapping[str, TaskData], seed: int = 42) -> tuple[Splits, Labels]:
    """The splits of each task (`Splits.tasks`) with what is said of all of them together, and the meaning of all outputs.

    Raises:
        DataError, BadInput: as `load_splits`, with the name of the task.
    """
    found: dict[str, Splits] = {}
    meanings: dict[str, Labels] = {}
    for name, one in tasks.items():
        try:
            found[name], meanings[name] = load_splits(one.data, one.task, seed)
        except DataError as error:
            raise DataError(f"task {name}: {error}") from error
        except BadInput as error:
            raise type(error)(f"task {name}: {error}") from error
    return joined_splits(found), Labels.of_tasks(meanings.items())


def joined_splits(tasks: Mapping[str, Splits]) -> Splits:
    """What is said of the splits of all tasks together; the rows stay those of each task."""
    first = next(iter(tasks.values()))
    names = [name for name in ("train", "validation", "test") if any(name in one.sizes for one in tasks.values())]
    sizes = {name: {task: one.sizes[name] for task, one in tasks.items() if name in one.sizes} for name in names}
    return replace(
        first,
        origin={name: listing([f"{task} {size}" for task, size in sizes[name].items()], 20) for name in names},
        sizes={name: sum(size or 0 for size in sizes[name].values()) for name in names},
        notes=(*(f"{task}: {note}" for task, one in tasks.items() for note in one.notes), *trained_elsewhere(tasks)),
        left_out=_summed(tasks, "left_out"),
        leaked=_summed(tasks, "leaked"),
        wrong_labels=_summed(tasks, "wrong_labels"),
        classes={},
        content={
            name: np.concatenate([one.content[name] for one in tasks.values() if name in one.sizes])
            for name in names
            if all(name in one.content for one in tasks.values() if name in one.sizes)
        },
        tasks=dict(tasks),
    )


def _summed(tasks: Mapping[str, Splits], name: str) -> dict[str, int]:
    """Split -> a number of rows, of all tasks together."""
    found = Counter[str]()
    for one in tasks.values():
        found.update(getattr(one, name))
    return dict(found)


def trained_elsewhere(tasks: Mapping[str, Splits]) -> list[str]:
    """One line for each held-out split of a task with inputs that another task trains on, as two shares of one set have."""
    notes = []
    for task, one in tasks.items():
        others = [other.content["train"] for name, other in tasks.items() if name != task and "train" in other.content]
        known = np.unique(np.concatenate(others)) if others else np.zeros(0, np.int64)
        for name in (name for name in ("validation", "test") if name in one.content):
            digests = one.content[name]
            if count := int((np.isin(digests, known) & (digests != 0)).sum()):
                notes.append(
                    f"{task}: {count} of the {len(digests)} rows of {name} are training rows of another task, with its label: "
                    f"metrics may be too optimistic; give all tasks the same split as data.{name}"
                )
    return notes


def prepare_tasks(
    splits: Splits, tasks: Mapping[str, TaskData], labels: Labels, processor: Any, seed: int = 42
) -> Prepared:
    """Model inputs of every split, the tasks one after the other.

    Raises:
        DataError: as `prepare`.
    """
    meanings = dict(labels.tasks)
    parts = {
        name: prepare(splits.tasks[name], one.data, one.task, meanings[name], processor, seed)
        for name, one in tasks.items()
    }
    first = next(iter(parts.values()))
    inputs = next(iter(tasks.values())).task.modality.inputs

    def joined(split: str) -> Any:
        there = {name: rows for name, part in parts.items() if (rows := getattr(part, split)) is not None}
        return task_rows(there, labels) if there else None

    collate = inputs.collate(processor, labels.problem)
    return Prepared(joined("train"), joined("validation"), joined("test"), collate, first.on_device)


def task_rows(parts: Mapping[str, Any], labels: Labels) -> TaskRows:
    """The prepared rows of tasks as one data set: of texts, one that is batched by length."""
    texts = all(isinstance(rows, TextRows) for rows in parts.values())
    return (TaskTexts if texts else TaskRows)(parts, labels)


class TaskRows(torch.utils.data.Dataset):
    """The rows of each task in turn, under one numbering; `labels` are `(1 + W,)`, as `SeveralTasks` takes them.

    Args:
        parts: task -> its prepared rows.
        labels: the meaning of the outputs of all tasks.
    """

    def __init__(self, parts: Mapping[str, Any], labels: Labels):
        self.parts, self.labels = dict(parts), labels
        self._join()

    def _join(self) -> None:
        names = [name for name, _ in self.labels.tasks]
        width = max(width_of(one, problem_of(one)) for _, one in self.labels.tasks)
        marked = [Marked(rows, names.index(name), width) for name, rows in self.parts.items()]
        self.joined = JoinedRows(marked[0], dict(zip([*self.parts][1:], marked[1:], strict=True)))
        self.step: Any = Steps([getattr(rows, "step", None) for rows in self.parts.values()])

    def __len__(self) -> int:
        return len(self.joined)

    def __getitem__(self, i: int) -> Any:
        found = self.joined.__getitems__([i])
        return found[0] if isinstance(found, list) else {name: values for name, (values, _) in found.items()}

    def __getitems__(self, indices: list[int]) -> Any:
        return self.joined.__getitems__(indices)

    @property
    def task_ids(self) -> np.ndarray:
        """The number of each row's task, `(N,)`."""
        names = [name for name, _ in self.labels.tasks]
        return np.repeat([names.index(name) for name in self.parts], [len(rows) for rows in self.parts.values()])

    def identity(self) -> str:
        """A digest of the tasks, their outputs and their rows."""
        parts = [(name, identity(rows)) for name, rows in self.parts.items()]
        return hashlib.sha256(repr((self.labels.tasks, parts)).encode()).hexdigest()

    def set_epoch(self, epoch: int) -> None:
        """Use this epoch in augmentation."""
        for rows in self.parts.values():
            if hasattr(rows, "set_epoch"):
                rows.set_epoch(epoch)

    def in_draw(self, draw: int, augment: Sequence[Any] = ()) -> TaskRows:
        """The same rows in another draw of their augmentation."""
        return self._changed(lambda rows: rows.in_draw(draw, augment))

    def in_epoch(self, epoch: int) -> TaskRows:
        """The same rows as augmented in that epoch."""
        return self._changed(lambda rows: rows.in_epoch(epoch))

    def _changed(self, change: Callable[[Any], Any]) -> TaskRows:
        other = copy.copy(self)
        other.parts = {name: change(rows) for name, rows in self.parts.items()}
        other._join()
        return other


class TaskTexts(TaskRows, TextRows):
    """Texts of several tasks, batched by length across them."""

    def __init__(self, parts: Mapping[str, TextRows], labels: Labels):
        TaskRows.__init__(self, parts, labels)
        self.lengths = np.concatenate([rows.lengths for rows in parts.values()])
        self.cut = sum(rows.cut for rows in parts.values())
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Batch by length, and augment, anew for this epoch."""
        self.epoch = epoch
        TaskRows.set_epoch(self, epoch)


class Marked:
    """Rows of one task whose labels begin with its number and are filled up to `width` numbers with zeros."""

    def __init__(self, rows: Any, task: int, width: int):
        self.rows, self.task, self.width = rows, task, width
        if hasattr(rows, "lengths"):
            self.lengths = rows.lengths

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> Any:
        found = fetched(self.rows, np.asarray(indices))
        if isinstance(found, list):
            return [{**row, "labels": self.marked(np.atleast_1d(row["labels"])[None])[0]} for row in found]
        values = self.marked(np.asarray(found["labels"][0]).reshape(len(indices), -1))
        return {**found, "labels": (values.ravel(), np.full(len(values), 1 + self.width))}

    def marked(self, labels: np.ndarray) -> np.ndarray:
        """Labels `(B, w)` as `(B, 1 + width)` float32."""
        found = np.zeros((len(labels), 1 + self.width), np.float32)
        found[:, 0], found[:, 1 : 1 + labels.shape[1]] = self.task, labels
        return found

    def identity(self) -> str:
        """That of the rows."""
        return identity(self.rows)


class Steps:
    """What is done to the rows of each task as they are read."""

    def __init__(self, steps: Sequence[Any]):
        self.steps = steps

    @property
    def augmentation(self) -> list[Any] | None:
        """The augmentation of each task; None if no task has one."""
        found = [getattr(step, "augmentation", None) for step in self.steps]
        return found if any(one is not None for one in found) else None

    @property
    def epoch(self) -> int:
        """The epoch of the draws."""
        return next((int(step.epoch) for step in self.steps if hasattr(step, "epoch")), 0)
