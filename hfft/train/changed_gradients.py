"""Let methods change the gradient of a step before it is clipped by norm."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hfft.strategy.method import At, Method


def change_gradients(
    changing: Sequence[Method], with_modules: Sequence[Method], model: nn.Module, weight: Tensor | None, at: At
) -> None:
    """Call `change_gradients` of methods, in their order, with all parameters that learn.

    Args:
        with_modules: the methods whose modules learn with the model.
        weight: mean factor of the step's rows.
    """
    if not changing:
        return
    parameters = {name.removeprefix("module."): p for name, p in model.named_parameters() if p.requires_grad}
    for method in with_modules:
        modules = method.modules() or nn.ModuleDict()
        parameters |= {f"{method.name}/{name}": p for name, p in modules.named_parameters()}
    for method in changing:
        method.change_gradients(parameters, weight, at)
