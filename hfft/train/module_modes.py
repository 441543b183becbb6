"""What a step asks of the model's tree, answered from lists: walking the tree takes longer than a head's step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from hfft import layers


class Modes:
    """Which modules are in `train()` in a step and which in `eval()`: found when what learns changes, then set at once."""

    def __init__(self) -> None:
        self._parameters: list[nn.Parameter] = []
        self._learns: tuple[bool, ...] = ()
        self._modes: list[tuple[dict[str, Any], bool]] = []

    def set(self, model: nn.Module, live_norms: bool = False) -> None:
        """Put each module of a model that is in `train()` in the mode that it trains in.

        Args:
            live_norms: let the statistics of frozen BatchNorms move.
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
    """Inside, what transformers' and Accelerate's loop asks of the tree in each step, though it stays the same, is at hand.

    That is `train()` and the parameters. Of a step of nano-vit's head that reads from the cache they take a sixth (0.6 of
    3.6 ms); of a full fine-tune less than can be told from noise. Modules and parameters must stay the same inside; which of them
    learn may change.
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
    if plain and not getattr(model, "use_kernels", False):  # a LeViT forgets in `train()` what it kept from `eval()`
        own["train"] = train
    vars(model).update(own)
    try:
        yield
    finally:
        for name in own:
            del vars(model)[name]
