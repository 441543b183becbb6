"""Rows and columns that the scorecard reads besides the task's, checked before a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.data.tables.files import missing_path
from hfft.errors import DataError
from hfft.evaluate.spec import Score

if TYPE_CHECKING:
    from hfft.data.load import Splits


def check_further(score: Score, splits: Splits) -> None:
    """Check that the columns of groups and the paths of further rows exist.

    Raises:
        DataError: one does not.
    """
    from hfft.data.beside import check_columns  # `hfft check` needs the paths alone, and no `datasets`

    check_columns("score.groups", score.groups, splits)
    check_paths(score)


def check_paths(score: Score) -> None:
    """Check that the paths of further rows exist.

    Raises:
        DataError: one does not.
    """
    for key in ("ood", "shift"):
        for name, spec in getattr(score, key).items():
            if (wrong := missing_path(spec)) is not None:
                raise DataError(f"score.{key}.{name}.{wrong.removeprefix('data.')}")
