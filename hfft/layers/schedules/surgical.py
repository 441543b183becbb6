"""Scale each depth's learning rate by its relative gradient (Auto-RGN, Lee et al., arXiv:2210.11466)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from hfft.errors import ModelError
from hfft.layers.depth import Depths


def relative_gradients(model: nn.Module, depths: Depths, losses: Iterable[Tensor]) -> dict[int, float]:
    """‖gradient‖ / ‖weights‖ of each learning depth below the head (Auto-RGN, Lee et al., arXiv:2210.11466, section 5).

    The paper computes it for each tensor of a network whose head is trained; here the head is new, so it is left out, and
    depths are compared instead of tensors. Gradients already stored in the parameters are not changed.

    Args:
        losses: scalars that add up to the loss of a batch, such as those of its micro-batches; each is freed before the
            next is requested.
    """
    chosen = {n: p for n, p in model.named_parameters() if p.requires_grad and depths.of(n) != depths.head}
    total: dict[str, Tensor] = {}
    for loss in losses:
        found = torch.autograd.grad(loss, list(chosen.values()), allow_unused=True)
        for name, gradient in zip(chosen, found, strict=True):
            if gradient is not None:
                total[name] = gradient if name not in total else total[name] + gradient
    squares = {depths.of(name): [0.0, 0.0] for name in chosen}
    for name, parameter in chosen.items():
        for i, tensor in enumerate((total.get(name), parameter.detach())):
            squares[depths.of(name)][i] += 0.0 if tensor is None else tensor.float().square().sum().item()
    return {
        depth: (squares[depth][0] / squares[depth][1]) ** 0.5 if squares[depth][1] else 0.0 for depth in sorted(squares)
    }


def shares(relative: Mapping[int, float]) -> dict[int, float]:
    """Relative gradients divided by the largest: the factor for each depth's learning rate."""
    most = max(relative.values())
    return {depth: value / most for depth, value in relative.items()}


def largest(relative: Mapping[int, float], count: int) -> set[int]:
    """The `count` depths with the largest relative gradients.

    Raises:
        ModelError: there are fewer than `count`.
    """
    if count > len(relative):
        raise ModelError(
            f"layers.schedule: blocks is {count}; expected at most {len(relative)}, the depths below the head in layers.train"
        )
    return set(sorted(relative, key=lambda depth: (-relative[depth], -depth))[:count])
