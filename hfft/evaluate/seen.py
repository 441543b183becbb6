"""Held-out rows that a model was trained on, found by the digests of their content."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def seen_rows(content: Mapping[str, np.ndarray], trained: np.ndarray) -> dict[str, int]:
    """Held-out split -> number of its rows whose content is among that of training rows, if there are any.

    Args:
        content: split -> digest of each row, 0 where the content is not read.
        trained: digests of the training rows.
    """
    known = trained[trained != 0]
    found = {name: int(np.isin(digests, known).sum()) for name, digests in content.items() if name != "train"}
    return {name: count for name, count in found.items() if count}


def seen_line(split: str, count: int, total: int) -> str:
    """The warning about them beside the metrics of a split."""
    return f"{split}: {count} of its {total} rows are also among the training rows: its metrics are too optimistic"
