"""Adapters in training: AdaLoRA's ranks, shared out step by step, and checkpoints that hold an adapter as it stands."""

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

# PEFT's own files hold ranks already cut, and nothing of the importances by which more are cut later.
FILE = "adapter_state.safetensors"
_IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class AllocateRanks(TrainerCallback):
    """Shares AdaLoRA's ranks out over its layers after each step of the optimiser (arXiv:2303.10512).

    Where the recipe names no `tinit` and `tfinal`, ranks stay whole for the first tenth of the run and settled for the
    last three tenths.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Give the schedule the steps of the run.

        Raises:
            BadInput: a schedule that does not fit into them.
        """
        config = model.peft_config["default"]
        config.total_step = state.max_steps
        if not config.tinit and not config.tfinal:
            config.tinit, config.tfinal = state.max_steps // 10, state.max_steps * 3 // 10
        if config.tinit + config.tfinal >= config.total_step:
            raise BadInput(
                f"layers.adapter.tinit: {config.tinit} and tfinal {config.tfinal} leave none of the run's "
                f"{config.total_step} steps for sharing ranks out; make them smaller"
            )

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Weigh the ranks by the gradients of this step, which are still there, and mask those that matter least."""
        model.base_model.update_and_allocate(state.global_step + 1)


def allocator(model: nn.Module) -> Any:
    """AdaLoRA's own record of what its ranks matter; None for every other adapter."""
    return getattr(getattr(model, "base_model", None), "rankallocator", None)


def save_state(model: Any, folder: str) -> None:
    """Write every parameter that learns beside an adapter's checkpoint, and what AdaLoRA knows of its ranks."""
    tensors = {f"weight {name}": p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    pattern = None
    if (ranks := allocator(model)) is not None:
        pattern = model.peft_config["default"].rank_pattern
        for kind in _IMPORTANCES:
            tensors |= {f"{kind} {name}": value.contiguous() for name, value in getattr(ranks, kind).items()}
    save_file(tensors, Path(folder) / FILE, metadata={"rank_pattern": json.dumps(pattern)})


@torch.no_grad()
def load_state(model: Any, folder: str) -> bool:
    """Put back what `save_state` wrote; False where a checkpoint holds no such file."""
    path = Path(folder) / FILE
    if not path.is_file():
        return False
    parameters, ranks = dict(model.named_parameters()), allocator(model)
    with safe_open(path, "pt") as file:
        for key in file.keys():  # noqa: SIM118 - no mapping
            kind, _, name = key.partition(" ")
            if kind == "weight":
                parameters[name].copy_(file.get_tensor(key))
            else:
                getattr(ranks, kind)[name] = file.get_tensor(key).to(model.device)
        if ranks is not None:
            model.peft_config["default"].rank_pattern = json.loads(file.metadata()["rank_pattern"])
    return True
