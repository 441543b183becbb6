"""Adapters at prediction: load them onto their backbone, and let several share one backbone in memory."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, PretrainedConfig
from transformers.utils import find_adapter_config_file

from hfft import backbone, layers
from hfft.errors import BadInput
from hfft.layers.adapters.arguments import stock_loads


def is_apart(where: str, revision: str | None = None) -> bool:
    """Whether a folder or repository contains an adapter that transformers itself cannot load with its head and classes.

    transformers can if the backbone is stored beside the adapter and the adapter is of a type that it loads.
    """
    path = find_adapter_config_file(where, revision=revision)
    if path is None:
        return False
    config = json.loads(Path(path).read_text(encoding="utf-8"))
    beside = Path(where).is_dir() and any(Path(where).glob("model*.safetensors*"))
    whole = beside or config.get("base_model_name_or_path") == where
    return not whole or not stock_loads(str(config["peft_type"]).lower(), config)


def load_adapted(where: str, revision: str | None = None) -> tuple[Any, PretrainedConfig]:
    """The model of an adapter, on its backbone, and its config.

    Raises:
        BadInput: there is no adapter, or it is for a model that classifies neither images nor texts.
    """
    from peft import PeftModel

    found = layers.published(where, revision)
    base, own = backbone.source(found.base), (found.folder / "config.json").is_file()
    safe: dict[str, Any] = {"revision": found.base_revision, "trust_remote_code": False}
    config = (
        AutoConfig.from_pretrained(found.folder, trust_remote_code=False)
        if own
        else AutoConfig.from_pretrained(base, **safe)
    )
    if not own and found.task:  # only the number of classes is known, from the head's tensors
        config.architectures = [f"For{found.task}"]
        config.num_labels = outputs(found) or config.num_labels
    kind = (config.architectures or [""])[0]
    task = next((t for t in ("ImageClassification", "SequenceClassification") if t in kind), None)
    if task is None:
        raise BadInput(
            f"{where} is an adapter of a {kind or 'model without a task'}; hfft predicts classes of images and texts"
        )
    auto = getattr(transformers, f"AutoModelFor{task}")
    options: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True, "ignore_mismatched_sizes": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that PEFT will have to change
        adapted = PeftModel.from_pretrained(
            auto.from_pretrained(base, config=config, **options, **safe), str(found.folder)
        )
    layers.mend_convolutions(adapted)
    return adapted, config


def outputs(found: layers.Published) -> int | None:
    """Number of classes of the head in an adapter's file: the rows of its last bias or matrix."""
    with safe_open(found.weights, "pt") as file:
        heads = [key for key in file.keys() if "lora_" not in key and ("classifier" in key or "score" in key)]  # noqa: SIM118
        return file.get_slice(heads[-1]).get_shape()[0] if heads else None


@torch.no_grad()
def share(model: nn.Module, pool: dict[tuple[Any, ...], nn.Parameter]) -> None:
    """Make a model use the tensors of `pool` that are bit-identical to its own, and add its others to the pool.

    For prediction: models trained from the same backbone then keep it in memory once. Each keeps its own adapter and head,
    so classes and adapter types may differ, and nothing has to be switched on or off.
    """
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            key = (parameter.dtype, tuple(parameter.shape), parameter.device, layers.digest(parameter))
            parameter.requires_grad = False
            module._parameters[name] = pool.setdefault(key, parameter)
