"""How far apart two sets of features are: proxy A-distance, maximum mean discrepancy, Fréchet distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfft.evaluate.intervals import wilson

FEWEST = 10  # rows of a class in each set, below which nothing is said of it
FOLDS = 5
PERMUTATIONS = 200


def proxy_a_distance(x: np.ndarray, y: np.ndarray, seed: int = 0) -> dict[str, float]:
    """How well a linear classifier tells rows `(N, D)` from rows `(M, D)`: `2 (1 - 2 error)`, 0 if not, 2 if always.

    The larger set is cut to the size of the smaller. The error is that of held-out rows in a cross-validation; below 0, where
    the classifier does worse than chance, the distance is 0 (Ben-David et al. 2007, 2010).

    Returns:
        `value`, and its interval of 95 % from `low` to `high` (Wilson's of the error over rows).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    size, rng = min(len(x), len(y)), np.random.default_rng(seed)
    both = np.concatenate([part[rng.permutation(len(part))[:size]] for part in (x, y)]).astype(np.float64)
    side = np.repeat([0, 1], size)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    folds = StratifiedKFold(min(FOLDS, size), shuffle=True, random_state=seed)
    wrong = int((cross_val_predict(model, both, side, cv=folds) != side).sum())
    low, high = wilson(wrong, len(both))
    value, upper, lower = (max(0.0, 2 * (1 - 2 * error)) for error in (wrong / len(both), low, high))
    return {"value": value, "low": lower, "high": upper}


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances `(N, M)` of rows `(N, D)` and `(M, D)`."""
    found = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.maximum(found, 0)


def mmd(x: np.ndarray, y: np.ndarray, seed: int = 0, permutations: int = PERMUTATIONS) -> dict[str, float]:
    """Squared maximum mean discrepancy of rows `(N, D)` and `(M, D)`, and the p-value of a permutation test.

    The unbiased estimate, which may be below 0, of a sum of five Gaussian kernels, each at most 1: their bandwidths are 1/4 to 4
    times the median squared distance of both sets' rows (Gretton et al. 2012; the kernels of Long et al. 2015).

    Args:
        permutations: 0 to leave the test out; else the least p-value is 1 / (permutations + 1).
    """
    z, n = np.concatenate([x, y]).astype(np.float64), len(x)
    squared = squared_distances(z, z)
    off = squared[np.triu_indices(len(z), 1)]
    middle = float(np.median(off)) or float(off.mean()) or 1.0
    kernel = sum(
        (np.exp(-squared / (middle * factor)) for factor in (0.25, 0.5, 1.0, 2.0, 4.0)), np.zeros_like(squared)
    )
    np.fill_diagonal(kernel, 0)
    total = float(kernel.sum())

    def statistic(signs: np.ndarray) -> np.ndarray:
        """Of divisions `(R, N + M)` of 1 for the first set and 0 for the second."""
        own = kernel @ signs.T
        within = (signs.T * own).sum(0)
        across = own.sum(0) - within
        other = total - within - 2 * across
        m = len(z) - n
        return within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * across / (n * m)

    first = np.zeros((1, len(z)))
    first[0, :n] = 1
    value = float(statistic(first)[0])
    if not permutations:
        return {"value": value}
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.permutation(first[0]) for _ in range(permutations)])
    return {"value": value, "p": float((1 + (statistic(drawn) >= value).sum()) / (permutations + 1))}


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """`|m - n|² + tr(A + B - 2 (A B)^(1/2))` of the means and covariances of rows `(N, D)` and `(M, D)` (Heusel et al. 2017).

    With fewer rows than features it is too large, also for two samples of one set: see `between_halves`.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    a, b = (np.cov(part.T).reshape(part.shape[1], -1) for part in (x, y))
    root = _root(a)
    # tr (A B)^(1/2) is the sum of the square roots of the eigenvalues of A^(1/2) B A^(1/2), which is symmetric
    middle = np.linalg.eigvalsh(root @ b @ root)
    gap = x.mean(0) - y.mean(0)
    return float(max(0.0, gap @ gap + np.trace(a) + np.trace(b) - 2 * np.sqrt(np.maximum(middle, 0)).sum()))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def distances(x: np.ndarray, y: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """The three distances of rows `(N, D)` and `(M, D)`."""
    return {
        "proxy_a_distance": proxy_a_distance(x, y, seed),
        "mmd": mmd(x, y, seed),
        "frechet": {"value": frechet_distance(x, y)},
    }


def between_halves(x: np.ndarray, seed: int = 0) -> dict[str, float]:
    """MMD and Fréchet distance of two random halves of rows `(N, D)`: what the measures come to where there is no gap."""
    order = np.random.default_rng(seed).permutation(len(x))
    half = len(x) // 2
    one, two = x[order[:half]], x[order[half : 2 * half]]
    return {"mmd": mmd(one, two, permutations=0)["value"], "frechet": frechet_distance(one, two)}


def per_class(
    x: np.ndarray, x_names: np.ndarray, y: np.ndarray, y_names: np.ndarray, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Class -> rows in each set, `mmd`, its p-value and `frechet`; no distance where a set has fewer than FEWEST rows.

    Args:
        x_names, y_names: the name of each row's class, `(N,)` and `(M,)`.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({*x_names, *y_names}, key=_in_order):
        one, two = x[x_names == name], y[y_names == name]
        found[name] = {"rows": [len(one), len(two)]}
        if min(len(one), len(two)) >= FEWEST:
            tested = mmd(one, two, seed)
            found[name] |= {"mmd": tested["value"], "p": tested["p"], "frechet": frechet_distance(one, two)}
    return found


def _in_order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (10**9, name)


def label_shift(x_names: np.ndarray, y_names: np.ndarray) -> float:
    """Total variation of the shares of classes: half the sum of their differences, in [0, 1]."""
    names = sorted({*x_names, *y_names})
    return float(sum(abs((x_names == name).mean() - (y_names == name).mean()) for name in names) / 2)


def nearest(found: dict[str, dict[str, Any]]) -> tuple[str, list[str]]:
    """The source of the least MMD, and the names of other measures that say another one.

    Args:
        found: source -> its `distances` to the target.
    """
    best = {
        measure: min(found, key=lambda name: found[name][measure]["value"])
        for measure in ("mmd", "proxy_a_distance", "frechet")
    }
    return best["mmd"], [f"{measure} says {name}" for measure, name in best.items() if name != best["mmd"]]
