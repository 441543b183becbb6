"""A data set of two domains, small enough to be learned from in a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests import stand_ins


def pens(folder: Path, test_domains: Sequence[str] | None = None) -> Path:
    """Images of three classes and two domains as a data set on disk.

    Args:
        test_domains: of the twelve test rows, in place of their own.
    """
    splits = {}
    for name, n, seed in (("train", 36, 0), ("test", 12, 1)):
        rows = stand_ins.images(n, "image", "label", list("abc"), seed)
        domains = ["ink" if i // 3 % 2 else "chalk" for i in range(n)]
        splits[name] = rows.add_column("pen", list(test_domains) if name == "test" and test_domains else domains)
    return stand_ins.save_splits(folder, **splits)
