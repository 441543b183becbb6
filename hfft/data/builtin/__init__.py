"""Data sets that need no network: handwritten and printed digits, letters, made sounds, docstrings of the Python standard
library."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

from datasets import DatasetDict, IterableDatasetDict, SplitDict, SplitInfo

from hfft.data.builtin import digits, docstrings, letters, printed_digits, tones
from hfft.errors import DataError
from hfft.wording import listing, nearest


def load(name: str, streaming: bool = False, part: str | None = None) -> DatasetDict | IterableDatasetDict:
    """Make the built-in data set with this name; as a stream it states its sizes.

    Args:
        part: only this part of it: a pen of `printed_digits`.
    """
    if name not in BUILTIN:
        raise DataError(
            f"there is no built-in data set {name!r}; use one of {listing(BUILTIN)}{nearest(name, BUILTIN)}"
        )
    if part is not None and part not in PARTS.get(name, ()):
        parts = PARTS.get(name, ())
        have = f"use one of {listing(parts)}{nearest(part, parts)}" if parts else "leave it out"
        raise DataError(f"data.name: the built-in data set {name!r} has no part {part!r}; {have}")
    found = DatasetDict({split: copy.deepcopy(rows) for split, rows in made(name, part).items()})
    if not streaming:
        return found
    sizes = SplitDict({split: SplitInfo(split, num_examples=len(rows)) for split, rows in found.items()})
    streams = IterableDatasetDict({split: rows.to_iterable_dataset() for split, rows in found.items()})
    for rows in streams.values():
        rows.info.splits = sizes
    return streams


@functools.cache
def made(name: str, part: str | None = None) -> DatasetDict:
    """A set or a part of it, made once in a process: a study loads its data many times. Not to be changed."""
    return BUILTIN[name]() if part is None else printed_digits.load(part)


def split_names(name: str) -> list[str]:
    """The names of the splits of a built-in data set, without making it."""
    return ["train", "validation" if name == "docstrings-unlabelled" else "test"]


BUILTIN: dict[str, Callable[[], DatasetDict]] = {
    "digits": digits.load,
    "printed_digits": printed_digits.load,
    "letters": letters.load,
    "tones": tones.load,
    "notes": tones.load_notes,
    "docstrings": docstrings.load,
    "docstrings-unlabelled": docstrings.load_unlabelled,
}
PARTS = {"printed_digits": printed_digits.PENS}
