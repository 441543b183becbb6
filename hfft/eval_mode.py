"""Use a model in `eval()` for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextlib.contextmanager
def modes_restored(model: nn.Module) -> Iterator[None]:
    """A context after which each module is in the mode, `train()` or `eval()`, that it was in before."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """A context with the model in `eval()`; each module's mode is restored."""
    with modes_restored(model):
        model.eval()
        yield
