"""A data set of the hub, at a pinned commit."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import datasets

from hfft.data.source.arguments import load_arguments
from hfft.data.source.raw import Raw
from hfft.data.spec import Data
from hfft.errors import HubError
from hfft.hub.client import arrived
from hfft.hub.errors import commit_of, reading


@contextlib.contextmanager
def _also_no_folder(path: str) -> Iterator[None]:
    """Add to the error of a hub that cannot be reached that the name is no folder either: it may have been meant as one."""
    try:
        yield
    except HubError as error:
        raise HubError(f"{error}; there is no folder {path!r} here either") from error


def load(data: Data) -> Raw:
    """Every split of the data set, and its commit if it is known.

    Raises:
        BadInput, HubError: the data set does not exist or cannot be reached.
    """
    revision = data.revision
    if "/" in data.path:
        revision = commit_of("dataset", data.path, revision) or revision
    arguments = {**load_arguments(data), "path": data.path, "revision": revision}
    with _also_no_folder(data.path), reading(f"data set {data.path}", data.path):
        if "/" in data.path:
            modes = {False: None, True: "force_redownload"}
            raw = arrived(
                "dataset", data.path, lambda again: datasets.load_dataset(**arguments, download_mode=modes[again])
            )
        else:
            raw = datasets.load_dataset(**arguments)
    return Raw(raw, revision if revision and re.fullmatch(r"[0-9a-f]{40}", revision) else None)
