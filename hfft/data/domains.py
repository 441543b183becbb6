"""The domain of each row, such as a style or a hospital: a column of words or numbers that is named by the recipe."""

from __future__ import annotations

import datasets
import numpy as np

from hfft.data.beside import values_of
from hfft.data.load import Splits
from hfft.data.named_domains import as_names
from hfft.data.spec import Data

KEY = "data.columns.domain"


def domain_ids(data: Data, splits: Splits) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Number of each training row's domain, `(rows,)`, and the domains' names in order; None without such a column.

    Raises:
        DataError: there is no such column, or a row has no domain.
    """
    if data.columns.domain is None or not isinstance(splits.train, datasets.Dataset):
        return None
    values = as_names(values_of(KEY, data, splits, "train", data.columns.domain), data.columns.domain)
    names, ids = np.unique(values, return_inverse=True)
    return ids.astype(np.int64), tuple(names.tolist())
