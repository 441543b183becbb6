"""The splits of a source as they are stored, with what a user should know about them."""

from __future__ import annotations

from dataclasses import dataclass

from datasets import DatasetDict, IterableDatasetDict


@dataclass(frozen=True)
class Raw:
    """Every split of the data as stored.

    Attributes:
        revision: commit of a hub data set.
        notes: remarks for the user, one line each, such as files that are left out.
    """

    splits: DatasetDict | IterableDatasetDict
    revision: str | None = None
    notes: tuple[str, ...] = ()
