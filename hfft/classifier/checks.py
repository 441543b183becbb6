"""What a classifier cannot be fitted on, each in one line."""

from __future__ import annotations

import numpy as np

from hfft.classifier.spec import MULTI, REGRESSION, SINGLE, TYPES, ClassifierSpec
from hfft.errors import BadInput
from hfft.wording import listing

_BLOCK = 65536  # rows that are looked at at once


def check_problem(spec: ClassifierSpec, problem: str) -> None:
    """Raise BadInput if the type does not solve the problem, naming those that do."""
    if problem not in TYPES[spec.type][0]:
        able = [name for name, (problems, _) in TYPES.items() if problem in problems]
        raise BadInput(f"classifier.type: {spec.type} does not solve {problem}; use {listing(able)}")


def check_features(x: np.ndarray, split: str) -> None:
    """Raise BadInput if features `(N, D)` are not a table of finite numbers."""
    if x.ndim != 2 or not x.shape[1]:
        raise BadInput(f"classifier: the features of {split} have shape {x.shape}; expected (rows, features)")
    if not len(x):
        raise BadInput(f"classifier: {split} has no rows")
    bad = np.concatenate([~np.isfinite(x[i : i + _BLOCK]).all(axis=1) for i in range(0, len(x), _BLOCK)]).nonzero()[0]
    if len(bad):
        raise BadInput(
            f"classifier: the features of {len(bad)} of {len(x)} rows of {split} are not finite (rows {listing(bad, 5)}); "
            f"another backbone.dtype, layer or pooling may help, or leave these rows out"
        )


def check_training_rows(
    spec: ClassifierSpec, x: np.ndarray, y: np.ndarray, problem: str, names: tuple[str, ...] | None
) -> list[str]:
    """Raise BadInput if no classifier of this type can be fitted on the rows; returns lines to tell."""
    check_features(x, "train")
    if len(x) != len(y):
        raise BadInput(f"classifier: train has {len(x)} rows of features, but {len(y)} labels")
    constant = np.ptp(x, axis=0) == 0
    if constant.all():
        raise BadInput(
            f"classifier: all {len(x)} training rows have the same features, so that nothing tells them apart; check the "
            f"data, or use another layer or pooling"
        )
    notes = [f"{constant.sum()} of {x.shape[1]} features are the same in all training rows"] if constant.any() else []
    neighbours = spec.n_neighbors or 5
    most = max(neighbours) if isinstance(neighbours, list) else neighbours
    if spec.type == "knn" and most > len(x):
        raise BadInput(f"classifier.n_neighbors: is {most}, but there are {len(x)} training rows; lower it")
    if problem == REGRESSION:
        check_values(y)
    elif problem == SINGLE:
        notes += _check_classes(spec, y, names, most)
    return notes


def check_values(y: np.ndarray) -> None:
    """Raise BadInput if a value of a regression is not finite."""
    if not np.isfinite(y).all():
        raise BadInput("classifier: a target of train is not finite; leave its row out")


def _check_classes(spec: ClassifierSpec, y: np.ndarray, names: tuple[str, ...] | None, neighbours: int) -> list[str]:
    size = len(names) if names else int(y.max()) + 1
    rows = np.bincount(y, minlength=size)
    called = names or tuple(map(str, range(size)))
    if (rows > 0).sum() == 1:
        raise BadInput(
            f"classifier: all training rows are of class {called[int(y[0])]!r}; two classes at least are needed"
        )
    if size > len(y):
        raise BadInput(f"classifier: {size} classes are more than the {len(y)} training rows; each needs a row")
    if missing := [called[k] for k in range(size) if not rows[k]]:
        raise BadInput(f"classifier: no training row is of class {listing(map(repr, missing), 5)}; add rows")
    if spec.type == "lda" and size == len(y):
        raise BadInput(
            f"classifier: lda needs more rows than classes, but has {len(y)} of {size}; use nearest-centroid"
        )
    single = [called[k] for k in range(size) if rows[k] == 1]
    if spec.type == "knn" and neighbours > 2 and single and spec.weights != "distance":
        raise BadInput(
            f"classifier.n_neighbors: is {neighbours}, but class {listing(map(repr, single), 5)} has 1 training row, which "
            f"others outvote; use n_neighbors=1, weights=distance, or add rows"
        )
    least = (neighbours + 1) // 2
    few = [called[k] for k in range(size) if rows[k] < least]
    if spec.type == "knn" and few and spec.weights != "distance":
        return [f"fewer training rows than half of n_neighbors {neighbours}: {listing(map(repr, few), 5)}"]
    return []


def targets_of(y: np.ndarray, problem: str) -> np.ndarray:
    """Targets as the types take them: classes `(N,)` of int64, 0 and 1 `(N, C)` of int64, or values `(N, C)` of float64."""
    if problem == SINGLE:
        return np.asarray(y, np.int64).reshape(len(y))
    y = np.asarray(y).reshape(len(y), -1)
    return y.astype(np.int64) if problem == MULTI else y.astype(np.float64)
