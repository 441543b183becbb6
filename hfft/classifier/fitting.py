"""Fit a classifier on features: check, transform, choose, fit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hfft.classifier import boosting, centroid, easytl, knn, lda, logistic, logistic_path, per_target, ridge, svm
from hfft.classifier.checks import check_features, check_problem, check_training_rows, targets_of
from hfft.classifier.choose import choose
from hfft.classifier.fitted import Fitted, Model
from hfft.classifier.spec import MULTI, REGRESSION, SINGLE, ClassifierSpec
from hfft.classifier.transforms import apply, fit_steps
from hfft.errors import BadInput

# For each type the function that fits it to classes, to several labels, to values.
_FIT: dict[str, dict[str, Callable[..., Model]]] = {
    "logistic-regression": {SINGLE: logistic.fit, MULTI: functools.partial(per_target.fit_labels, logistic.fit)},
    "linear-svm": {SINGLE: logistic.fit_svm, MULTI: functools.partial(per_target.fit_labels, logistic.fit_svm)},
    "svm": {
        SINGLE: svm.fit,
        MULTI: functools.partial(per_target.fit_labels, svm.fit),
        REGRESSION: functools.partial(per_target.fit_values, svm.fit_regression),
    },
    "knn": {SINGLE: knn.fit, MULTI: knn.fit, REGRESSION: functools.partial(knn.fit, regression=True)},
    "lda": {SINGLE: lda.fit},
    "nearest-centroid": {SINGLE: centroid.fit},
    "prototype": {SINGLE: centroid.fit_prototype},
    "easytl": {SINGLE: easytl.fit},
    "ridge": {SINGLE: ridge.fit, MULTI: ridge.fit, REGRESSION: ridge.fit_regression},
    "gradient-boosting": {
        SINGLE: boosting.fit,
        MULTI: functools.partial(per_target.fit_labels, boosting.fit),
        REGRESSION: functools.partial(per_target.fit_values, boosting.fit_regression),
    },
}
# The argument that is chosen on validation rows, its grid, and its value where nothing can be chosen.
_CHOSEN: dict[str, tuple[str, tuple[Any, ...], Any]] = {
    "logistic-regression": ("C", logistic.GRID, 1.0),
    "linear-svm": ("C", logistic.SVM_GRID, 1.0),
    "svm": ("C", svm.GRID, 1.0),
    "knn": ("n_neighbors", (5,), 1),
    "ridge": ("alpha", ridge.GRID[::-1], 1.0),
}


def fit(
    spec: ClassifierSpec,
    x: np.ndarray,
    y: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    target: np.ndarray | None = None,
    seed: int = 42,
    problem: str = SINGLE,
    names: tuple[str, ...] | None = None,
) -> Fitted:
    """Fit a classifier on features.

    The training and validation rows are the source domain; the rows that are classified later are of the target domain, if
    there is one.

    Args:
        x: training features `(N, D)`.
        y: classes `(N,)` from 0; 0 and 1 `(N, C)` for several labels; values `(N, C)` or `(N,)` for a regression.
        validation: features and targets of the rows on which an argument is chosen; None for cross-validation.
        target: features `(M, D)` of rows of the target domain, without labels, for CORAL, TCA, EasyTL, and statistics per
            domain.
        seed: of the folds and of random solvers.
        problem: by the config's `problem_type`.
        names: of the classes, for messages and for classes without rows.

    Raises:
        BadInput: no such classifier can be fitted on the rows.
    """
    check_problem(spec, problem)
    y = targets_of(y, problem)
    notes = check_training_rows(spec, x, y, problem, names)
    if spec.wants_target and target is None:
        what = "easytl" if spec.type == "easytl" else "classifier.transform"
        raise BadInput(f"classifier: {what} needs unlabelled rows of the target domain; give them in data.sets.target")
    x = np.asarray(x, np.float64)
    if target is not None:
        check_features(target, "data.sets.target")
        target = np.asarray(target, np.float64)
    of_source, of_target = fit_steps(spec.steps, x, target)
    inner = apply(of_source, x)
    model, chosen, more = _fit_model(
        spec,
        inner,
        y,
        None if validation is None else _transformed(of_source, validation, problem),
        None if target is None else apply(of_target, target),
        problem,
        seed,
    )
    return Fitted(spec.type, problem, x.shape[1], tuple(of_target), model, chosen, (*notes, *more))


def _transformed(steps: list[Any], rows: tuple[np.ndarray, np.ndarray], problem: str) -> tuple[np.ndarray, np.ndarray]:
    check_features(rows[0], "validation")
    return apply(steps, rows[0]), targets_of(rows[1], problem)


def _fit_model(
    spec: ClassifierSpec,
    x: np.ndarray,
    y: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray] | None,
    target: np.ndarray | None,
    problem: str,
    seed: int,
) -> tuple[Model, dict[str, Any], tuple[str, ...]]:
    """The model, how its argument was chosen, and lines to tell."""
    arguments = {key: value for key, value in spec.arguments.items() if key != "refit"}
    fit_one = functools.partial(_FIT[spec.type][problem], seed=seed)
    if spec.type == "easytl":
        return easytl.fit(x, y, arguments, seed, target=target), {}, ()
    key, default_grid, default = _CHOSEN.get(spec.type, (None, (), None))
    if key is None:
        return fit_one(x, y, arguments), {}, ()
    given = arguments.pop(key, None)
    grid = tuple(given) if isinstance(given, list) else default_grid if given is None else (given,)
    if len(grid) == 1:
        return fit_one(x, y, arguments | {key: grid[0]}), {}, ()

    def path(x: np.ndarray, y: np.ndarray, values: Sequence[Any]) -> Iterator[Model]:
        if spec.type == "logistic-regression":
            return logistic_path.path(x, y, arguments, key, values)
        return (fit_one(x, y, arguments | {key: value}) for value in values)

    choice = choose(path, grid, x, y, validation, problem, seed, default)
    if spec.refit and validation is not None:
        x, y = np.concatenate([x, validation[0]]), np.concatenate([y, validation[1]])
    model = fit_one(x, y, arguments | {key: choice.value})
    chosen = {"name": key, "value": choice.value, "grid": list(grid), "scores": choice.scores, "on": choice.on}
    left = f" (the last {len(grid) - len(choice.scores)} not tried)" if 0 < len(choice.scores) < len(grid) else ""
    how = f"{key} {choice.value:.4g} is the best of {len(grid)}{left} by {choice.on}"
    edge = choice.scores and choice.value in (min(grid), max(grid))
    at_edge = (f"{how}, at the end of the grid",) if edge else (how,)
    return model, chosen, choice.notes or at_edge


def arguments_used(spec: ClassifierSpec, fitted: Fitted) -> Mapping[str, Any]:
    """The arguments of the fit: those of the recipe, and the one that was chosen."""
    chosen = {fitted.chosen["name"]: fitted.chosen["value"]} if fitted.chosen else {}
    return {**spec.arguments, **chosen}
