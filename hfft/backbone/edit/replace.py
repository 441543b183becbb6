"""Replace activations, norms, pooling, dropout or attention: by a config entry if possible, otherwise module by module."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from hfft import modeling
from hfft.backbone.edit import reshape
from hfft.backbone.published_code import edited
from hfft.errors import ModelError
from hfft.wording import first_line, nearest


def replaced(
    model: PreTrainedModel, place: str, paths: list[str], wanted: dict[str, Any]
) -> tuple[PreTrainedModel, int]:
    """The model with what `wanted` names replaced in and below the modules at `paths`, and the number of replacements.

    Raises:
        ModelError: there is nothing of that kind, or the replacement does not fit.
    """
    count = 0
    for kind, value in wanted.items():
        if kind == "attn_implementation":
            count += _attention(model, value)
            continue
        if kind == "activation" and value not in ACT2FN:
            raise ModelError(f"backbone.edit: transformers has no activation {value!r}{nearest(value, ACT2FN)}")
        if kind in ("activation", "dropout"):
            before = _signatures(model)
            model = _by_config(model, kind, value, paths)
            after = _signatures(model)
            by_config = {path for path in before if before[path] != after.get(path)}
        else:
            by_config = set()
        found = [
            (path, module)
            for path, module in model.named_modules()
            if path and _inside(path, paths) and _KIND[kind](module) and modeling.INSERTED not in path.split(".")
        ]
        if not found and not by_config:
            raise ModelError(f"backbone.edit: {place} has no {kind} to replace; name a module that has one")
        specs = [
            {"replace": path, "with": new}
            for path, module in found
            if path not in by_config and (new := _new(kind, value, module, path)) is not None
        ]
        if specs:
            _apply(model, specs)
        count += len(specs) + len(by_config)
    return model, count


def _apply(model: PreTrainedModel, specs: list[dict[str, Any]]) -> None:
    """Replace the modules; a norm's scale and shift are copied to the new one."""
    old = {spec["replace"]: model.get_submodule(spec["replace"]).state_dict() for spec in specs}
    modeling.apply(model, specs)
    for path, state in old.items():
        mine = model.get_submodule(path).state_dict()
        fitting = {k: v for k, v in state.items() if k in mine and mine[k].shape == v.shape}
        model.get_submodule(path).load_state_dict(fitting, strict=False)
    model.config.edits = [*(getattr(model.config, "edits", None) or []), *specs]
    model.__class__ = edited(model.__class__)


def _attention(model: PreTrainedModel, name: str) -> int:
    """Switch the whole model to another attention implementation, which is equal within rounding."""
    try:
        model.set_attn_implementation(name)
    except (ValueError, ImportError) as error:
        raise ModelError(
            f"backbone.edit: {model.config.model_type} has no attn_implementation {name!r}: {first_line(error)}"
        ) from error
    return 1


def _inside(path: str, paths: Iterable[str]) -> bool:
    return any(not outer or path == outer or path.startswith(f"{outer}.") for outer in paths)


def _activation(module: nn.Module) -> bool:
    home = type(module).__module__
    ours = home in ("transformers.activations", "torch.nn.modules.activation")
    return ours and not isinstance(module, (nn.MultiheadAttention, nn.Softmax)) and not list(module.children())


def _norm(module: nn.Module) -> bool:
    plain = all(p.ndim <= 1 for p in module.parameters()) and list(module.parameters(recurse=False))
    return "norm" in type(module).__name__.lower() and bool(plain)


def _pooling(module: nn.Module) -> bool:
    return isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d))


_KIND: dict[str, Callable[[nn.Module], bool]] = {
    "activation": _activation,
    "dropout": lambda module: isinstance(module, nn.Dropout),
    "norm": _norm,
    "pooling": _pooling,
}


def _new(kind: str, value: Any, module: nn.Module, path: str) -> dict[str, Any] | None:
    """The replacement of a module, as data; None if the module already is what is wanted."""
    if kind == "activation":
        return None if type(module) is type(ACT2FN[value]) else {"type": "activation", "name": value}
    if kind == "dropout":
        return None if module.p == value else {"type": "dropout", "p": value}
    if kind == "pooling":
        return {"type": f"{value}_pool", "output_size": module.output_size}
    if value == "none":
        return {"type": "identity"}
    width = next(p.numel() for p in module.parameters())
    eps = next((v for k in ("eps", "variance_epsilon") if isinstance(v := getattr(module, k, None), float)), 1e-5)
    over_channels = isinstance(module, (nn.BatchNorm2d, nn.GroupNorm))
    if over_channels != (value in ("batch_norm", "group_norm")):
        fitting = "batch_norm or group_norm" if over_channels else "layer_norm or rms_norm"
        raise ModelError(f"backbone.edit: {path} is a {type(module).__name__}; replace it with {fitting}, or none")
    if value == "batch_norm":
        return {"type": value, "num_features": width, "eps": eps}
    if value == "group_norm":
        groups = next(g for g in range(min(32, width), 0, -1) if width % g == 0)
        return {"type": value, "num_groups": groups, "num_channels": width, "eps": eps}
    return {"type": value, "normalized_shape": width, "eps": eps}


# --- by config entry

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, type(torch.relu))


def _signatures(model: nn.Module) -> dict[str, Any]:
    """Path -> what identifies a module: its class, its numeric attributes and its functions."""
    return {
        path: (
            type(module),
            {k: v for k, v in vars(module).items() if not k.startswith("_") and isinstance(v, (float, *_FUNCTIONS))},
        )
        for path, module in model.named_modules()
    }


def _by_config(model: PreTrainedModel, kind: str, value: Any, paths: list[str]) -> PreTrainedModel:
    """The model rebuilt with the new value in every config entry that affects only the modules at `paths`."""

    def speaks(key: str, now: Any) -> bool:
        if kind == "dropout":
            number = isinstance(now, (int, float)) and not isinstance(now, bool)
            return "drop" in key and not any(w in key for w in ("path", "layer")) and number and 0 <= now <= 1
        return isinstance(now, str) and now in ACT2FN and now != value

    candidates = [(i, k) for i, (_, k, v) in enumerate(reshape.entries(model.config)) if speaks(k, v)]
    plain = _signatures(reshape.on_meta(model, model.config)) if candidates else {}
    chosen: dict[tuple[int, str], Any] = {}
    for at in candidates:
        try:
            other = _signatures(reshape.on_meta(model, reshape.changed(model.config, {at: value})))
        except Exception:  # an entry that does not accept the value is not the right one
            continue
        moved = {path for path in plain if plain[path] != other.get(path)}
        if moved and all(_inside(path, paths) for path in moved):
            chosen[at] = value
    return reshape.rebuilt(model, reshape.changed(model.config, chosen)) if chosen else model
