"""Which modules are in `train()` in a step, and which in `eval()`: found when what learns changes, then set at once."""

from __future__ import annotations

from typing import Any

from torch import nn

from hfft import layers


class Modes:
    """Holds what is frozen still in each training step; walking the tree anew each time takes longer than a head's step."""

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
