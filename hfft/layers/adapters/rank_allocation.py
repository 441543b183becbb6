"""Adapters in training: allocate AdaLoRA's ranks step by step, and save an adapter's full state in checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback

from hfft.errors import BadInput

# PEFT's own files contain the ranks after pruning, and not the importance scores that decide the next pruning.
FILE = "adapter_state.safetensors"
_IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class AllocateRanks(TrainerCallback):
    """Allocates AdaLoRA's ranks to its layers after each optimiser step (arXiv:2303.10512).

    If the recipe sets neither `tinit` nor `tfinal`, ranks are not pruned for the first tenth of the run and are fixed for
    the last three tenths.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Tell the schedule how many steps the run has.

        Raises:
            BadInput: the schedule does not fit into that many steps.
        """
        config = model.peft_config["default"]
        config.total_step = state.max_steps
        if not config.tinit and not config.tfinal:
            config.tinit, config.tfinal = state.max_steps // 10, state.max_steps * 3 // 10
        if config.tinit + config.tfinal >= config.total_step:
            raise BadInput(
                f"layers.adapter.tinit: {config.tinit} and tfinal {config.tfinal} leave none of the run's "
                f"{config.total_step} steps for allocating ranks; make them smaller"
            )

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Score the ranks by this step's gradients, which are still there, and mask the least important ones."""
        model.base_model.update_and_allocate(state.global_step + 1)


def allocator(model: nn.Module) -> Any:
    """AdaLoRA's own importance scores of its ranks; None for every other adapter."""
    return getattr(getattr(model, "base_model", None), "rankallocator", None)


def save_state(model: Any, folder: str) -> None:
    """Write every learning parameter, and AdaLoRA's rank state, beside an adapter's checkpoint."""
    tensors = {f"weight {name}": p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    pattern = None
    if (ranks := allocator(model)) is not None:
        pattern = model.peft_config["default"].rank_pattern
        for kind in _IMPORTANCES:
            tensors |= {f"{kind} {name}": value.contiguous() for name, value in getattr(ranks, kind).items()}
    save_file(tensors, Path(folder) / FILE, metadata={"rank_pattern": json.dumps(pattern)})


@torch.no_grad()
def load_state(model: Any, folder: str) -> bool:
    """Restore what `save_state` wrote; False if a checkpoint has no such file."""
    path = Path(folder) / FILE
    if not path.is_file():
        return False
    parameters, ranks = dict(model.named_parameters()), allocator(model)
    with safe_open(path, "pt") as file:
        for key in file.keys():  # noqa: SIM118 - not a mapping
            kind, _, name = key.partition(" ")
            if kind == "weight":
                parameters[name].copy_(file.get_tensor(key))
            else:
                getattr(ranks, kind)[name] = file.get_tensor(key).to(model.device)
        if ranks is not None:
            model.peft_config["default"].rank_pattern = json.loads(file.metadata()["rank_pattern"])
    return True
