"""Attacks that measure a finished model, on images in [0, 1] before normalisation; the model is in `eval()`.

FGSM and PGD for the largest change of a pixel (`linf`) are those of `hfft.strategy.adversarial.attacks`; here are their
Euclidean forms (`l2`) and APGD. None touches weights, their gradients or the statistics of norms. A row that is wrong without
an attack is wrong under it, and one that a smaller radius makes wrong is so at a larger one, which contains the smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hfft.strategy.adversarial.attacks import Loss, fgsm, gradient, per_row, pgd_attack, within

Norm = Literal["linf", "l2"]
Logits = Callable[[Tensor], Tensor]  # images (B, C, H, W) in [0, 1] -> logits (B, classes)
APGD_STEPS = 100
MOMENTUM, ENOUGH = 0.75, 0.75  # alpha and rho of Croce & Hein (2020)
FIRST, SHORTENED, LEAST = (
    0.22,
    0.03,
    0.06,
)  # shares of all steps: the first interval, what each next one lacks, the shortest


@dataclass(frozen=True)
class Budget:
    """What an attack may do.

    Attributes:
        norm: of the change of an image.
        radius: its largest value.
        steps: of PGD; a step is a quarter of the radius, as 2/255 of 8/255.
        seed: of random starts.
    """

    norm: Norm
    radius: float
    steps: int = 20
    seed: int = 0


def cross_entropy(logits: Logits, labels: Tensor) -> Loss:
    """Images -> the loss of each row."""
    return lambda images: F.cross_entropy(logits(images), labels, reduction="none")


def step_along(x: Tensor, direction: Tensor, step: float | Tensor, norm: Norm) -> Tensor:
    """A step of ascent of this length: along the sign of the gradient, or for `l2` along the gradient."""
    return x + step * (direction.sign() if norm == "linf" else per_row(direction))


def projected(found: Tensor, x: Tensor, radius: float, norm: Norm) -> Tensor:
    """The nearest images of the ball around x, cut to [0, 1]: that leaves none farther from x, which is in [0, 1]."""
    change = (found - x).clamp(-radius, radius) if norm == "linf" else within(found - x, radius)
    return (x + change).clamp(0, 1)


def one_step(logits: Logits, x: Tensor, labels: Tensor, budget: Budget) -> Tensor:
    """FGSM (Goodfellow et al. 2015), for `l2` along the gradient itself (fast gradient method)."""
    loss = cross_entropy(logits, labels)
    if budget.norm == "linf":
        return fgsm(loss, x, budget.radius)
    return projected(step_along(x, gradient(loss, x), budget.radius, "l2"), x, budget.radius, "l2")


def steps(logits: Logits, x: Tensor, labels: Tensor, budget: Budget) -> Tensor:
    """PGD from a random start (Madry et al. 2018): the images after the last step."""
    if budget.norm == "linf":
        return pgd_attack(logits, x, labels, budget.radius, budget.radius / 4, budget.steps, budget.seed)
    loss, found = cross_entropy(logits, labels), random_start(x, budget)
    for _ in range(budget.steps):
        found = projected(step_along(found, gradient(loss, found), budget.radius / 4, "l2"), x, budget.radius, "l2")
    return found


def random_start(x: Tensor, budget: Budget) -> Tensor:
    """A random point of the ball around x, in [0, 1]: uniform in it, or for `l2` at a length uniform in its radius."""
    generator = torch.Generator().manual_seed(budget.seed)
    if budget.norm == "linf":
        uniform = torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        return projected(x + (2 * uniform - 1) * budget.radius, x, budget.radius, "linf")
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    lengths = torch.rand(len(x), *(1,) * (x.ndim - 1), generator=generator, dtype=x.dtype).to(x.device)
    return projected(x + per_row(noise) * lengths * budget.radius, x, budget.radius, "l2")


def checkpoints(count: int) -> list[int]:
    """The steps after which APGD looks back: intervals that become shorter, as shares of all steps."""
    interval, least, less = (max(int(share * count), 1) for share in (FIRST, LEAST, SHORTENED))
    found, at = [], interval
    while at <= count:
        found.append(at)
        interval = max(interval - less, least)
        at += interval
    return found


def apgd(logits: Logits, x: Tensor, labels: Tensor, budget: Budget, count: int = APGD_STEPS) -> Tensor:
    """APGD on cross-entropy: PGD with momentum that finds its own step (Croce & Hein 2020, arXiv:2003.01690, algorithm 1).

    The step starts at twice the radius. At a checkpoint it is halved, and the row goes back to its best images, if fewer than
    three quarters of the steps since the last one raised the loss, or if neither the step nor the best loss has changed since.
    A row that is wrong at any step is done.

    Args:
        x: `(B, …)` in [0, 1].
        labels: `(B,)` classes.
        count: number of steps.

    Returns:
        `(B, …)`: wrong images where they were found, otherwise those of the highest loss.
    """
    found = x.clone()
    rows, start = torch.arange(len(x), device=x.device), random_start(x, budget)
    loss, slope, wrong = _examined(logits, start, labels)
    state = {
        **{"x": x, "labels": labels, "now": start, "before": start, "slope": slope},
        **{"best": start, "best_slope": slope, "best_loss": loss, "loss": loss},
        "step": torch.full_like(loss, 2 * budget.radius),
        **{"risen": torch.zeros_like(loss), "seen_loss": loss, "halved": torch.ones_like(loss, dtype=torch.bool)},
    }
    last, looks = 0, set(checkpoints(count))
    for k in range(count):
        found[rows[wrong]] = state["now"][wrong]
        rows, state = rows[~wrong], {name: value[~wrong] for name, value in state.items()}
        if not len(rows):
            return found
        s = state
        step = s["step"].view(-1, *(1,) * (x.ndim - 1))
        ahead = projected(step_along(s["now"], s["slope"], step, budget.norm), s["x"], budget.radius, budget.norm)
        share = MOMENTUM if k else 1.0
        mixed = s["now"] + share * (ahead - s["now"]) + (1 - share) * (s["now"] - s["before"])
        s["before"], s["now"] = s["now"], projected(mixed, s["x"], budget.radius, budget.norm)
        loss, s["slope"], wrong = _examined(logits, s["now"], s["labels"])
        s["risen"], s["loss"] = s["risen"] + (loss > s["loss"]), loss
        _keep(s, loss > s["best_loss"], {"best": "now", "best_slope": "slope", "best_loss": "loss"})
        if k + 1 in looks:
            few = s["risen"] < ENOUGH * (k + 1 - last)
            same = ~s["halved"] & (s["seen_loss"] >= s["best_loss"])
            s["halved"], s["seen_loss"] = few | same, s["best_loss"]
            s["step"] = torch.where(s["halved"], s["step"] / 2, s["step"])
            _keep(s, s["halved"], {"now": "best", "slope": "best_slope", "loss": "best_loss"})
            s["risen"], last = torch.zeros_like(loss), k + 1
    found[rows] = torch.where(wrong.view(-1, *(1,) * (x.ndim - 1)), state["now"], state["best"])
    return found


def _examined(logits: Logits, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, its gradient, and whether each row is wrong."""
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        outputs = logits(images)
        losses = F.cross_entropy(outputs, labels, reduction="none")
        slope = torch.autograd.grad(losses.sum(), images)[0]
    return losses.detach(), slope, outputs.detach().argmax(1) != labels


def _keep(state: dict[str, Tensor], where: Tensor, pairs: dict[str, str]) -> None:
    """Replace entries by others in the rows `where`."""
    for name, source in pairs.items():
        new, old = state[source], state[name]
        state[name] = torch.where(where.view(-1, *(1,) * (old.ndim - 1)), new, old)


Attack = Callable[[Logits, Tensor, Tensor, Budget], Tensor]


def still_right(
    attack: Attack, logits: Logits, x: Tensor, labels: Tensor, right: Tensor, budget: Budget, size: int = 64
) -> Tensor:
    """Which rows are right `(N,)` before and after an attack; only those of `right` are attacked.

    Args:
        right: `(N,)` rows that are right so far.
        size: rows that are attacked at once.
    """
    left = right.clone()
    for places in right.nonzero()[:, 0].split(size):
        if not len(places):  # no row is right: there is one part, which is empty
            break
        images = attack(logits, x[places], labels[places], budget)
        with torch.no_grad():
            left[places] = logits(images).argmax(1) == labels[places]
    return left


def over_radii(
    logits: Logits, x: Tensor, labels: Tensor, right: Tensor, budget: Budget, radii: Sequence[float]
) -> list[Tensor]:
    """Which rows are right `(N,)` after PGD at each of some rising radii; rows that a smaller one made wrong stay so."""
    found = []
    for radius in radii:
        right = still_right(steps, logits, x, labels, right, Budget(budget.norm, radius, budget.steps, budget.seed))
        found.append(right)
    return found


def usual_radius(norm: Norm, side: int) -> float:
    """The radius that benchmarks use: 8/255 up to 64 pixels and 4/255 above (`linf`), 0.5 (`l2`)."""
    return 0.5 if norm == "l2" else 8 / 255 if side <= 64 else 4 / 255


def whole(norm: Norm, x: Tensor) -> float:
    """A radius that contains all images of this size: no answer can be right at it, unless by chance."""
    return 1.0 if norm == "linf" else math.sqrt(x[0].numel())
