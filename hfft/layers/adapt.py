"""Choose what learns: freeze by depth, or add a PEFT adapter; and find what must keep still while the rest trains."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hfft import head
from hfft.errors import ModelError, first_line
from hfft.layers.depth import Depths


def adapt(
    model: PreTrainedModel, train: str, adapter: dict[str, Any] | None, depths: Depths, head_names: set[str]
) -> nn.Module:
    """Freeze the model as `train` says, or wrap it in an adapter; the head always learns.

    Args:
        train: `all`, `head` or `last-N`, N blocks counted from the head.
        adapter: a PEFT type and PEFT's own arguments; targets not named are found from structure.

    Raises:
        ModelError: `last-N` asks for more blocks than there are, or the adapter does not fit the architecture.
    """
    if adapter is not None:
        return _add_adapter(model, adapter, depths, head_names)
    first = 0
    if train == "head":
        first = depths.head
    elif train.startswith("last-"):
        count = int(train.removeprefix("last-"))
        if count > depths.blocks:
            most = f"at most last-{depths.blocks}, or all" if depths.blocks else "all or head"
            raise ModelError(f"layers.train: {train} of {depths.blocks} blocks; name {most}")
        first = depths.head - count
    for name, parameter in model.named_parameters():
        if depths.of(name) < first:  # what the architecture itself keeps fixed, such as sinusoids, stays so
            parameter.requires_grad = False
    return model


def _add_adapter(model: PreTrainedModel, adapter: dict[str, Any], depths: Depths, head_names: set[str]) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    arguments: dict[str, Any] = {"target_modules": adapter_targets(model, depths)}
    arguments.update({key: value for key, value in adapter.items() if key != "type"})
    saved = [*head.top_modules(model, head_names), *(arguments.pop("modules_to_save", None) or [])]
    try:
        with warnings.catch_warnings():  # PEFT sees for itself which way round GPT-2's layers hold their weights
            warnings.filterwarnings("ignore", message="fan_in_fan_out")
            return get_peft_model(model, LoraConfig(**arguments, modules_to_save=saved))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"layers.adapter: {model.config.model_type} cannot take it: {first_line(error)}") from error


def adapter_targets(model: nn.Module, depths: Depths) -> list[str]:
    """The layers an adapter goes to: the linear layers of the blocks, or the convolutions where there are none."""
    blocks = [
        (path, module) for path, module in model.named_modules() if 1 <= depths.modules.get(path, 0) <= depths.blocks
    ]
    linear = [path for path, module in blocks if isinstance(module, (nn.Linear, Conv1D))]
    return linear or [path for path, module in blocks if isinstance(module, nn.Conv2d) and module.groups == 1]


def frozen_modules(model: nn.Module) -> list[nn.Module]:
    """The outermost modules none of whose parameters learn, and the dropouts that stand between such ones.

    Put in `eval()` after each `model.train()`, their dropout and batch statistics stand still as well.
    """
    found: list[nn.Module] = []
    between: list[nn.Module] | None = []  # modules without parameters since the last frozen one; None once one learned

    def visit(module: nn.Module) -> None:
        nonlocal between
        parameters = list(module.parameters())
        if not parameters:
            between = None if between is None else [*between, module]
        elif not any(p.requires_grad for p in parameters):
            found.extend([*(between or []), module])
            between = None if between is None else []
        else:
            if any(p.requires_grad for p in module.parameters(recurse=False)):
                between = None
            for child in module.children():
                visit(child)

    visit(model)
    return found
