"""NCM and LDA on frozen features, from sums that grow class by class: nothing is trained, and no row is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hfft import data
from hfft.features import of_recipe
from hfft.recipe import Recipe
from hfft.scenarios.incremental.domains import domains_of_split
from hfft.scenarios.incremental.scored import write_outputs
from hfft.tasks.labels import Labels

SHRINKAGE = 0.1  # of the covariance towards a multiple of the identity


@dataclass
class ClassSums:
    """What is kept of the features `(D,)` of each class: their number and sum; of all together, the scatter within classes.

    Adding rows class by class, or in pieces, gives the same as adding all at once.
    """

    counts: dict[str, int] = field(default_factory=dict)
    sums: dict[str, np.ndarray] = field(default_factory=dict)
    squares: np.ndarray | None = None  # (D, D), the sum of x x' of all rows

    def add(self, name: str, x: np.ndarray) -> None:
        """Add rows `(n, D)` of a class."""
        x = x.astype(np.float64)
        self.counts[name] = self.counts.get(name, 0) + len(x)
        self.sums[name] = self.sums.get(name, 0) + x.sum(0)
        self.squares = x.T @ x if self.squares is None else self.squares + x.T @ x

    @property
    def means(self) -> np.ndarray:
        """The mean of each class, `(C, D)`, in the order in which classes were added."""
        return np.stack([self.sums[name] / count for name, count in self.counts.items()])

    @property
    def covariance(self) -> np.ndarray:
        """The covariance within classes, `(D, D)`: that of each class, weighted by its rows."""
        assert self.squares is not None
        counts, means = np.array(list(self.counts.values())), self.means
        return (self.squares - (means * counts[:, None]).T @ means) / counts.sum()

    def ncm(self, x: np.ndarray) -> np.ndarray:
        """Logits `(N, C)`: negative squared distances to the class means."""
        means = self.means
        return 2 * x @ means.T - np.square(means).sum(1) - np.square(x).sum(1)[:, None]

    def lda(self, x: np.ndarray, shrinkage: float = SHRINKAGE) -> np.ndarray:
        """Logits `(N, C)`: those of Gaussian classes with one covariance, shrunk towards its mean variance."""
        weight, bias = self.linear(shrinkage)
        return x @ weight.T + bias

    def linear(self, shrinkage: float = SHRINKAGE) -> tuple[np.ndarray, np.ndarray]:
        """The weight `(C, D)` and bias `(C,)` of LDA."""
        means, covariance, counts = self.means, self.covariance, np.array(list(self.counts.values()))
        size = len(covariance)
        shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / size * np.eye(size)
        weight = np.linalg.lstsq(shrunk, means.T, rcond=None)[0].T
        return weight, -0.5 * (weight * means).sum(1) + np.log(counts / counts.sum())


def class_sums(recipe: Recipe, tasks: Sequence[Sequence[str]], domains: Sequence[str] = ()) -> dict[str, Any]:
    """Outputs of NCM and LDA after each task, as `outputs/<classifier>-<task>.safetensors`; a child of a study.

    Args:
        tasks: the classes of each task.
        domains: the domain of each task, where these are what comes in turn; its rows are added to the sums of their classes.

    Returns:
        `train`: rows and seconds; `kept`: numbers that are stored.
    """
    started = time.perf_counter()
    parts = of_recipe(recipe, ("train", "test"))
    train, test = parts["train"], parts["test"]
    assert train.labels is not None
    assert test.labels is not None
    whose: np.ndarray | None = None
    if domains:
        loaded, _ = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
        whose = domains_of_split(recipe, loaded, "train")
    sums, seen = ClassSums(), list[str]()
    for t, group in enumerate(tasks):
        for name in group:
            mine = train.labels == train.names.index(name)
            mine &= True if whose is None else whose == domains[t]
            if mine.any():
                sums.add(name, train.values[mine])
        seen = list(dict.fromkeys([*seen, *group]))
        rows = np.isin(test.labels, [test.names.index(name) for name in seen])
        x = test.values[rows].astype(np.float64)
        truth = np.array([seen.index(test.names[label]) for label in test.labels[rows]])
        for kind, logits in (("ncm", sums.ncm(x)), ("lda", sums.lda(x))):
            path = recipe.output_dir / "outputs" / f"{kind}-{t + 1}.safetensors"
            write_outputs(path, _under(seen, list(sums.counts), logits), truth, Labels.of(recipe.problem, seen))
    assert sums.squares is not None
    kept = sums.squares.size + sum(value.size for value in sums.sums.values())
    return {
        "train": {"n": len(train.values), "seconds": round(time.perf_counter() - started, 3)},
        "kept": kept,
        "labels": list(train.names),
        "seed": recipe.seed,
    }


def _under(seen: Sequence[str], known: Sequence[str], logits: np.ndarray) -> np.ndarray:
    """Logits of the classes that have had rows, as those of all classes: below them all where a domain lacked a class."""
    found = np.full((len(logits), len(seen)), logits.min(initial=0.0) - 1e3)
    found[:, [seen.index(name) for name in known]] = logits
    return found
