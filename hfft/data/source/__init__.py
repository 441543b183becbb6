"""Where rows come from: a built-in set, a file, a folder, or a data set of the hub; each is read as splits, as stored."""

from __future__ import annotations

from datasets import DatasetDict, IterableDatasetDict

from hfft.data import builtin
from hfft.data.source import hub, local
from hfft.data.spec import Data


def load_raw(data: Data) -> tuple[DatasetDict | IterableDatasetDict, str | None]:
    """Every split of the data as stored, and the commit of a hub data set.

    Raises:
        BadInput, HubError: the data does not exist, cannot be read or cannot be reached.
    """
    if data.path in builtin.BUILTIN:
        return builtin.load(data.path, streaming=data.streaming), None
    if local.is_local(data):
        return local.load(data), None
    return hub.load(data)
