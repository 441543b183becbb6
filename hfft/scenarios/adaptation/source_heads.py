"""A classifier for each of several sources on shared features, and their votes on rows of another domain.

Mansour, Mohri and Rostamizadeh 2008, Domain Adaptation with Multiple Sources: a vote weighs as much as the row looks like the
source. Peng et al. 2019 (DomainNet, arXiv:1812.01754) compare such votes with one classifier on all sources together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hfft.classifier import ClassifierSpec, Fitted, fit
from hfft.errors import BadInput
from hfft.wording import listing

# One strength for all: chosen by accuracy it would differ from source to source, and the flatter votes would count less.
SPEC = ClassifierSpec(type="logistic-regression", C=1.0, transform=["standardise"])
_MOST_ROWS = 2000  # of which the likeness to a source is learned


@dataclass(frozen=True)
class SourceHeads:
    """What `fit_heads` returns.

    Attributes:
        names: of the sources, in order.
        classes: number of classes C.
        heads: for each source the classes that it has rows of, and the classifier among them.
        likeness: tells the sources apart; its probabilities are the weights of votes.
    """

    names: tuple[str, ...]
    classes: int
    heads: tuple[tuple[np.ndarray, Fitted], ...]
    likeness: Fitted

    def votes(self, x: np.ndarray) -> np.ndarray:
        """Probabilities `(sources, N, C)` by each head; 0 for classes that its source has no row of."""
        found = np.zeros((len(self.heads), len(x), self.classes))
        for i, (there, head) in enumerate(self.heads):
            found[i][:, there] = head.probabilities(x)
        return found

    def weights(self, x: np.ndarray) -> np.ndarray:
        """How much each row looks like each source, `(sources, N)`; columns sum to 1."""
        return self.likeness.probabilities(x).T

    def probabilities(self, x: np.ndarray, weighted: bool = True) -> np.ndarray:
        """`(N, C)`: the mean of the votes, weighted by `weights` or equally."""
        votes = self.votes(x)
        return np.einsum("sn,snc->nc", self.weights(x), votes) if weighted else votes.mean(0)


def fit_heads(
    x: np.ndarray, y: np.ndarray, sources: np.ndarray, names: tuple[str, ...], classes: int, seed: int
) -> SourceHeads:
    """Fit a logistic regression (C = 1, on standardised features) on the rows of each source, and one that tells sources apart.

    The last one is fitted on 2,000 rows at most, drawn by the seed.

    Args:
        x: features `(N, D)`.
        y: classes `(N,)`, 0 to `classes` - 1.
        sources: number of each row's source `(N,)`, an index of `names`.

    Raises:
        BadInput: there is one source alone, or one has rows of a single class.
    """
    if len(names) < 2:
        raise BadInput(f"the rows have one source alone ({listing(names)}); votes need several in data.columns.domain")
    heads = []
    for i, name in enumerate(names):
        mine = sources == i
        there, labels = np.unique(y[mine], return_inverse=True)
        if len(there) < 2:
            raise BadInput(
                f"source {name!r} has rows of one class; a classifier of its own needs two or more, so leave its rows out"
            )
        heads.append((there, fit(SPEC, x[mine], labels, seed=seed)))
    some = np.random.default_rng(seed).permutation(len(x))[:_MOST_ROWS]
    likeness = fit(SPEC, x[some], sources[some], seed=seed, names=names)
    return SourceHeads(tuple(names), classes, tuple(heads), likeness)
