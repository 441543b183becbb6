"""A model's outputs in the form that losses take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hfft.lazy import torch
from hfft.tasks.problem import PROBLEMS

if TYPE_CHECKING:
    from torch import Tensor


def logits_of(outputs: Any) -> Tensor:
    """The logits of a model's outputs; if the model names none (PP-LCNet), the first matrix, its scores (B, C)."""
    if torch.is_tensor(outputs):
        return outputs
    if not isinstance(outputs, Mapping):
        return outputs[0]
    for name in ("logits", "reconstruction"):  # the latter of a model that completes images
        if name in outputs:
            return outputs[name]
    return next(value for value in outputs.values() if torch.is_tensor(value) and value.ndim == 2)


def per_example(logits: Tensor, labels: Tensor, problem: str) -> tuple[Tensor, Tensor]:
    """Summed loss and number of targets of each row: two tensors `(B,)`, in float32 or higher.

    The sum is divided once, by the targets of the whole global batch: with a mean per micro-batch, the weight of a row
    would depend on how the batch was split. The heads in transformers do that, and some of them scale the gradient by
    the accumulation factor (transformers#47688).

    Raises:
        ValueError: the problem is unknown.
    """
    if problem not in PROBLEMS:
        raise ValueError(f"unknown problem {problem!r}")
    return PROBLEMS[problem].loss(logits, labels), PROBLEMS[problem].targets(labels)
