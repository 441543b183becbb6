"""Data sets that need no network: handwritten digits, printed letters, docstrings of the Python standard library."""

from __future__ import annotations

import ast
import functools
import importlib.util
import io
import re
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from scipy.spatial import ConvexHull

from hfft.data.builtin import digits, docstrings, letters
from hfft.errors import DataError
from hfft.wording import listing, nearest


def load(name: str) -> DatasetDict:
    """Make the built-in data set with this name."""
    if name not in BUILTIN:
        raise DataError(
            f"there is no built-in data set {name!r}; use one of {listing(BUILTIN)}{nearest(name, BUILTIN)}"
        )
    return BUILTIN[name]()


def split_names(name: str) -> list[str]:
    """The names of the splits of a built-in data set, without making it."""
    return ["train", "validation" if name == "docstrings-unlabelled" else "test"]


BUILTIN: dict[str, Callable[[], DatasetDict]] = {
    "digits": digits.load,
    "letters": letters.load,
    "docstrings": docstrings.load,
    "docstrings-unlabelled": docstrings.load_unlabelled,
}
