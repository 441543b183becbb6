"""Checks of a model that was just loaded: every weight outside the head is the pretrained one, and its dropout can be set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from hfft.errors import ModelError
from hfft.head import parameter_names
from hfft.wording import listing

if TYPE_CHECKING:
    from hfft.backbone.spec import Backbone
    from hfft.head.spec import Head


def check_dropout(model: PreTrainedModel, wanted: float | None) -> None:
    """Raise if the head has no dropout layer with the wanted rate: some configs have an entry that no head uses."""
    backbone = set(model.base_model.modules()) if model.base_model is not model else set()
    rates = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout) and m not in backbone]
    if wanted is not None and wanted not in rates:
        raise ModelError(f"head.dropout: the head of {model.config.model_type} has no dropout of its own; leave it out")


def check_whole(model: PreTrainedModel, loaded: dict[str, Any], backbone: Backbone, head: Head) -> None:
    """Raise if weights outside the head are not the pretrained ones, so that a model never trains with missing weights."""
    new = parameter_names(model, extra=head.new)
    masks = "embeddings.mask_token"  # which a model lacks that saw whole images alone
    new |= {name for name in loaded["missing_keys"] if name.endswith(masks)}
    missing = sorted(set(loaded["missing_keys"]) - new)
    mismatched = {name: shapes for name, *shapes in sorted(loaded["mismatched_keys"]) if name not in new}
    if not missing and not mismatched:
        return
    shown = [f"{n} {tuple(a)} in the checkpoint, {tuple(b)} in the model" for n, (a, b) in mismatched.items()]
    lists = [f"missing: {listing(missing)}"] * bool(missing) + [f"of another shape: {listing(shown)}"] * bool(shown)
    modules = sorted({name.rpartition(".")[0] for name in (*missing, *mismatched)})
    remedy = f"head.new=[{', '.join(modules)}]" if len(modules) <= 3 else "head.new"
    raise ModelError(
        f"{backbone.name} does not have all weights of the backbone; {'; '.join(lists)}; if these should start "
        f"untrained, name their modules: {remedy}"
    )
