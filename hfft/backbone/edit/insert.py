"""Insert modules after others, with the width of the module that they follow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from hfft import modeling
from hfft.backbone.edit.places import matching
from hfft.backbone.published_code import edited
from hfft.errors import ModelError
from hfft.layers import block_paths
from hfft.wording import first_line, nearest


def insertions(model: PreTrainedModel, place: str, module: dict[str, Any], inputs: Callable) -> list[dict[str, Any]]:
    """An `insert` edit for each module that `place` matches, with its width found by running the model once.

    Raises:
        ModelError: a module is not called itself, or returns nothing that the inserted module could work on.
    """
    paths = matching(model, place)
    shapes = output_shapes(model, paths, inputs())
    found = []
    for path in paths:
        target = model.get_submodule(path)
        if type(target).forward in (nn.Module.forward, nn.ModuleList.forward):
            raise ModelError(f"backbone.edit: {path} is a container that is not called itself; name a module inside it")
        if shapes is None:  # on the meta device, if the model cannot be run there
            continue
        if not shapes[path]:
            raise ModelError(
                f"backbone.edit: {path} is not called, or returns no tensor; name the module that contains it"
            )
        if len({(len(shape), shape[_width(target, shape)[0]]) for shape in shapes[path]}) > 1:
            raise ModelError(
                f"backbone.edit: {path} is called several times with outputs of different widths; name another module"
            )
        found += _specs(model, path, target, shapes[path][0], module)
    return found


def _specs(
    model: PreTrainedModel, path: str, target: nn.Module, shape: tuple[int, ...], module: dict[str, Any]
) -> list[dict[str, Any]]:
    dim, first = _width(target, shape)
    kind, given, features = module["type"], {k: v for k, v in module.items() if k != "type"}, shape[dim]
    if kind == "dropout":
        return [{"insert": path, "module": {"type": kind, "p": given.get("p", 0.1)}}]
    arguments: dict[str, Any] = {"type": kind, "features": features}
    if kind == "prompt":
        if len(shape) != 3:
            raise ModelError(
                f"backbone.edit: prompt must follow a module that returns tokens (B, N, C); {path} returns {_as_words(shape)}"
            )
        arguments["tokens"] = given.get("tokens", 10)
        renewing = block_paths(model)[:-1] if given.get("deep") else []
        again = [{"insert": block[0], "module": {**arguments, "renew": True}} for block in renewing]
        return [{"insert": path, "module": arguments}, *again]
    arguments["first"] = first
    if kind in ("bottleneck", "squeeze_excite"):
        arguments["size"] = given.get("size") or max(4, features // given.get("reduction", 16))
    if kind == "bottleneck":
        name = arguments["activation"] = given.get("activation", "gelu")
        if name not in ACT2FN:
            raise ModelError(f"backbone.edit: transformers has no activation {name!r}{nearest(name, ACT2FN)}")
    if kind == "conv":
        if len(shape) not in (3, 4):
            raise ModelError(
                f"backbone.edit: conv must follow a module that returns positions; {path} returns {_as_words(shape)}"
            )
        arguments |= {"kernel_size": given.get("kernel_size", 3), "dims": len(shape) - 2}
    return [{"insert": path, "module": arguments}]


def _as_words(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _width(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, bool]:
    """Dimension of the features in a module's output, and whether they come before the positions."""
    channels_last = isinstance(module, (nn.Linear, nn.LayerNorm)) and "channels_first" not in vars(module).values()
    if len(shape) != 4 or channels_last or (shape[1] == shape[2] != shape[3]):
        return len(shape) - 1, False
    return 1, True


def output_shapes(
    model: PreTrainedModel, paths: list[str], inputs: dict[str, Tensor]
) -> dict[str, list[tuple[int, ...]]] | None:
    """Path -> the shape of its first tensor each time it is called; None if the model cannot be run."""
    shapes: dict[str, list[tuple[int, ...]]] = {path: [] for path in paths}

    def note(path: str) -> Callable:
        def seen(x: Tensor) -> Tensor:
            shapes[path].append(tuple(x.shape))
            return x

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            with contextlib.suppress(StopIteration, TypeError):  # no output, or none that contains a tensor
                modeling.on_first_tensor(output, seen)

        return hook

    hooks = [model.get_submodule(path).register_forward_hook(note(path)) for path in paths]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(**on_device(model, inputs))
    except Exception as error:
        if model.device.type == "meta":
            return None
        raise ModelError(f"backbone.edit: {model.config.model_type} cannot be run: {first_line(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    return shapes


def insert(model: PreTrainedModel, specs: list[dict[str, Any]]) -> PreTrainedModel:
    """Apply edits with explicit paths and widths, and record them in the config."""
    modeling.apply(model, specs)
    model.config.edits = [*(getattr(model.config, "edits", None) or []), *specs]
    model.__class__ = edited(model.__class__)  # the same tensors; a model rebuilt from this config has the edits too
    return model


def on_device(model: PreTrainedModel, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch on the model's device; on the meta device without masks, since their values cannot be read there."""
    meta, main = model.device.type == "meta", ("input_ids", "pixel_values", "input_values", "input_features")
    return {key: value.to(model.device) for key, value in inputs.items() if not meta or key in main}
