"""More blocks: copies of some, which are the identity before training (LLaMA-Pro; Wu et al. 2024, arXiv:2401.02415)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hfft import layers
from hfft.backbone.edit.insert import on_device
from hfft.backbone.edit.remove_blocks import as_saved, other_numbers
from hfft.backbone.edit.reshape import built, on_meta
from hfft.errors import ModelError
from hfft.layers.select import block_range, norms
from hfft.wording import listing

SAME = 1e-6  # how far the outputs may move, relative to their size


def expand_blocks(
    model: PreTrainedModel, which: str | list[int], inputs: Callable[[], dict[str, Tensor]]
) -> tuple[PreTrainedModel, int]:
    """The model with a copy behind each of some blocks, and the number of copies.

    It is the stock architecture with more layers. The layers of a copy that write to its output are zero: those without
    which it would not be the identity.

    Args:
        inputs: makes a batch, on which the copies are tried.

    Raises:
        ModelError: there are too few blocks, no config describes the larger model, or the copies cannot be the identity.
    """
    blocks, kind = layers.block_paths(model), model.config.model_type
    key = f"backbone.edit: expand {which if isinstance(which, str) else listing(which)}"
    numbers = block_range(which, len(blocks), "backbone.edit: expand") if isinstance(which, str) else sorted(set(which))
    assert numbers is not None
    chosen = {number - 1 for number in numbers}
    if max(chosen) >= len(blocks):
        raise ModelError(f"{key}, but {kind} has {len(blocks)} blocks")
    if getattr(model.config, "edits", None):
        raise ModelError(f"{key}: modules have been inserted or replaced before; put expand first")
    if any(len(block) > 1 for block in blocks):
        raise ModelError(f"{key}: the parts of a block of {kind} lie in several lists; use insert with type bottleneck")
    order = [i for i in range(len(blocks)) for _ in range(1 + (i in chosen))]
    source, copies, sizes = _sources(model, [block[0] for block in blocks], chosen)
    larger = _larger(model, source, order, sizes)
    if larger is None:
        raise ModelError(
            f"{key}: no config of {kind} describes the model with these copies; blocks that differ in shape from their "
            f"neighbours cannot be copied, such as the first of a stage"
        )
    if model.device.type != "meta":
        taken = _calls(model, list(copies.values()), inputs())
        zero = {to: _zeros(model.get_submodule(path), *taken[path]) for to, path in copies.items() if path in taken}
        if len(zero) < len(copies) or any(found is None for found in zero.values()):
            raise ModelError(
                f"{key}: a block of {kind} changes its input even if its layers answer zero, because a norm follows their sum "
                f"(post-norm); a copy cannot start as the identity; use insert with type bottleneck"
            )
        with torch.no_grad():
            for to, paths in zero.items():
                for path in paths or ():
                    for parameter in larger.get_submodule(f"{to}.{path}").parameters(recurse=False):
                        parameter.zero_()
    return larger, len(copies)


def _sources(
    model: PreTrainedModel, paths: list[str], chosen: set[int]
) -> tuple[Callable[[str], str], dict[str, str], list[tuple[int, int]]]:
    """A function: new tensor name -> its name in the model; path of each copy -> that of its block; sizes of the stages."""
    moved: dict[str, str] = {}
    sizes: list[tuple[int, int]] = []
    copies: dict[str, str] = {}
    behind = {paths[i] for i in chosen}
    for container in dict.fromkeys(path.rpartition(".")[0] for path in paths):
        children = [f"{container}.{name}" for name, _ in model.get_submodule(container).named_children()]
        sizes.append((len(children), len(children) + len(behind & set(children))))
        number = 0
        for child in children:
            for copied in range(1 + (child in behind)):
                moved[f"{container}.{number}"] = child
                copies |= {f"{container}.{number}": child} if copied else {}
                number += 1
    places = sorted(moved, key=len, reverse=True)

    def source(name: str) -> str:
        path = next((path for path in places if name == path or name.startswith(f"{path}.")), None)
        return name if path is None else moved[path] + name[len(path) :]

    return source, copies, sizes


def _larger(
    model: PreTrainedModel, source: Callable[[str], str], order: list[int], sizes: list[tuple[int, int]]
) -> PreTrainedModel | None:
    """The model of the first config that has exactly the wanted tensors, with their values; None if there is none."""
    state, paths = model.state_dict(), [block[0] for block in layers.block_paths(model)]
    many = sum(len(model.get_submodule(paths[i]).state_dict()) for i in order) + len(state)
    many -= sum(len(model.get_submodule(path).state_dict()) for path in paths)
    for config in other_numbers(model.config, len(paths), order, sizes):
        try:
            config = as_saved(config)
            wanted = on_meta(model, config).state_dict()
        except Exception:  # no model can be built from this config: try the next
            continue
        old = {name: source(name) for name in wanted}
        fits = all(o in state and wanted[n].shape == state[o].shape for n, o in old.items())
        if not fits or len(wanted) != many or set(old.values()) != set(state):
            continue
        new = built(model, config)
        if model.device.type != "meta":
            new.load_state_dict({name: state[o] for name, o in old.items()})
            for name, parameter in new.named_parameters():
                parameter.requires_grad = model.get_parameter(source(name)).requires_grad
        return new.train(model.training)
    return None


def _calls(model: PreTrainedModel, paths: list[str], batch: dict[str, Tensor]) -> dict[str, tuple[Any, Any]]:
    """Path of a block -> the arguments that it is called with, without a cache of earlier tokens."""
    found: dict[str, tuple[Any, Any]] = {}

    def keep(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            plain = {key: None if isinstance(value, Cache) else value for key, value in kwargs.items()}
            found[path] = tuple(None if isinstance(value, Cache) else value for value in args), plain

        return hook

    handles = [model.get_submodule(p).register_forward_pre_hook(keep(p), with_kwargs=True) for p in paths]
    training = model.training
    try:
        with torch.no_grad():
            model.eval().base_model(**on_device(model, batch))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return found


@torch.no_grad()
def _zeros(block: nn.Module, args: Any, kwargs: Any) -> list[str] | None:
    """The fewest layers of a block that must be zero for it to be the identity, as paths; None if that is impossible.

    Norms of features and the earlier layers are spared first: if both factors of a product were zero, neither would ever
    learn. BatchNorms are spared last: the output of a zero convolution would have no variance to divide by.
    """
    trial = copy.deepcopy(block).eval()
    states = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    scales, kinds = [path for path, _ in norms(trial)], (nn.Linear, Conv1D, nn.Conv2d)
    batch = [path for path in scales if list(trial.get_submodule(path).buffers())]
    matrices = [path for path, module in trial.named_modules() if isinstance(module, kinds)]
    zero = [*(path for path in scales if path not in batch), *matrices, *batch]
    before = {name: tensor.clone() for name, tensor in trial.state_dict().items()}

    def identity(paths: list[str]) -> bool:
        trial.load_state_dict(before)
        for path in paths:
            for parameter in trial.get_submodule(path).parameters(recurse=False):
                parameter.zero_()
        output = trial(*args, **kwargs)
        output = output if isinstance(output, Tensor) else output[0]
        return torch.equal(output, states)

    if not identity(zero):
        return None
    for path in list(zero):
        rest = [other for other in zero if other != path]
        zero = rest if identity(rest) else zero
    return zero
