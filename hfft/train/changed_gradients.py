"""Let methods change the gradient of a step before it is clipped by norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from hfft.strategy.method import At, Method


def change_gradients(of: Mapping[str, Sequence[Method]], model: nn.Module, weight: Tensor | None, at: At) -> None:
    """Call the hook `change_gradients` with all parameters that learn.

    Args:
        of: hook -> the methods that define it, in their order.
        weight: mean factor of the step's rows.
    """
    parameters = {name.removeprefix("module."): p for name, p in model.named_parameters() if p.requires_grad}
    for method in of["modules"]:
        modules = method.modules() or nn.ModuleDict()
        parameters |= {f"{method.name}/{name}": p for name, p in modules.named_parameters()}
    for method in of["change_gradients"]:
        method.change_gradients(parameters, weight, at)
