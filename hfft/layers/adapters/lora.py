"""LoRA's two matrices: B's own learning rate (LoRA+) and a frozen A (LoRA-FA)."""

from __future__ import annotations

from torch import nn

from hfft.errors import ModelError


def is_lora_b(name: str) -> bool:
    """Whether a parameter is LoRA's B, by its name."""
    return ".lora_B." in name


def freeze_a(model: nn.Module) -> None:
    """Freeze A of all LoRA layers (LoRA-FA, arXiv:2308.03303).

    Raises:
        ModelError: there are none, or A is no matrix, as for convolutions.
    """
    found = [parameter for name, parameter in model.named_parameters() if ".lora_A." in name]
    if not found:
        raise ModelError(
            "layers.lora_fa: the adapter has no LoRA layers; use layers.adapter type lora, or leave it out"
        )
    if any(parameter.ndim != 2 for parameter in found):
        raise ModelError("layers.lora_fa: LoRA of convolutions has no matrix A; name linear layers in target_modules")
    for parameter in found:
        parameter.requires_grad_(False)
