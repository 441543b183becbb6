"""All scores of one model's features."""

from __future__ import annotations

import numpy as np

from hfft.errors import BadInput
from hfft.evaluate.logme import logme
from hfft.rank.h_score import h_score
from hfft.rank.nce import nce
from hfft.rank.probe import FOLDS, kind, linear_probe, nearest_neighbours
from hfft.wording import listing


def scores(
    features: np.ndarray,
    targets: np.ndarray,
    source_classes: np.ndarray | None = None,
    seed: int = 42,
    folds: int = FOLDS,
) -> dict[str, float | None]:
    """LogME, H-score, linear probe, k-NN and NCE of features; None for those that do not suit the targets.

    Args:
        features: `(N, D)`.
        targets: as `checked_targets` returns them.
        source_classes: `(N,)` predictions of the model's own classifier, if it has one.

    Raises:
        BadInput: features are not finite, or all rows have the same.
    """
    check_features(features)
    classes = kind(targets) == "classes"
    return {
        "logme": logme(features, targets),
        "linear": linear_probe(features, targets, seed, folds),
        "knn": nearest_neighbours(features, targets, seed, folds),
        "h_score": h_score(features, targets) if classes else None,
        "nce": nce(source_classes, targets) if classes and source_classes is not None else None,
    }


def check_features(features: np.ndarray) -> None:
    """Raise BadInput if features are not finite, or equal for all rows."""
    wrong = ~np.isfinite(features).all(1)
    if wrong.any():
        raise BadInput(
            f"the features of {wrong.sum()} of {len(features)} rows are not finite; load the model with "
            f"backbone.dtype=float32, or leave it out"
        )
    if not np.ptp(features, axis=0).any():
        raise BadInput("all rows have the same features; use another pooling, or leave the model out")


def checked_targets(
    targets: np.ndarray, names: tuple[str, ...] = (), folds: int = FOLDS
) -> tuple[np.ndarray, list[str]]:
    """Targets that scores can be computed for, and what a user should know about them.

    Numbers of a regression are standardised, since LogME has no intercept and its value depends on their scale; labels that
    are the same in all rows are left out.

    Args:
        targets: `(N,)` integers for classes, else `(N,)` or `(N, C)` floats.
        names: of the classes.

    Raises:
        BadInput: there are fewer rows than folds, fewer than two classes, no class with a row per fold, or all rows have the
            same targets.
    """
    if len(targets) < folds:
        raise BadInput(
            f"--rows: {len(targets)} rows are fewer than the {folds} folds of cross-validation; use more rows"
        )
    if kind(targets) == "classes":
        found, counts = np.unique(targets, return_counts=True)
        if len(found) < 2:
            raise BadInput("all rows are of one class; models are ranked by how well they tell classes apart")
        if counts.max() < folds:
            raise BadInput(
                f"no class has {folds} rows, one for each fold of cross-validation; use more rows, or fewer classes"
            )
        few = [f"{names[i] if names else i} ({n})" for i, n in zip(found, counts, strict=True) if n < folds]
        several = f"classes with fewer rows than the {folds} folds, which some folds do not learn: {listing(few)}"
        return targets, [several] if few else []
    wide = targets.reshape(len(targets), -1).astype(np.float64)
    varying = np.ptp(wide, axis=0) > 0
    if not varying.any():
        raise BadInput("all rows have the same targets; models are ranked by how well they explain differences")
    gone = [names[i] if names else str(i) for i in np.flatnonzero(~varying)]
    notes = [f"targets that are the same in all rows are left out: {listing(gone)}"] if gone else []
    wide = wide[:, varying]
    if kind(targets) == "labels":
        return wide, notes
    return (wide - wide.mean(0)) / wide.std(0), notes
