"""Metrics of a whole split, fed batch by batch: what is kept is a few numbers per example, never all logits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfft.strategy import per_example
from hfft.tasks.labels import Labels

ECE_BINS = 15


class Metrics:
    """Collects predictions and computes the named metrics; as `compute_metrics` of a Trainer it does so at the end.

    Memory per example: class indices and the confidence (single label), probabilities (multi-label), values (regression).

    Args:
        names: metrics of `hfft.tasks.table.METRICS` for the problem; `loss` and `n` are always reported.
    """

    def __init__(self, labels: Labels, names: Sequence[str]):
        self.labels, self.names = labels, tuple(names)
        self.result: dict[str, Any] = {}
        self._reset()

    def _reset(self) -> None:
        self._kept: dict[str, list[Tensor]] = {}  # on their device: to fetch each batch would make it wait

    def __call__(self, prediction: Any, compute_result: bool = True) -> dict[str, float]:
        """A Trainer's batch: feed it, and with `compute_result` compute and start over."""
        self.update(torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids))
        if not compute_result:
            return {}
        figures = self.compute()
        self._reset()
        return figures

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            logits: (B, C), or (B, 2) of loss and count where tokens were masked.
            labels: (B,) or (B, C).
        """
        logits = logits.detach().float()
        problem = self.labels.problem
        if problem == "masked_language_modelling":
            self._keep(loss=logits[:, 0], count=logits[:, 1])
            return
        loss, _ = per_example(logits, labels.to(logits.device), problem)
        if problem == "single_label_classification":
            probabilities = logits.softmax(1)
            confidence, predicted = probabilities.max(1)
            rank = (logits > logits.gather(1, labels.to(logits.device)[:, None])).sum(1)
            self._keep(loss=loss, predicted=predicted.int(), label=labels.int(), confidence=confidence, rank=rank.int())
        elif problem == "multi_label_classification":
            self._keep(loss=loss, probability=logits.sigmoid(), label=labels.bool())
        else:
            self._keep(loss=loss, predicted=logits, label=labels.float().view_as(logits))

    def _keep(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._kept.setdefault(name, []).append(value)

    def compute(self) -> dict[str, Any]:
        """Every metric of what was fed, `loss` (mean) and `n`; the per-class table is left in `result`.

        Raises:
            ValueError: nothing was fed.
        """
        if not self._kept:
            raise ValueError("no example was scored; the split is empty")
        kept = {name: torch.cat(values).cpu().numpy() for name, values in self._kept.items()}
        problem, n = self.labels.problem, len(kept["loss"])
        if problem == "masked_language_modelling":
            loss = float(kept["loss"].sum() / max(kept["count"].sum(), 1))
            found = {"perplexity": float(np.exp(min(loss, 700.0)))}
            figures = {"loss": loss, **{name: found[name] for name in self.names}, "n": n}
        else:
            compute = {"single_label_classification": single_label, "multi_label_classification": multi_label}
            found = compute.get(problem, regression)(kept, self.names)
            figures = {"loss": float(kept["loss"].mean()), **{name: float(found[name]) for name in self.names}, "n": n}
        self.result = {"figures": figures, **class_tables(kept, self.labels)}
        return figures


def single_label(kept: dict[str, np.ndarray], names: Sequence[str]) -> dict[str, float]:
    """The named metrics of class indices `label` and `predicted` (N,), `confidence` (N,) and `rank` of the true class (N,)."""
    from sklearn import metrics as sk

    label, predicted = kept["label"], kept["predicted"]
    compute: dict[str, Any] = {
        "accuracy": lambda: float((label == predicted).mean()),
        "balanced_accuracy": lambda: sk.recall_score(
            label, predicted, labels=np.unique(label), average="macro", zero_division=0
        ),
        "top5_accuracy": lambda: float((kept["rank"] < 5).mean()),
        "ece": lambda: expected_calibration_error(kept["confidence"], label == predicted),
        "matthews_correlation": lambda: sk.matthews_corrcoef(label, predicted),
        **{
            f"{score}_{average}": partial(function, label, predicted, average=average, zero_division=0)
            for score, function in (("f1", sk.f1_score), ("precision", sk.precision_score), ("recall", sk.recall_score))
            for average in ("macro", "micro", "weighted")
        },
    }
    return {name: compute[name]() for name in names}


def multi_label(kept: dict[str, np.ndarray], names: Sequence[str]) -> dict[str, float]:
    """The named metrics of `label` (N, C) and `probability` (N, C), a class being predicted from 0.5 on."""
    from sklearn import metrics as sk

    label, probability = kept["label"], kept["probability"]
    predicted = probability >= 0.5
    occurring = label.any(0)
    compute = {
        "f1_micro": lambda: sk.f1_score(label, predicted, average="micro", zero_division=0),
        "f1_macro": lambda: sk.f1_score(label, predicted, average="macro", zero_division=0),
        "subset_accuracy": lambda: float((label == predicted).all(1).mean()),
        "hamming_accuracy": lambda: float((label == predicted).mean()),
        "average_precision": lambda: (
            sk.average_precision_score(label[:, occurring], probability[:, occurring]) if occurring.any() else 0.0
        ),
    }
    return {name: compute[name]() for name in names}


def regression(kept: dict[str, np.ndarray], names: Sequence[str]) -> dict[str, float]:
    """The named metrics of `label` and `predicted` (N, D); correlations are means over the outputs, 0 for a constant."""
    from scipy import stats
    from sklearn import metrics as sk

    label, predicted = kept["label"], kept["predicted"]

    def correlation(function: Any) -> float:
        columns = range(label.shape[1])
        constant = [np.ptp(label[:, c]) == 0 or np.ptp(predicted[:, c]) == 0 for c in columns]
        return float(np.mean([0.0 if constant[c] else function(label[:, c], predicted[:, c])[0] for c in columns]))

    compute = {
        "mse": lambda: sk.mean_squared_error(label, predicted),
        "rmse": lambda: sk.root_mean_squared_error(label, predicted),
        "mae": lambda: sk.mean_absolute_error(label, predicted),
        "r2": lambda: sk.r2_score(label, predicted) if len(label) > 1 else 0.0,
        "pearson": lambda: correlation(stats.pearsonr),
        "spearman": lambda: correlation(stats.spearmanr),
    }
    return {name: compute[name]() for name in names}


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = ECE_BINS) -> float:
    """Mean distance of confidence (N,) and accuracy over equal-width bins (right edge included), weighted by size.

    In [0, 1]; Guo et al. 2017 (arXiv:1706.04599), 15 bins.
    """
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(which, weights=correct.astype(float) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def class_tables(kept: dict[str, np.ndarray], labels: Labels) -> dict[str, Any]:
    """Per class: name, precision, recall, F1 and support; and for single labels the confusion matrix, rows true."""
    from sklearn import metrics as sk

    if labels.problem == "single_label_classification":
        label, predicted = kept["label"], kept["predicted"]
        confusion = sk.confusion_matrix(label, predicted, labels=range(labels.size)) if labels.size <= 50 else None
        which: dict[str, Any] = {"labels": range(labels.size)}
    elif labels.problem == "multi_label_classification":
        label, predicted, confusion, which = kept["label"], kept["probability"] >= 0.5, None, {}
    else:
        return {}
    columns = sk.precision_recall_fscore_support(label, predicted, average=None, zero_division=0, **which)
    table = [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
        for name, p, r, f, n in zip(labels.names, *columns, strict=True)
    ]
    return {"classes": table, **({} if confusion is None else {"confusion": confusion.tolist()})}
