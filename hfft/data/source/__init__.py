"""Where rows come from: a built-in set, a file, a folder, or a data set of the hub; each is read as splits, as stored."""

from __future__ import annotations

from hfft.data import builtin
from hfft.data.source import hub, local, mixed
from hfft.data.source.raw import Raw
from hfft.data.spec import Data


def load_raw(data: Data) -> Raw:
    """Every split of the data as stored; with `data.mix`, those of all its sets together.

    Raises:
        BadInput, HubError: the data does not exist, cannot be read or cannot be reached.
        DataError: the sets of a mix do not fit together.
    """
    if not data.mix and data.map is None:
        return _stored(data)
    return mixed.joined(data, _stored(data), {name: _stored(spec.data()) for name, spec in data.mix.items()})


def _stored(data: Data) -> Raw:
    if data.path in builtin.BUILTIN:
        return Raw(builtin.load(data.path, streaming=data.streaming, part=data.name))
    if local.is_local(data):
        return local.load(data)
    return hub.load(data)
