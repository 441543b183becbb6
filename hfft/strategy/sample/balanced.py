"""Draw rare classes or domains more often, from the start or later (deferred re-sampling; Cao et al. 2019, arXiv:1906.07413)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from hfft.strategy.method import Method, MethodSpec, Setting


class Balanced(MethodSpec):
    """As many rows per epoch as before, but rare classes more often.

    Attributes:
        after: number of epochs with ordinary sampling before classes are balanced.
        by: the rows of a class in an epoch are the same for every `class`, or in proportion to the square root of its size
            (`sqrt`; Kang et al. 2020, arXiv:1910.09217), or weighted by its `effective` number (Cui et al. 2019,
            arXiv:1901.05555); `domain`: each step has as many rows of every domain (`data.columns.domain`), one more or less.
        beta: for `effective`: 0 is ordinary sampling, towards 1 is that of `class`.
    """

    main = "after"
    after: int = Field(default=0, ge=0)
    by: Literal["class", "sqrt", "effective", "domain"] = "class"
    beta: float = Field(default=0.999, ge=0, lt=1)

    def build(self) -> Method:
        """The sampler."""
        return DomainBalanced(self) if self.by == "domain" else ClassBalanced(self)


class ClassBalanced(Method):
    """Sets the order of rows."""

    problems = ("single_label_classification",)
    needs = frozenset({"counts"})

    def __init__(self, spec: Balanced):
        self.spec, self.begins = spec, spec.after

    def start(self, setting: Setting) -> None:
        """Remember the class of each row."""
        assert setting.class_ids is not None
        self.class_ids = np.asarray(setting.class_ids)

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """All rows in random order before epoch `after`, then balanced ones."""
        rng = np.random.default_rng((seed, epoch))
        if epoch < self.spec.after:
            return rng.permutation(len(self.class_ids))
        counts = np.bincount(self.class_ids)
        return balanced_order(self.class_ids, rng, class_shares(counts, self.spec.by, self.spec.beta))


class DomainBalanced(Method):
    """Sets the order of rows: the domains take turns, so that a statistic of a step's domains has rows of each."""

    needs = frozenset({"domains"})

    def __init__(self, spec: Balanced):
        self.spec, self.begins = spec, spec.after

    def start(self, setting: Setting) -> None:
        """Remember the domain of each row."""
        assert setting.domain_ids is not None
        self.domain_ids = setting.domain_ids

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """All rows in random order before epoch `after`, then the domains in turn."""
        rng = np.random.default_rng((seed, epoch))
        return rng.permutation(len(self.domain_ids)) if epoch < self.spec.after else in_turn(self.domain_ids, rng)


def in_turn(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`(N,)` row numbers of which every G in a row, from the first on, are of all G groups, in a drawn order.

    Args:
        ids: `(N,)` the group of each row. The rows of a group are used in turn, those of a small one several times.
    """
    groups = [np.flatnonzero(ids == group) for group in np.unique(ids)]
    rounds = -(-len(ids) // len(groups))
    columns = []
    for rows in groups:
        turns = [rng.permutation(rows) for _ in range(-(-rounds // len(rows)))]
        columns.append(np.concatenate(turns)[:rounds])
    return rng.permuted(np.stack(columns, 1), axis=1).ravel()[: len(ids)]


def class_shares(counts: np.ndarray, by: str = "class", beta: float = 0.999) -> np.ndarray:
    """The share of each class in the drawn rows, `(C,)`, from the classes' sizes `(C,)`; 0 for a class without rows.

    Proportional to 1 (`class`), `sqrt(n)` (`sqrt`), or `n / E` with the effective number `E = (1 - beta^n) / (1 - beta)`.
    """
    n = np.asarray(counts, float)
    if by == "effective":
        size = np.divide(n * (1 - beta), 1 - beta**n, out=np.zeros_like(n), where=n > 0)
    else:
        size = np.sqrt(n) if by == "sqrt" else (n > 0).astype(float)
    return size / size.sum()


def balanced_order(class_ids: np.ndarray, rng: np.random.Generator, shares: np.ndarray | None = None) -> np.ndarray:
    """`(N,)` row numbers, drawn from the classes by their shares; the rows of a class are used in turn.

    Args:
        class_ids: `(N,)` the class of each row.
        shares: `(C,)` the share of each class; None for equal shares. No class is more than one row away from its share.
    """
    present = np.unique(class_ids)
    exact = len(class_ids) * (np.full(len(present), 1 / len(present)) if shares is None else shares[present])
    counts = np.floor(exact + 1e-9).astype(int)
    ties = rng.permutation(len(present))
    largest = ties[np.argsort(-np.round(exact - counts, 9)[ties], kind="stable")]
    counts[largest[: len(class_ids) - counts.sum()]] += 1
    drawn = []
    for name, count in zip(present, counts, strict=True):
        rows = np.flatnonzero(class_ids == name)
        turns = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
        drawn.append(np.concatenate(turns)[:count] if turns else rows[:0])
    return rng.permutation(np.concatenate(drawn))
