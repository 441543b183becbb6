"""A data set of the hub, at a pinned commit."""

from __future__ import annotations

import re

import datasets
from datasets import DatasetDict, IterableDatasetDict

from hfft.data.source.arguments import load_arguments
from hfft.data.spec import Data
from hfft.hub.client import arrived
from hfft.hub.errors import commit_of, reading


def load(data: Data) -> tuple[DatasetDict | IterableDatasetDict, str | None]:
    """Every split of the data set, and its commit if it is known.

    Raises:
        BadInput, HubError: the data set does not exist or cannot be reached.
    """
    revision = data.revision
    if "/" in data.path:
        revision = commit_of("dataset", data.path, revision) or revision
    arguments = {**load_arguments(data), "path": data.path, "revision": revision}
    with reading(f"data set {data.path}", data.path):
        if "/" in data.path:
            modes = {False: None, True: "force_redownload"}
            raw = arrived(
                "dataset", data.path, lambda again: datasets.load_dataset(**arguments, download_mode=modes[again])
            )
        else:
            raw = datasets.load_dataset(**arguments)
    return raw, revision if revision and re.fullmatch(r"[0-9a-f]{40}", revision) else None
