"""Keep the factors of AdaLoRA adapters orthogonal (Zhang et al. 2023, arXiv:2303.10512). Used with every AdaLoRA adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import At, Method
from hfft.strategy.weight import Weight

if TYPE_CHECKING:
    from torch import Tensor, nn


class Orthogonality(Method):
    """Adds the mean distance of the factors from orthogonality, weighted by PEFT's `orth_reg_weight`."""

    def __init__(self, weight: float):
        self.weight = Weight(weight)

    def weights(self, model: nn.Module, at: At) -> dict[str, Tensor]:
        """The weighted distance."""
        return {"orthogonality": self.weight(at) * orthogonality(model)}


def orthogonality(model: nn.Module) -> Tensor:
    """Mean distance of AdaLoRA's factors from orthogonality, `||A A' - I||` and `||B' B - I||`."""
    found = []
    for name, p in model.named_parameters():
        if "lora_A." in name or "lora_B." in name:
            gram = p @ p.T if "lora_A." in name else p.T @ p
            found.append(torch.linalg.norm(gram - torch.eye(len(gram), device=p.device, dtype=p.dtype)))
    return torch.stack(found).mean()
