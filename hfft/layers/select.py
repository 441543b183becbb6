"""Choose the layers that learn: by depth, by kind, or by a pattern over parameter names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from hfft.errors import ModelError
from hfft.layers.depth import Depths
from hfft.modeling import INSERTED
from hfft.modeling_inputs import Patches
from hfft.wording import listing, nearest_path


def learning(model: nn.Module, depths: Depths, train: Sequence[str], freeze: Sequence[str] = ()) -> set[str]:
    """Names of the parameters that learn: those in `train`, the head, inserted modules and a new input, minus those in `freeze`.

    Args:
        train, freeze: any of `all`, `head`, `embeddings`, `last-N`, `first-N`, `middle-N`, `blocks-A-B`, `norms`, `biases`,
            `/regex/`.

    Raises:
        ModelError: there are fewer blocks than asked for, a pattern matches nothing, or nothing is left to learn.
    """
    chosen = set().union(*(_select(model, depths, entry, "train") for entry in (*train, "head")))
    new = tuple(f"{path}." for path, module in model.named_modules() if isinstance(module, Patches))
    chosen |= {name for name, _ in model.named_parameters() if INSERTED in name.split(".") or name.startswith(new)}
    chosen -= set().union(*(_select(model, depths, entry, "freeze") for entry in freeze))
    if not chosen:
        raise ModelError(f"layers.freeze: {listing(freeze)} leaves nothing to learn; freeze less")
    return chosen


def _select(model: nn.Module, depths: Depths, entry: str, key: str) -> set[str]:
    names = [name for name, _ in model.named_parameters()]
    if (inside := block_range(entry, depths.blocks, f"layers.{key}")) is not None:
        return {name for name in names if depths.of(name) in inside}
    if entry == "all":
        return set(names)
    if entry in ("head", "embeddings"):
        return {name for name in names if depths.of(name) == (depths.head if entry == "head" else 0)}
    if entry == "biases":
        return {name for name in names if name.rpartition(".")[2] == "bias" or name.endswith("_bias")}
    if entry == "norms":
        return {f"{path}.{name}" for path, module in norms(model) for name, _ in module.named_parameters(recurse=False)}
    found = {name for name in names if re.search(entry.strip("/"), name)}
    if not found:
        raise ModelError(
            f"layers.{key}: {entry} matches no parameter{nearest_path(entry, names)} (such as: {listing(names, 4)})"
        )
    return found


def block_range(entry: str, blocks: int, key: str) -> range | None:
    """The blocks that `first-N`, `last-N`, `middle-N`, `blocks-A-B` or `blocks-A` names, counted from 1; None for other entries.

    The middle lies one block nearer to the input if as many blocks cannot be left out on both sides.

    Args:
        blocks: how many there are.
        key: of the recipe, for the message.

    Raises:
        ModelError: there are fewer blocks.
    """
    found = re.fullmatch(r"(first|last|middle|blocks)-(\d+)(?:-(\d+))?", entry)
    if found is None:
        return None
    kind, number = found[1], int(found[3] or found[2])
    if number > blocks:
        most = f"at most {kind}-{blocks}, or all" if blocks else "all or head"
        if kind == "blocks" and blocks:
            most = f"blocks-A-B up to blocks-1-{blocks}"
        raise ModelError(f"{key}: {entry}, but the model has {blocks} blocks; use {most}")
    if kind == "blocks":
        return range(int(found[2]), number + 1)
    start = {"first": 1, "last": blocks - number + 1, "middle": (blocks - number) // 2 + 1}[kind]
    return range(start, start + number)


def norms(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The normalisation layers: leaf modules with "norm" in their class name and only per-feature scales and shifts."""
    return [
        (path, module)
        for path, module in model.named_modules()
        if "norm" in type(module).__name__.lower()
        and all(name == INSERTED for name, _ in module.named_children())
        and all(parameter.ndim <= 1 for parameter in module.parameters(recurse=False))
    ]
