"""Choose what learns: freeze by depth or add a PEFT adapter, and keep what is frozen unchanged while the rest trains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from hfft.layers.adapters.add import add_adapter
from hfft.layers.adapters.lora import freeze_a
from hfft.layers.adapters.published import continue_adapter, published
from hfft.layers.depth import Depths
from hfft.layers.select import learning
from hfft.modeling import INSERTED


def adapt(
    model: PreTrainedModel,
    train: str | Sequence[str],
    adapter: dict[str, Any] | None,
    depths: Depths,
    head_names: set[str],
    freeze: Sequence[str] = (),
    new_tokens: Sequence[int] = (),
    lora_fa: bool = False,
) -> nn.Module:
    """Freeze the model according to `train` and `freeze`, or wrap it in an adapter.

    Args:
        train, freeze: entries of `hfft.layers.select.learning`, one or several.
        adapter: a PEFT type with PEFT's own arguments, where targets left out are found from structure; or `from`, a folder
            or repository of a published adapter, and its `revision`.
        new_tokens: rows of the embedding table that start untrained: an adapter that can train them does.
        lora_fa: whether LoRA's A is frozen.

    Raises:
        ModelError: a choice that does not fit the model, or an adapter that does not fit the architecture.
    """
    let_gradients_in(model)
    if adapter is not None:
        if "from" in adapter:
            adapted = continue_adapter(model, published(adapter["from"], adapter.get("revision")), head_names)
        else:
            adapted = add_adapter(model, adapter, depths, head_names, new_tokens)
        if lora_fa:
            freeze_a(adapted)
        return adapted
    chosen = learning(model, depths, [train] if isinstance(train, str) else train, freeze)
    for name, parameter in model.named_parameters():
        if name not in chosen:  # parameters that the architecture itself freezes, such as sinusoids, stay frozen
            parameter.requires_grad = False
    return model


def tokens_that_stay(model: nn.Module, new_tokens: Sequence[int]) -> list[str]:
    """A line if new tokens would keep the embeddings that they start with, which are equal to one another."""
    adapted = hasattr(model, "peft_config")
    inner: Any = getattr(model, "get_base_model", lambda: model)()
    if not new_tokens or any(p.requires_grad for p in inner.get_input_embeddings().parameters()):
        return []
    remedy = "use layers.adapter type lora" if adapted else "add embeddings to layers.train"
    return [f"tokens: the {len(new_tokens)} new ones all keep the mean of the embeddings, which do not learn; {remedy}"]


def _before_inserted(module: nn.Module) -> list[nn.Parameter]:
    """A module's parameters without those of the module inserted behind it."""
    new = {id(p) for p in getattr(module, INSERTED, nn.Module()).parameters()}
    return [p for p in module.parameters() if id(p) not in new]


def frozen_modules(model: nn.Module) -> list[nn.Module]:
    """The outermost modules none of whose own parameters learn, and the dropouts between such modules.

    Buffers that belong to no parameter (I-BERT's ranges) are included unless everything around them learns.
    `hfft.layers.hold`, called after each `model.train()`, also stops the dropout and batch statistics of these modules.
    """
    found: list[nn.Module] = []
    between: list[nn.Module] | None = []  # modules without parameters since the last frozen one; None once one learned

    def visit(module: nn.Module, around: bool) -> None:
        nonlocal between
        parameters = list(module.parameters())
        if not parameters and not around and module.state_dict():
            found.append(module)
        elif not parameters:
            between = None if between is None else [*between, module]
        elif not any(p.requires_grad for p in parameters):
            found.extend([*(between or []), module])
            between = None if between is None else []
        elif not any(p.requires_grad for p in _before_inserted(module)):
            # `hold` leaves the inserted module in training mode
            found.extend([*(between or []), module])
            between = None
        else:
            if any(p.requires_grad for p in module.parameters(recurse=False)):
                between = None
            whole = all(p.requires_grad for p in parameters)
            for child in module.children():
                visit(child, whole)

    visit(model, True)
    return found


_NOTHING = nn.Module()


def hold(modules: Iterable[nn.Module]) -> None:
    """Put modules in `eval()`; must be called again after each `model.train()`.

    A layer that computes its own gradients (`reversible`) refuses to run outside training: its own flag stays set, while
    everything inside it is in `eval()`.
    """
    for module in modules:
        module.eval()
        for inner in module.modules():
            if reversible(inner):
                inner.training = True
        if any(p.requires_grad for p in getattr(module, INSERTED, _NOTHING).parameters()):
            module.get_submodule(INSERTED).train()  # the module inserted behind it learns


def let_gradients_in(model: PreTrainedModel) -> None:
    """Make the embeddings' output require a gradient if the model has layers that compute their own gradients.

    Such a layer is one autograd function of its input: if everything before it is frozen, autograd skips it, and the
    parameters inside it get no gradient, without an error.
    """
    if any(reversible(module) for module in model.modules()):
        model.enable_input_require_grads()


def reversible(module: nn.Module) -> bool:
    """Whether a layer computes its own gradients from its outputs alone (Reformer, arXiv:2001.04451)."""
    return callable(getattr(module, "backward_pass", None))
