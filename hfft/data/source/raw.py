"""The splits of a source as they are stored, with what a user should know about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from datasets import DatasetDict, IterableDatasetDict


@dataclass(frozen=True)
class Raw:
    """Every split of the data as stored.

    Attributes:
        revision: commit of a hub data set.
        notes: remarks for the user, one line each, such as files that are left out.
        starts: `train`, … -> name of each set of a mix and the number of its first row; empty of a single set.
    """

    splits: DatasetDict | IterableDatasetDict
    revision: str | None = None
    notes: tuple[str, ...] = ()
    starts: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
