"""Modes and parameters of a model from lists: walking the module tree takes longer than a training step of the head."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from hfft import layers


class Modes:
    """Which modules are in `train()` and which in `eval()` during a step: found when trainable parameters change, then reused."""

    def __init__(self) -> None:
        self._parameters: list[nn.Parameter] = []
        self._learns: tuple[bool, ...] = ()
        self._modes: list[tuple[dict[str, Any], bool]] = []

    def set(self, model: nn.Module, live_norms: bool = False) -> None:
        """Put each module in its training mode, after `model.train()`: frozen ones in `eval()`.

        Args:
            live_norms: keep updating the statistics of frozen BatchNorms.
        """
        self._parameters = self._parameters or list(model.parameters())
        learns = tuple(p.requires_grad for p in self._parameters)
        if learns != self._learns or not self._modes:
            frozen = layers.frozen_modules(model)
            layers.hold(frozen)
            for inner in (m for module in frozen for m in module.modules() if live_norms):
                if getattr(inner, "track_running_stats", False):
                    inner.train()
            self._learns = learns
            self._modes = [(vars(module), module.training) for module in model.modules()]
        for own, training in self._modes:
            own["training"] = training


@contextlib.contextmanager
def asked_once(model: nn.Module) -> Iterator[None]:
    """Inside, `model.train()` and `model.parameters()`, which transformers and Accelerate call in each step, use stored lists.

    Without this they take a sixth of a step of nano-vit's head that reads from the cache (0.6 of 3.6 ms); in a full
    fine-tune the difference is within noise. Modules and parameters must stay the same inside; which of them learn may
    change.
    """
    modules, parameters = [vars(module) for module in model.modules()], list(model.parameters())
    walking = type(model).parameters

    def train(mode: bool = True) -> nn.Module:
        for own in modules:
            own["training"] = mode
        return model

    def listed(recurse: bool = True) -> Iterator[nn.Parameter]:
        return iter(parameters) if recurse else walking(model, recurse)

    own: dict[str, Any] = {"parameters": listed}
    plain = all(type(module).train in (nn.Module.train, PreTrainedModel.train) for module in model.modules())
    if plain and not getattr(model, "use_kernels", False):  # LeViT clears in `train()` what it cached in `eval()`
        own["train"] = train
    vars(model).update(own)
    try:
        yield
    finally:
        for name in own:
            del vars(model)[name]
