"""Where rows come from: a built-in set, a file, a folder, or a data set of the hub; each is read as splits, as stored."""

from __future__ import annotations

from hfft.data import builtin
from hfft.data.source import hub, local
from hfft.data.source.raw import Raw
from hfft.data.spec import Data


def load_raw(data: Data) -> Raw:
    """Every split of the data as stored.

    Raises:
        BadInput, HubError: the data does not exist, cannot be read or cannot be reached.
    """
    if data.path in builtin.BUILTIN:
        return Raw(builtin.load(data.path, streaming=data.streaming, part=data.name))
    if local.is_local(data):
        return local.load(data)
    return hub.load(data)
