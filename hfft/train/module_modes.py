"""What a step asks of the model's tree, answered from lists: walking the tree takes longer than a head's step."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from hfft import layers

_LOMO = "lomo_optim"


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
    """Inside, what transformers' and Accelerate's loop asks for in each step, though it stays the same, is at hand.

    That is the model's modules (`train()`), its parameters and how many they are, and whether LOMO is installed, which Accelerate
    looks for on the disk twice a step. Modules and parameters must stay the same inside; which of them learn may change.
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
    if isinstance(model, PreTrainedModel):  # transformers counts them to estimate the operations of a step
        walked = model.num_parameters
        kept = functools.cache(lambda exclude: walked(exclude_embeddings=exclude))

        def count(only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
            return walked(True, exclude_embeddings) if only_trainable else kept(exclude_embeddings)

        own["num_parameters"] = count
    absent = _LOMO not in sys.modules and importlib.util.find_spec(_LOMO) is None
    if absent:
        sys.modules[_LOMO] = None  # type: ignore[assignment]  # which is how Python marks what cannot be imported
    vars(model).update(own)
    try:
        yield
    finally:
        for name in own:
            del vars(model)[name]
        if absent:
            del sys.modules[_LOMO]
