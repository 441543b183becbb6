"""FSDP2: which modules are divided among the processes, and the whole model again once they have trained it."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from hfft import layers
from hfft.errors import BadInput


def name_units(plugin: Any, model: Any) -> None:
    """Divide block by block, unless the launch names the units itself.

    Accelerate 1.15 takes what the architecture calls inseparable, in BERT and ViT also the module around the input
    embedding, and divides that embedding once more by itself, which fails; for other architectures it knows no unit.

    Raises:
        BadInput: Accelerate cannot divide this architecture.
    """
    whole = model.get_base_model() if hasattr(model, "peft_config") else model
    try:
        whole.get_input_embeddings()
    except NotImplementedError:
        raise BadInput(
            f"FSDP: Accelerate divides the input embedding by itself, and {type(whole).__name__} names none; launch "
            f"without FSDP, as recipes/launch/all_gpus.yaml does"
        ) from None
    if plugin.transformer_cls_names_to_wrap is None:
        found = {type(whole.get_submodule(path)) for block in layers.block_paths(whole) for path in block}
        own = [kind.__name__ for kind in found if not kind.__module__.startswith("torch.")]  # not every nn.Linear
        plugin.transformer_cls_names_to_wrap = sorted(own)


def prepared(trainer: Any) -> nn.Module | None:
    """Make a trainer's model ready to be divided; the first process keeps a whole copy, for what comes after."""
    name_units(trainer.accelerator.state.fsdp_plugin, trainer.model)
    return copy.deepcopy(trainer.model) if trainer.args.should_save else None


def gathered(trainer: Any, copied: nn.Module | None) -> nn.Module | None:
    """The copy with the weights that the processes hold together, on the first one; all must ask."""
    weights = trainer.accelerator.get_state_dict(trainer.model)
    if copied is not None:
        copied.load_state_dict(weights)
    return copied
