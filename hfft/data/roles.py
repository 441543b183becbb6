"""Which column has which role, from the names of the columns and from what fits. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hfft.data.spec import NONE, Data
from hfft.errors import DataError
from hfft.tasks.table import Task
from hfft.wording import listing


def find_roles(columns: Sequence[str], fitting: Callable[[str], list[str]], data: Data, task: Task) -> dict[str, str]:
    """Role -> column: from the recipe, by the usual name, or the only column that fits.

    Args:
        fitting: role -> the columns whose type fits.

    Raises:
        DataError: no column or several columns fit, or one would have two roles.
    """
    found: dict[str, str] = {}
    for role, usual in task.columns.items():
        if role == "label" and data.columns.several_labels:
            continue
        named = getattr(data.columns, role, None) or (usual if usual in columns else None)
        if named is not None:
            found[role] = named
            continue
        if usual is None:
            continue
        if role == "label" and data.labels != NONE and columns and set(columns) <= set(found.values()):
            raise DataError(
                f"data.columns.label: no column is left for labels, {data.path} has: {listing(columns)}; use data with "
                f"labels, such as a folder of images for each class"
            )
        fits = fitting(role)
        if role == "label" and data.labels == NONE and not fits:
            continue  # rows without labels, whose classes the recipe lists
        if len(fits) != 1:
            raise DataError(
                f"data.columns.{role}: which column is it? {data.path} has: {listing(columns)}; "
                f"choose one, as in data.columns.{role}={fits[0] if fits else 'NAME'}"
            )
        found[role] = fits[0]
    for role, column in found.items():
        twin = next(other for other, c in found.items() if c == column)
        if twin != role:
            raise DataError(f"data.columns.{role}: column {column!r} is already used for {twin}; choose another")
    return found
