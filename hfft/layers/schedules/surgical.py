"""Say how fast each depth learns by its relative gradient (Auto-RGN, Lee et al., arXiv:2210.11466)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from hfft.errors import ModelError
from hfft.layers.depth import Depths


def relative_gradients(model: nn.Module, depths: Depths, losses: Iterable[Tensor]) -> dict[int, float]:
    """‖gradient‖ / ‖weights‖ of each depth below the head that learns (Auto-RGN, Lee et al., arXiv:2210.11466, section 5).

    The paper takes it for each tensor of a network whose head is trained; here the head is new, so it is left out, and
    what is compared are depths. The gradients that the parameters hold are left alone.

    Args:
        losses: scalars whose sum is the loss of a batch, such as those of its micro-batches; each is freed before the
            next is asked for.
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
    """Relative gradients as shares of the largest: what each depth's learning rate is multiplied by."""
    most = max(relative.values())
    return {depth: value / most for depth, value in relative.items()}


def largest(relative: Mapping[int, float], count: int) -> set[int]:
    """The `count` depths with the largest relative gradients.

    Raises:
        ModelError: there are not as many.
    """
    if count > len(relative):
        raise ModelError(
            f"layers.schedule: blocks is {count}, of {len(relative)} depths below the head that layers.train lets learn"
        )
    return set(sorted(relative, key=lambda depth: (-relative[depth], -depth))[:count])
