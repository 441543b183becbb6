"""Attacks on inputs as pure functions: `loss` maps inputs `(B, …)` to one loss per row, `(B,)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hfft.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor"], "Tensor"]


def fgsm(
    loss: Loss,
    x: Tensor,
    epsilon: float,
    step: float | None = None,
    start: Tensor | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> Tensor:
    """One step along the sign of the gradient (Goodfellow et al. 2015, arXiv:1412.6572).

    Args:
        x: `(B, …)`, in [low, high].
        epsilon: the largest change of an element (L-infinity), in the units of x.
        step: length of the step; None for epsilon.
        start: `(B, …)` a change to start from; None for none.

    Returns:
        `(B, …)`, within epsilon of x and within [low, high].
    """
    return pgd(loss, x, epsilon, epsilon if step is None else step, 1, start, low, high)


def pgd(
    loss: Loss,
    x: Tensor,
    epsilon: float,
    step: float,
    steps: int,
    start: Tensor | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> Tensor:
    """Projected ascent along the sign of the gradient, L-infinity (Madry et al. 2018, arXiv:1706.06083).

    `x' <- clip(x' + step * sign(grad loss(x')))`, where clip keeps x' within epsilon of x and within [low, high].
    Arguments and result are those of `fgsm`; `steps` is the number of steps.
    """
    least, most = (x - epsilon).clamp(min=low), (x + epsilon).clamp(max=high)
    found = x if start is None else torch.minimum(torch.maximum(x + start, least), most)
    for _ in range(steps):
        found = torch.minimum(torch.maximum(found + step * gradient(loss, found).sign(), least), most)
    return found


def pgd_attack(
    logits: Callable[[Tensor], Tensor],
    x: Tensor,
    labels: Tensor,
    epsilon: float = 8 / 255,
    step: float = 2 / 255,
    steps: int = 20,
    seed: int | None = 0,
) -> Tensor:
    """PGD-20 against cross-entropy from a random start, as robust accuracy is usually measured (Madry et al. 2018).

    Args:
        logits: images -> logits `(B, C)`, of a model in `eval()`; normalisation is its first step.
        x: images `(B, …)` in [0, 1].
        labels: `(B,)` classes.
        seed: of the start, uniform in [-epsilon, epsilon]; None to start from x.

    Returns:
        `(B, …)` images in [0, 1], within epsilon of x.
    """
    start = None
    if seed is not None:
        noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
        start = ((2 * noise - 1) * epsilon).to(x.device)
    return pgd(lambda images: F.cross_entropy(logits(images), labels, reduction="none"), x, epsilon, step, steps, start)


def gradient(loss: Loss, x: Tensor) -> Tensor:
    """The gradient of each row's loss at x, `(B, …)`; the gradients of a model's weights are not touched."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(loss(x).sum(), x)[0]


def per_row(values: Tensor, norm: float = 2.0) -> Tensor:
    """`(B, …)` divided by the norm of each row; a row of zeros stays."""
    lengths = torch.linalg.vector_norm(values.flatten(1), norm, dim=1)
    return values / lengths.clamp(min=torch.finfo(values.dtype).tiny).view(-1, *(1,) * (values.ndim - 1))


def within(values: Tensor, radius: float) -> Tensor:
    """`(B, …)` with each row shortened to a Euclidean norm of at most `radius`."""
    lengths = torch.linalg.vector_norm(values.flatten(1), dim=1).view(-1, *(1,) * (values.ndim - 1))
    return values * (radius / lengths.clamp(min=radius))
