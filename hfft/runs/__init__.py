"""The run folder: its files, its checkpoints, its lock, and the signals that stop a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.runs.folder import RunFolder

__getattr__, __all__ = names(
    __name__,
    {
        "RunFolder": "hfft.runs.folder",
    },
)
