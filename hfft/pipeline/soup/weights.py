"""Averages of models as pure functions of their weights, `name -> tensor`, as in a `state_dict`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from hfft.errors import BadInput

Weights = Mapping[str, Tensor]


def average(models: Sequence[Weights], rows: Sequence[float] | None = None) -> dict[str, Tensor]:
    """The mean of each tensor, computed in float64: a uniform soup (Wortsman et al. 2022, arXiv:2203.05482), or FedAvg.

    Tensors of integers, such as counters, are the first model's. For the mean of models, adapters must be merged into the
    weights: the mean of their changes B·A is not the product of the means of B and A.

    Args:
        rows: of each model, by which it counts (FedAvg; McMahan et al. 2017, arXiv:1602.05629); None: all alike.
    """
    if rows is None:
        return {
            name: torch.stack([model[name].double() for model in models]).mean(0).to(tensor.dtype)
            if tensor.is_floating_point()
            else tensor.clone()
            for name, tensor in models[0].items()
        }
    shares = [count / sum(rows) for count in rows]
    found = {name: torch.zeros_like(t, dtype=torch.float64) for name, t in models[0].items() if t.is_floating_point()}
    for model, share in zip(models, shares, strict=True):
        for name, total in found.items():
            total.add_(model[name].double(), alpha=share)
    return {name: found[name].to(t.dtype) if name in found else t.clone() for name, t in models[0].items()}


def interpolate(start: Weights, end: Weights, alpha: float, kept: Collection[str] = ()) -> dict[str, Tensor]:
    """`(1 - alpha) * start + alpha * end` (WiSE-FT; Wortsman et al. 2022, arXiv:2109.01903).

    Args:
        kept: names of tensors that are those of the end, such as a new head's, which had no weights at the start.
    """
    return {
        name: tensor.clone()
        if name in kept or not tensor.is_floating_point() or alpha == 1
        else torch.lerp(start[name].double(), tensor.double(), alpha).to(tensor.dtype)
        for name, tensor in end.items()
    }


def greedy(
    count: int, single: Sequence[float], score: Callable[[list[int]], float], smaller: bool = False
) -> list[int]:
    """The members of a greedy soup (recipe 1 of arXiv:2203.05482), the best one first.

    From the best model on, in order of their scores, each is added if the soup does not get worse by it.

    Args:
        single: the score of each model alone.
        score: members of a soup -> its score on the same held-out rows.
        smaller: whether smaller scores are better.
    """
    sign = -1.0 if smaller else 1.0
    order = sorted(range(count), key=lambda i: -sign * single[i])
    chosen, best = order[:1], sign * single[order[0]]
    for i in order[1:]:
        if (found := sign * score([*chosen, i])) >= best:
            chosen, best = [*chosen, i], found
    return chosen


def alphas(text: str) -> list[float]:
    """The numbers of `START:END:STEP`, END included, or of a list such as `0.3,0.5`.

    Raises:
        BadInput: it is neither, or a number is not between 0 and 1.
    """
    wanted = "expected START:END:STEP such as 0:1:0.1, or numbers between 0 and 1 such as 0.3,0.5"
    number = r"\d*\.?\d+"
    if re.fullmatch(rf"{number}:{number}:{number}", text):
        start, end, step = map(float, text.split(":"))
        count = int((end - start) / step + 1e-9) + 1 if step else 0
        found = [round(start + i * step, 10) for i in range(min(count, 1001))]
    elif re.fullmatch(rf"{number}(,{number})*", text):
        found = [float(part) for part in text.split(",")]
    else:
        found = []
    if not found or min(found) < 0 or max(found) > 1:
        raise BadInput(f"--with-start {text}: {wanted}")
    return found
