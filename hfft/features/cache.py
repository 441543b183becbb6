"""Features from the stores of several views, and what is missing computed and stored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hfft.data.row_keys import keys_of
from hfft.features.store import FeatureStore
from hfft.features.views import View
from hfft.frozen_cache import folder
from hfft.frozen_cache.spec import FrozenCacheSpec
from hfft.processes import say
from hfft.wording import size_in_bytes

Computed = Callable[[Any], list[np.ndarray]]  # prepared rows -> the features of each view


class Named(Protocol):
    """What names the features of a model: `hfft.features.model`, `hfft.features.source`."""

    def key(self, view: View) -> str:
        """A digest of everything except the rows that the features of a view depend on."""

    def note(self, view: View) -> str:
        """What a list of the cache says of them."""


@contextlib.contextmanager
def opened_cache(model: Named, views: Sequence[View], spec: FrozenCacheSpec | str = "auto") -> Iterator[FeatureCache]:
    """The cache for some views of a model.

    Args:
        spec: `layers.cache` of a recipe; `off` stores nothing.
    """
    if spec == "off":
        yield FeatureCache([], 0)
        return
    settings = spec if isinstance(spec, FrozenCacheSpec) else FrozenCacheSpec()
    root = Path(settings.dir).expanduser() if settings.dir else folder.root()
    with contextlib.ExitStack() as opened:
        stores = []
        try:
            for view in views:
                stores.append(FeatureStore(root / model.key(view), model.note(view)))
                opened.callback(stores[-1].close)
        except OSError as error:
            say(f"features: not stored, {root} cannot be written ({error.strerror})")
            stores = []
        yield FeatureCache(stores, size_in_bytes(settings.limit))


class FeatureCache:
    """The stores of some views; none to store nothing.

    Args:
        limit: size limit of the whole cache in bytes.
    """

    def __init__(self, stores: Sequence[FeatureStore], limit: int):
        self.stores, self.limit = list(stores), limit

    def features(self, rows: Any, computed: Computed) -> list[np.ndarray]:
        """The features `(N, D)` of prepared rows for each view; those that are not stored are computed, equal rows once."""
        if not self.stores:
            return computed(rows)
        keys = keys_of(rows)
        there = [store.find(keys) for store in self.stores]
        if all(known.all() for _, known in there):
            return [values for values, _ in there if values is not None]
        with contextlib.ExitStack() as alone:
            for store in sorted(self.stores, key=lambda store: store.folder):
                alone.enter_context(store.alone())
            there = [store.find(keys) for store in self.stores]  # another process may have computed them
            return self._completed(there, keys, rows, computed)

    def _completed(
        self, there: Sequence[tuple[np.ndarray | None, np.ndarray]], keys: np.ndarray, rows: Any, computed: Computed
    ) -> list[np.ndarray]:
        known = np.logical_and.reduce([mask for _, mask in there])
        missing = np.flatnonzero(~known)
        missing = np.sort(missing[np.unique(keys[missing], return_index=True)[1]])
        new = computed(Chosen(rows, missing)) if len(missing) else [np.empty((0, 0), np.float32) for _ in self.stores]
        order = np.argsort(keys[missing], kind="stable")
        found = []
        for (values, mask), fresh, store in zip(there, new, self.stores, strict=True):
            lacking = np.flatnonzero(~mask)
            if values is None:
                values = np.empty((len(keys), fresh.shape[1]), np.float32)
            if len(lacking):
                values[lacking] = fresh[order[np.searchsorted(keys[missing][order], keys[lacking])]]
                finite = np.isfinite(fresh).all(1)  # others are refused, and would be every time
                if (refused := store.add(keys[missing][finite], fresh[finite], self.limit)) is not None:
                    say(f"features: not stored, {refused}")
            found.append(values)
        return found


class Chosen:
    """Some rows of a prepared split, `(N,)` by number, which are fetched as the whole split is."""

    def __init__(self, whole: Any, numbers: np.ndarray):
        self._whole, self._numbers = whole, numbers
        if hasattr(whole, "lengths"):
            self.lengths = whole.lengths[numbers]
        else:
            self.step, self.rows = whole.step, whole.rows.select(numbers)
            self.content = None if whole.content is None else whole.content[numbers]

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitems__(self, indices: Sequence[int]) -> Any:
        return self._whole.__getitems__(self._numbers[list(indices)].tolist())
