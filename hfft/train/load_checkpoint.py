"""Load all weights of a checkpoint."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from hfft.errors import RunError
from hfft.layers.adapters import rank_allocation
from hfft.wording import listing


def load_whole(model: Any, folder: str | None) -> bool:
    """Load a checkpoint like a pretrained model; returns False if transformers' Trainer must load it instead.

    The Trainer skips weights that were saved under older names (transformers#43701).

    Raises:
        RunError: weights are missing from the checkpoint.
    """
    if hasattr(model, "peft_config"):
        return bool(folder) and rank_allocation.load_state(model, str(folder))
    if not isinstance(model, PreTrainedModel):
        return False
    saved, found = type(model).from_pretrained(
        folder, config=model.config, dtype=model.dtype, use_safetensors=True, output_loading_info=True
    )
    if found["missing_keys"]:
        raise RunError(f"checkpoint {folder} lacks {listing(sorted(found['missing_keys']))}; start over with --fresh")
    model.load_state_dict(saved.state_dict())
    return True
