"""FSDP2: choose which modules are sharded, and gather the full model after training."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from hfft import layers
from hfft.errors import BadInput


def name_units(plugin: Any, model: Any) -> None:
    """Shard block by block, unless the launch names the units itself.

    By default, Accelerate 1.15 uses the modules that the architecture declares inseparable. In BERT and ViT these include
    the module around the input embedding, which Accelerate also shards separately, and this fails; other architectures
    declare none.

    Raises:
        BadInput: Accelerate cannot shard this architecture.
    """
    whole = model.get_base_model() if hasattr(model, "peft_config") else model
    try:
        whole.get_input_embeddings()
    except NotImplementedError:
        raise BadInput(
            f"FSDP: Accelerate shards the input embedding separately, but {type(whole).__name__} names none; launch "
            f"without FSDP, as recipes/launch/all_gpus.yaml does"
        ) from None
    if plugin.transformer_cls_names_to_wrap is None:
        found = {type(whole.get_submodule(path)) for block in layers.block_paths(whole) for path in block}
        own = [kind.__name__ for kind in found if not kind.__module__.startswith("torch.")]  # not every nn.Linear
        plugin.transformer_cls_names_to_wrap = sorted(own)


def prepared(trainer: Any) -> nn.Module | None:
    """Prepare a trainer's model for sharding; returns a full copy on the first process, for use after training."""
    name_units(trainer.accelerator.state.fsdp_plugin, trainer.model)
    return copy.deepcopy(trainer.model) if trainer.args.should_save else None


def gathered(trainer: Any, copied: nn.Module | None) -> nn.Module | None:
    """The copy with the weights gathered from all processes, on the first one; all processes must call this."""
    weights = trainer.accelerator.get_state_dict(trainer.model)
    if copied is not None:
        copied.load_state_dict(weights)
    return copied
