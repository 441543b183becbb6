"""The task losses, example by example: what is summed here is divided once, by the examples of the whole global batch.

A mean per micro-batch would weigh examples by how the batch was split. transformers' own heads do that, and some of them
scale the gradient by the accumulation factor (transformers#47688).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def logits_of(outputs: Any) -> Tensor:
    """The logits among a model's outputs; of one that names none (PP-LCNet), its scores (B, C): the first matrix."""
    if not isinstance(outputs, Mapping):
        return outputs[0]
    if "logits" in outputs:
        return outputs["logits"]
    return next(value for value in outputs.values() if isinstance(value, Tensor) and value.ndim == 2)


def per_example(
    logits: Tensor, labels: Tensor, problem: str, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Summed loss and number of targets of each example: two tensors `(B,)`, in float32.

    | problem | logits | labels | loss of one target |
    |---|---|---|---|
    | single_label_classification | (B, C) | (B,) int | cross-entropy |
    | multi_label_classification | (B, C) | (B, C) 0 or 1 | binary cross-entropy, mean over the classes |
    | regression | (B, D) | (B, D) or (B,) | squared error, mean over the outputs |
    | masked_language_modelling | (B, T, V) | (B, T) int, -100 elsewhere | cross-entropy of a masked token |

    Args:
        label_smoothing: share of the target spread over all classes, in [0, 1).
        class_weights: (C,) factor of each class's loss.

    Raises:
        ValueError: unknown problem.
    """
    logits = logits.float()
    ones = torch.ones(len(logits), device=logits.device)
    if problem == "single_label_classification":
        loss = F.cross_entropy(logits, labels, class_weights, reduction="none", label_smoothing=label_smoothing)
        return loss, ones
    if problem == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none").mean(1), ones
    if problem == "regression":
        return (logits - labels.float().view_as(logits)).square().flatten(1).mean(1), ones
    if problem == "masked_language_modelling":
        loss = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")  # 0 where the label is -100
        return loss.sum(1), labels.ne(-100).sum(1).float()
    raise ValueError(f"unknown problem {problem!r}")


def count(labels: Tensor, problem: str) -> Tensor:
    """Number of targets in a batch of labels, what its summed loss is divided by; a scalar tensor where the labels are."""
    if problem == "masked_language_modelling":
        return labels.ne(-100).sum()
    return torch.full((), len(labels), device=labels.device)  # filled there: to bring a number would make a GPU wait


def balanced_weights(counts: list[int]) -> list[float]:
    """Weight of each class such that all count alike and the mean weight over the data is 1: `n / (C * n_c)`.

    Raises:
        ValueError: a class without examples.
    """
    if 0 in counts:
        raise ValueError(f"class {counts.index(0)} has no example to balance")
    return [sum(counts) / (len(counts) * c) for c in counts]
