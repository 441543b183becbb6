"""How often each of several tasks is learned: by its size, equally, or in between (T5; Raffel et al. 2020, arXiv:1910.10683)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from hfft.strategy.method import Method, MethodSpec, Setting
from hfft.strategy.sample.balanced import balanced_order
from hfft.strategy.tasks.by_task import ByTask


class Mixing(MethodSpec):
    """As many rows in an epoch as before, but small tasks more often: their rows are used several times, in turn.

    Attributes:
        by: the rows of a task in an epoch are in proportion to its `size`, to the square root of it (`sqrt`), or `equal`.
        temperature: in proportion to the size to the power of `1 / temperature`: 1 is `size`, 2 `sqrt`, a large one `equal`.
    """

    main = "by"
    by: Literal["size", "sqrt", "equal"] = "size"
    temperature: float | None = Field(default=None, ge=1)

    @property
    def power(self) -> float:
        """The power of a task's size that its share is in proportion to."""
        return {"size": 1.0, "sqrt": 0.5, "equal": 0.0}[self.by] if self.temperature is None else 1 / self.temperature

    def build(self) -> Method | None:
        """The method; None if every row is used once."""
        return Mixed(self) if self.power != 1 else None


class Mixed(ByTask):
    """Sets the order of rows."""

    needs = frozenset({"domains"})

    def __init__(self, spec: Mixing):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Remember the task of each row."""
        super().start(setting)
        assert setting.domain_ids is not None
        self.task_ids = setting.domain_ids

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """As many rows as there are, each task by its share."""
        shares = task_shares(np.bincount(self.task_ids, minlength=self.count), self.spec.power)
        return balanced_order(self.task_ids, np.random.default_rng((seed, epoch)), shares)


def task_shares(sizes: np.ndarray, power: float) -> np.ndarray:
    """The share of each task in the drawn rows, `(T,)`: in proportion to `n^power`."""
    found = np.asarray(sizes, float) ** power
    return found / found.sum()
