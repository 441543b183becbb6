"""A digest of everything except the rows that the outputs of a frozen prefix depend on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel, TrainingArguments

from hfft.frozen_cache.split_point import Cut
from hfft.layers.frozen_check import digest

FORMAT = 2  # format of stored states: a new number ignores everything stored before


def fingerprint(cut: Cut, model: PreTrainedModel, args: TrainingArguments) -> str:
    """A digest of everything except the rows that stored states depend on."""
    tensors: dict[str, str] = {}
    for path in cut.stands:
        stand = model.get_submodule(path)
        # An inserted module that learns comes after the states, so they do not depend on it.
        learnt = {n for n, p in stand.named_parameters() if p.requires_grad}
        named = [(n, t) for n, t in (*stand.named_parameters(), *stand.named_buffers()) if n not in learnt]
        tensors |= {f"{path}.{name}": digest(tensor) for name, tensor in named}
    what = {
        **_conditions(args),
        "config": _config(model),
        "cut": [sorted(cut.stands), repr(cut.entry), repr(cut.kept)],
        "tensors": tensors,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def model_fingerprint(model: nn.Module, args: TrainingArguments) -> str:
    """A digest of everything except the rows that the outputs of a whole model depend on."""
    what = {
        **_conditions(args),
        "modules": repr(model),
        "configs": [_config(module) for module in model.modules() if isinstance(module, PreTrainedModel)][:1],
        "tensors": {name: digest(tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())},
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def _conditions(args: TrainingArguments) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "versions": [torch.__version__, transformers.__version__],
        "device": args.device.type,
        "precision": [args.bf16, args.fp16],
    }


def _config(model: PreTrainedModel) -> dict[str, Any]:
    named = ("_name_or_path", "id2label", "label2id", "problem_type", "transformers_version")
    return {name: value for name, value in model.config.to_dict().items() if name not in named}
