"""LoRA-FA: A is frozen, and the gradient of B is the one that changes the weights most like full training would.

Zhang et al. 2023 (arXiv:2308.03303), with the gradient of PEFT's `LoraFAOptimizer`, here for any optimiser and before clipping
by norm. `layers.lora_fa` freezes A; the recipe's `strategy` has no key for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hfft.lazy import torch
from hfft.strategy.method import At, Method, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn


class FrozenA(Method):
    """Changes the gradients of all B whose A is frozen."""

    needs = frozenset({"whole_weights"})

    def start(self, setting: Setting) -> None:
        """Find the pairs; a checkpoint may still change A, so the inverses are computed in the first step."""
        self.pairs = list(pairs(setting.model))
        self.inverses: list[Tensor] = []

    def change_gradients(self, parameters: Mapping[str, nn.Parameter], weight: Tensor | None, at: At) -> None:
        """Change them."""
        self.inverses = self.inverses or [gram_inverse(a, scaling) for a, _, scaling in self.pairs]
        for (_, b, _), inverse in zip(self.pairs, self.inverses, strict=True):
            if b.grad is not None:
                b.grad = (b.grad.to(inverse.dtype) @ inverse).to(b.grad.dtype)


def pairs(model: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter, float]]:
    """A, B and the scaling of each LoRA layer of a PEFT model whose A is frozen while B learns."""
    found: list[tuple[Any, Any, float]] = []
    modules: list[Any] = list(getattr(model, "modules", list)())
    for module in modules:
        scaling = getattr(module, "scaling", None)
        if isinstance(scaling, dict) and hasattr(module, "lora_A"):
            for name in module.lora_A:
                a, b = module.lora_A[name].weight, module.lora_B[name].weight
                if b.requires_grad and not a.requires_grad:
                    found.append((a, b, scaling[name]))
    return found


def gram_inverse(a: Tensor, scaling: float, delta: float = 1e-8) -> Tensor:
    """`(A A^T + delta I)^+ / scaling^2`, `(r, r)`, at least in float32.

    Args:
        a: `(r, inputs)`.
    """
    wide = a.detach() if a.dtype == torch.float64 else a.detach().float()
    eye = torch.eye(len(wide), dtype=wide.dtype, device=wide.device)
    return torch.linalg.pinv(wide @ wide.T + delta * eye) / scaling**2


def lora_fa(gradient: Tensor, a: Tensor, scaling: float) -> Tensor:
    """The gradient of B, `(outputs, r)`, for which `scaling * B A` moves as near as it can to the gradient of the whole weight.

    That is `G_B (A A^T)^-1 / scaling^2`: with `G_B = scaling * G A^T`, the least squares solution of `scaling * X A = G`.
    """
    inverse = gram_inverse(a, scaling)
    return (gradient.to(inverse.dtype) @ inverse).to(gradient.dtype)
