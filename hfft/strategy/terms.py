"""Terms beside the task loss, each a named function of the model, the inputs and the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hfft.errors import BadInput

if TYPE_CHECKING:
    from hfft.strategy.spec import Strategy


@dataclass(frozen=True)
class Term:
    """A term of the loss: `weight * function(model, inputs, outputs)`, a scalar that is a mean over the batch."""

    name: str
    weight: float
    function: Callable[[nn.Module, Mapping[str, Any], Any], Tensor]


def build(strategy: Strategy, model: nn.Module, head_names: set[str]) -> list[Term]:
    """The terms a recipe asks for; those of weight 0 are left out, so that they cost and change nothing.

    Raises:
        BadInput: a term that means nothing for this model.
    """
    terms = []
    if strategy.l2_sp is not None and strategy.l2_sp.weight > 0:
        if hasattr(model, "peft_config"):
            raise BadInput("strategy.l2_sp: beside an adapter the pretrained weights stand still; leave it out")
        start = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad and n not in head_names}

        def pull(model: nn.Module, inputs: Mapping[str, Any], outputs: Any) -> Tensor:
            device = next(model.parameters()).device
            start.update({name: tensor.to(device) for name, tensor in start.items()})  # moves once, with the model
            return l2_sp(model, start)

        terms.append(Term("l2_sp", strategy.l2_sp.weight, pull))
    for config in getattr(model, "peft_config", {}).values():
        if config.peft_type == "ADALORA" and config.orth_reg_weight > 0:
            terms.append(Term("orthogonality", config.orth_reg_weight, lambda model, *_: orthogonality(model)))
    return terms


def orthogonality(model: nn.Module) -> Tensor:
    """Mean distance of AdaLoRA's factors from orthogonal ones, `||A Aᵀ - I||` and `||Bᵀ B - I||` (arXiv:2303.10512)."""
    found = []
    for name, p in model.named_parameters():
        if "lora_A." in name or "lora_B." in name:
            gram = p @ p.T if "lora_A." in name else p.T @ p
            found.append(torch.linalg.norm(gram - torch.eye(len(gram), device=p.device, dtype=p.dtype)))
    return torch.stack(found).mean()


def l2_sp(model: nn.Module, start: Mapping[str, Tensor]) -> Tensor:
    """Half the squared distance of the parameters from where they started (L2-SP, arXiv:1802.01483).

    Args:
        start: parameter name -> its pretrained value; parameters not named, such as a new head's, are free.
    """
    distance = torch.zeros((), device=next(model.parameters()).device)
    for name, parameter in model.named_parameters():
        name = name.removeprefix("module.")  # DistributedDataParallel's
        if name in start and parameter.requires_grad:
            distance = distance + (parameter - start[name].to(parameter.device)).square().sum()
    return distance / 2
