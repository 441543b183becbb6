"""How good: the figures of the task, each with an interval of 95 % over the rows of the split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hfft.evaluate import weighted
from hfft.evaluate.intervals import bootstrap, figure, wilson
from hfft.evaluate.outputs import Outputs
from hfft.scorecard.evidence import Evidence, about, logits_and_references, probabilities
from hfft.scorecard.words import with_interval
from hfft.tasks.problem import PROBLEMS

MOST_CLASSES = 100  # of which areas under curves are computed, and twice as many numbers of a confusion matrix each


def block(evidence: Evidence) -> dict[str, Any]:
    """Figures of the split, by problem; `mean_per_class_accuracy` is balanced accuracy as transfer learning names it."""
    outputs = evidence.scored
    problem = PROBLEMS[outputs.labels.problem]
    if problem.per_token:
        found = _of_tokens(outputs, evidence.seed)
    elif problem.classes:
        found = of_classes(outputs, evidence.seed)
    else:
        found = (of_several if problem.multi_label else of_values)(outputs, evidence.seed)
    return {**about(outputs, evidence.seed), "figures": found}


def of_classes(outputs: Outputs, seed: int) -> dict[str, Any]:
    """Accuracy (Wilson's interval) and its variants, F1, Matthews' correlation, areas under curves, NLL and Brier score.

    `auroc` and `auprc` are those of the second class for two classes, else the means over the classes with rows, each against
    the others; `brier` is the sum over the classes, from 0 to 2.
    """
    p, references = probabilities(outputs)
    n, classes = p.shape
    predictions = p.argmax(1)
    losses = np.asarray(outputs.losses, float)
    truth = references[:, None] == np.arange(classes)
    brier = ((p - truth) ** 2).sum(1)
    curves = _curves(p[:, 1:] if classes == 2 else p, truth[:, 1:] if classes == 2 else truth)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = weighted.of_classes(weighted.confusion(weights, references, predictions, classes))
        found["mean_per_class_accuracy"] = found["balanced_accuracy"]
        return {
            **found,
            **curves(weights),
            "nll": weighted.mean(weights, losses),
            "brier": weighted.mean(weights, brier),
        }

    found = bootstrap(figures, n, seed, cost=max(2 * min(classes, MOST_CLASSES), classes**2 // n))
    right = int((predictions == references).sum())
    return {**found, "accuracy": figure(right / n, *wilson(right, n))}


def of_several(outputs: Outputs, seed: int) -> dict[str, Any]:
    """Multi-label: decisions at 0.5, ranking of the classes, loss per row."""
    p, references = probabilities(outputs)
    truth, chosen = references > 0.5, p > 0.5
    right, positives, answered = chosen & truth, truth.astype(float), chosen.astype(float)
    exact, hamming = (chosen == truth).all(1).astype(float), (chosen == truth).mean(1)
    losses, curves = np.asarray(outputs.losses, float), _curves(p, truth)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        hits, sums = weights @ right.astype(float), weights @ positives + weights @ answered
        f1 = np.divide(2 * hits, sums, out=np.zeros_like(hits), where=sums > 0)
        return {
            "subset_accuracy": weighted.mean(weights, exact),
            "hamming_accuracy": weighted.mean(weights, hamming),
            "f1_micro": np.divide(2 * hits.sum(1), sums.sum(1), out=np.zeros(len(hits)), where=sums.sum(1) > 0),
            "f1_macro": f1.mean(1),
            **curves(weights),
            "loss": weighted.mean(weights, losses),
        }

    return bootstrap(figures, len(p), seed, cost=2 * min(p.shape[1], MOST_CLASSES))


def of_values(outputs: Outputs, seed: int) -> dict[str, Any]:
    """Regression: errors, explained variance and correlations, and where the residuals are; means over several outputs."""
    values, references = logits_and_references(outputs)
    references = references.reshape(values.shape).astype(float)
    residuals = values - references
    squared, absolute = (residuals**2).mean(1), np.abs(residuals).mean(1)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(1)[:, None]
        middle, guess = weights @ references / total, weights @ values / total
        spread = weights @ references**2 / total - middle**2
        spread_of_guess = weights @ values**2 / total - guess**2
        both = weights @ (references * values) / total - middle * guess
        error = weights @ residuals**2 / total
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation = both / np.sqrt(spread * spread_of_guess)
            explained = 1 - error / spread
        mse = weighted.mean(weights, squared)
        return {
            "mse": mse,
            "rmse": np.sqrt(mse),
            "mae": weighted.mean(weights, absolute),
            "r2": explained.mean(1),
            "pearson": correlation.mean(1),
            "bias": weighted.mean(weights, residuals.mean(1)),
        }

    found = bootstrap(figures, len(values), seed, cost=2 * values.shape[1])
    quantiles = {f"residual_{q}": figure(np.percentile(residuals, q)) for q in (5, 50, 95)}
    return found | _spearman(values, references, seed) | quantiles


def _spearman(values: np.ndarray, references: np.ndarray, seed: int) -> dict[str, Any]:
    """Correlation of the ranks; its bootstrap keeps the ranks of the split (they are ranked once)."""
    from scipy.stats import rankdata

    x, y = rankdata(values, axis=0), rankdata(references, axis=0)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(1)[:, None]
        mx, my = weights @ x / total, weights @ y / total
        both = weights @ (x * y) / total - mx * my
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.sqrt((weights @ x**2 / total - mx**2) * (weights @ y**2 / total - my**2))
            return {"spearman": (both / spread).mean(1)}

    return bootstrap(figures, len(values), seed, cost=values.shape[1])


def _of_tokens(outputs: Outputs, seed: int) -> dict[str, Any]:
    """Masked tokens or patches: loss of each, and the perplexity of tokens, resampled by rows."""
    tokens = "perplexity" in PROBLEMS[outputs.labels.problem].metrics
    losses, targets = np.asarray(outputs.losses, float), np.asarray(outputs.targets, float)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        loss = weights @ losses / np.maximum(weights @ targets, 1)
        return {"loss": loss, "perplexity": np.exp(loss)} if tokens else {"reconstruction_loss": loss}

    return bootstrap(figures, len(losses), seed)


def _curves(scores: np.ndarray, truth: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """AUROC and AUPRC, means over the columns of `(N, K)` that have both kinds of rows; none above MOST_CLASSES columns."""
    usable = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        if not usable or truth.shape[1] > MOST_CLASSES:
            return {}
        pairs = [weighted.auroc_and_average_precision(weights, scores[:, k], truth[:, k]) for k in usable]
        areas, precisions = (np.stack(found) for found in zip(*pairs, strict=True))
        with np.errstate(invalid="ignore"):
            return {"auroc": _mean(areas), "auprc": _mean(precisions)}

    return figures


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of the finite values; nan without one."""
    finite = np.isfinite(values)
    return np.where(finite, values, 0).sum(0) / np.where(finite.any(0), finite.sum(0), np.nan)


def lines(found: dict[str, Any]) -> list[str]:
    """One line per figure."""
    return [f"{name} {with_interval(value)}" for name, value in found["figures"].items()]
