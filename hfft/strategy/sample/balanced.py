"""Draw every class equally often, from the start or later (deferred re-sampling; Cao et al. 2019, arXiv:1906.07413)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hfft.strategy.method import Method, MethodSpec, Setting


class Balanced(MethodSpec):
    """As many rows per epoch as before, but every class equally often.

    Attributes:
        after: number of epochs with ordinary sampling before classes are balanced.
    """

    main = "after"
    after: int = Field(default=0, ge=0)

    def build(self) -> Method:
        """The sampler."""
        return ClassBalanced(self)


class ClassBalanced(Method):
    """Sets the order of rows."""

    problems = ("single_label_classification",)
    needs = frozenset({"counts"})

    def __init__(self, spec: Balanced):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Remember the class of each row."""
        assert setting.class_ids is not None
        self.class_ids = np.asarray(setting.class_ids)

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """All rows in random order before epoch `after`, then balanced ones."""
        rng = np.random.default_rng((seed, epoch))
        if epoch < self.spec.after:
            return rng.permutation(len(self.class_ids))
        return balanced_order(self.class_ids, rng)


def balanced_order(class_ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`(N,)` row numbers; the classes' counts differ by at most one row, and the rows of a class are used in turn."""
    present = np.unique(class_ids)
    counts = np.full(len(present), len(class_ids) // len(present))
    counts[rng.permutation(len(present))[: len(class_ids) % len(present)]] += 1
    drawn = []
    for name, count in zip(present, counts, strict=True):
        rows = np.flatnonzero(class_ids == name)
        turns = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
        drawn.append(np.concatenate(turns)[:count] if turns else rows[:0])
    return rng.permutation(np.concatenate(drawn))
