"""The outputs of a model for every row of a split, stored in a file; metrics and tables are functions of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfft.errors import BadInput
from hfft.evaluate.scores import Metrics
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import first_line

BATCH = 4096  # rows read from the file at once
DTYPES = {"float32": "F32", "float64": "F64", "int64": "I64"}  # numpy's names and those of safetensors


@dataclass(frozen=True)
class Outputs:
    """The outputs for one split, in the order of its rows. Arrays from a file are memory-mapped, not loaded.

    Attributes:
        split: the name of the split.
        origin: where its rows come from, such as `given`.
        labels: the meaning of the outputs.
        losses: loss summed over the targets of each row, `(N,)` float32.
        targets: number of targets of each row, `(N,)` float32.
        logits: `(N, C)` float32; None for problems with a target per token.
        references: the true classes `(N,)` or values `(N, C)`; None for problems with a target per token.
    """

    split: str
    origin: str
    labels: Labels
    losses: np.ndarray
    targets: np.ndarray
    logits: np.ndarray | None = None
    references: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.losses)

    @classmethod
    def read(cls, path: Path) -> Outputs:
        """Read a file written by `OutputsFile`.

        Raises:
            BadInput: the file is damaged or of another kind.
        """
        try:
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
            about = header.pop("__metadata__")
            columns = {name: _mapped(path, 8 + size, entry) for name, entry in header.items()}
            labels = Labels(about["problem"], tuple(json.loads(about["names"])), int(about["outputs"]))
            return cls(about["split"], about["origin"], labels, **columns)
        except (OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
            raise BadInput(
                f"{path} cannot be read: {first_line(error)}; delete it, and `hfft score` will run the model again"
            ) from error

    def batches(self, size: int = BATCH) -> Iterator[tuple[Tensor, Tensor]]:
        """(logits, labels) in the order of the rows, as `Metrics.update` takes them."""
        for begin in range(0, len(self), size):
            rows = slice(begin, begin + size)
            if self.logits is None or self.references is None:
                both = np.stack([self.losses[rows], self.targets[rows]], 1)
                yield torch.from_numpy(both), torch.zeros(len(both))
            else:
                yield torch.from_numpy(self.logits[rows].copy()), torch.from_numpy(self.references[rows].copy())

    def score(self, metrics: Sequence[str]) -> dict[str, Any]:
        """Compute the named metrics, `loss` and `n` (under `metrics`), and the tables per class.

        Raises:
            BadInput: a user's metric fails.
        """
        found = Metrics(self.labels, metrics)
        for logits, labels in self.batches():
            found.update(logits, labels)
        found.compute()
        return found.result

    def of_rows(self, chosen: np.ndarray) -> Outputs:
        """The outputs of some rows: their places or a mask, `(N,)`."""
        logits, references = (None if one is None else one[chosen] for one in (self.logits, self.references))
        return replace(
            self, losses=self.losses[chosen], targets=self.targets[chosen], logits=logits, references=references
        )

    def constant(self) -> float | None:
        """The loss of the best constant answer to a regression, the variance of the true values; None for classes."""
        if self.logits is None or self.references is None or PROBLEMS[self.labels.problem].class_names:
            return None
        return float(np.var(self.references, axis=0, dtype=float).mean())


def is_right(outputs: Outputs) -> np.ndarray:
    """Which rows have the right class, or all classes right, `(N,)` bool.

    Raises:
        BadInput: logits are not stored, or not finite.
    """
    if outputs.logits is None or outputs.references is None:
        raise BadInput(f"no logits are stored for {outputs.split}")
    logits, true = np.asarray(outputs.logits), np.asarray(outputs.references)
    if not np.isfinite(logits).all():
        raise BadInput(f"logits for {outputs.split} are not finite")
    if PROBLEMS[outputs.labels.problem].classes:
        return logits.argmax(1) == true
    return ((logits > 0) == (true > 0.5)).all(1)


def mean_losses(outputs: Outputs) -> np.ndarray:
    """The mean loss of each row over its targets, `(N,)`."""
    return np.asarray(outputs.losses, float) / np.maximum(np.asarray(outputs.targets, float), 1)


class OutputsFile:
    """Writes the outputs of a split into a `.safetensors` file, batch by batch.

    Args:
        order: row numbers in the order in which rows are added, `(N,)`; each occurs once.
    """

    def __init__(self, path: Path, split: str, origin: str, labels: Labels, order: np.ndarray):
        self.path, self.order, self.labels = path, order, labels
        self.about = {
            "split": split,
            "origin": origin,
            "problem": labels.problem,
            "names": json.dumps(labels.names),
            "outputs": str(labels.size),
        }
        self.temp = path.with_name(f".{path.name}")
        self.added = 0
        self._columns: dict[str, np.memmap] = {}

    def size(self, columns: Mapping[str, np.ndarray]) -> int:
        """Size of the file in bytes, given its first batch."""
        return sum(column[:1].nbytes * len(self.order) for column in columns.values())

    def open(self, columns: Mapping[str, np.ndarray]) -> None:
        """Reserve disk space for columns like those of the first batch.

        Raises:
            OSError: the disk is full.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        header: dict[str, Any] = {"__metadata__": self.about}
        end = 0
        widest_first = sorted(columns.items(), key=lambda item: -item[1].itemsize)  # so that every column is aligned
        for name, column in widest_first:
            begin, end = end, end + column[:1].nbytes * len(self.order)
            shape = [len(self.order), *column.shape[1:]]
            header[name] = {"dtype": DTYPES[column.dtype.name], "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        try:
            with open(self.temp, "wb") as file:
                file.write(len(text).to_bytes(8, "little") + text)
                file.truncate(8 + len(text) + end)
                if hasattr(os, "posix_fallocate"):  # writing to a memory map kills the process if the disk is full
                    os.posix_fallocate(file.fileno(), 0, 8 + len(text) + end)
        except OSError:
            self.temp.unlink(missing_ok=True)
            raise
        self._columns = {name: _mapped(self.temp, 8 + len(text), header[name], "r+") for name in columns}

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """Add a batch of `columns_of`."""
        if not self._columns:
            self.open(columns)
        count = len(columns["losses"])
        places = self.order[self.added : self.added + count]
        if len(places) < count:
            raise RuntimeError(
                f"{self.path.stem}: {self.added + count} rows were scored, but the split has {len(self.order)}"
            )
        for name, column in columns.items():
            self._columns[name][places] = column
        self.added += count

    def close(self) -> Outputs:
        """Rename the file to its final name, and read it.

        Raises:
            RuntimeError: rows are missing.
        """
        if self.added != len(self.order):
            raise RuntimeError(f"{self.path.stem}: {self.added} rows were scored, but the split has {len(self.order)}")
        for column in self._columns.values():
            column.flush()
        self._columns = {}
        os.replace(self.temp, self.path)
        return Outputs.read(self.path)


def columns_of(logits: Tensor, labels: Tensor, meaning: Labels) -> dict[str, np.ndarray]:
    """The columns of `Outputs` for a batch: loss and number of targets of each row, logits and true values."""
    problem = PROBLEMS[meaning.problem]
    found = problem.answers(logits, labels)
    columns = {"losses": found["losses"].float(), "targets": found["targets"].float()}
    if not problem.per_token:
        columns |= {"logits": logits.float(), "references": labels if problem.classes else labels.float()}
    return {name: column.cpu().numpy() for name, column in columns.items()}


def _mapped(path: Path, start: int, entry: Mapping[str, Any], mode: Any = "r") -> np.memmap:
    (dtype,) = [np.dtype(name) for name, known in DTYPES.items() if known == entry["dtype"]]
    shape = tuple(entry["shape"])
    if not np.prod(shape):
        return np.zeros(shape, dtype)  # type: ignore[return-value]
    return np.memmap(path, dtype, mode, start + entry["data_offsets"][0], shape)
