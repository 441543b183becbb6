"""A copy of a model that follows it as an exponential moving average (Tarvainen and Valpola 2017, arXiv:1703.01780)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hfft.lazy import torch
from hfft.strategy.average.means import learning
from hfft.strategy.outputs import logits_of
from hfft.strategy.tensors import whole

if TYPE_CHECKING:
    from torch import Tensor, nn


class AveragedCopy:
    """A frozen copy in `eval()`; it begins with the weights that the model has now."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.learning = learning(model)
        self.copy = copy.deepcopy(model).requires_grad_(False).eval()

    def logits(self, inputs: Mapping[str, Any]) -> Tensor:
        """Its logits, without a gradient."""
        with torch.no_grad():
            return logits_of(self.copy(**inputs))

    def update(self, step: int, decay: float) -> None:
        """Move it towards the model; statistics of norms are not averaged but taken over.

        Args:
            decay: share of the old average that stays, less in the first steps: `min(decay, 1 - 1 / (step + 1))`.
        """
        keep = min(decay, 1 - 1 / (step + 1))
        with torch.no_grad():
            mine = dict(self.copy.named_parameters())
            for name, parameter in self.model.named_parameters():
                if name in self.learning:
                    mine[name].lerp_(whole(parameter.detach()), 1 - keep)
        self._copy_buffers()

    def state(self) -> dict[str, Tensor]:
        """The averages of the weights that learn."""
        return {name: p.detach() for name, p in self.copy.named_parameters() if name in self.learning}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore them; the model itself is already restored."""
        with torch.no_grad():
            for name, parameter in self.copy.named_parameters():
                if name in self.learning:
                    parameter.copy_(state[name])
        self._copy_buffers()

    def _copy_buffers(self) -> None:
        with torch.no_grad():
            for buffer, own in zip(self.copy.buffers(), self.model.buffers(), strict=True):
                buffer.copy_(own)
