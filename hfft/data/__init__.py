"""Part 5, the data pipeline: from raw splits to model inputs, with mapping, augmentation and streaming."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.data.changes import changed_splits, file_state, names_files
    from hfft.data.domains import domain_ids
    from hfft.data.fingerprint import fingerprints
    from hfft.data.inputs import Prepared, prepare
    from hfft.data.load import Splits, load_splits
    from hfft.data.sets import load_sets
    from hfft.data.stream import Stream

__getattr__, __all__ = names(
    __name__,
    {
        "changed_splits": "hfft.data.changes",
        "file_state": "hfft.data.changes",
        "names_files": "hfft.data.changes",
        "domain_ids": "hfft.data.domains",
        "fingerprints": "hfft.data.fingerprint",
        "Prepared": "hfft.data.inputs",
        "prepare": "hfft.data.inputs",
        "Splits": "hfft.data.load",
        "load_splits": "hfft.data.load",
        "load_sets": "hfft.data.sets",
        "Stream": "hfft.data.stream",
    },
)
