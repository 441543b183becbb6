"""Change the structure of a pretrained model by module path: remove, replace, insert; and tell how far its outputs moved.

Where the config can express an edit, the stock architecture of that config results. The others stand in `config.edits`,
every place and width written out, and the model is of the class that applies them when it is built.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from hfft import modeling
from hfft.backbone import fewer, reshape
from hfft.backbone.edited import edited
from hfft.backbone.replace import replaced
from hfft.data import modes
from hfft.edits import told
from hfft.errors import ModelError, first_line, listing, nearest
from hfft.layers import block_paths
from hfft.modeling import INSERTED

Inputs = Callable[[Any], dict[str, Tensor]]  # of a processor: the batch it makes


def edit(
    model: PreTrainedModel, edits: list[dict[str, Any]], processor: Any, inputs: Inputs
) -> tuple[PreTrainedModel, list[dict[str, Any]]]:
    """The model with the edits done in order, and for each how far the outputs moved.

    Args:
        model: with its weights, or on the meta device, where only shapes are checked.
        processor: tokenizer or image processor; its size, channels or vocabulary follow.
        inputs: gives the batch on which outputs are compared, by the processor as it then is.

    Returns:
        One row per edit: `edit`, `places` (modules changed), and `moved`, the relative change of the backbone's outputs
        (None where they cannot be compared).

    Raises:
        ModelError: a path or pattern that is not there, or an edit that does not fit.
    """
    if not edits:
        return model, []
    meta, rows = model.device.type == "meta", []
    before = features(model, inputs(processor))
    for i, one in enumerate(edits):
        try:
            model, places = _one(model, one, processor, lambda: inputs(processor))
        except ModelError as error:
            raise ModelError(str(error).replace("backbone.edit: ", f"backbone.edit.{i}: ", 1)) from error.__cause__
        try:
            after = None if before is None else features(model, inputs(processor), strict=True)
            if after is not None and "remove" in one:  # the head may read other features
                features(model, inputs(processor), strict=True, whole=True)
        except Exception as error:
            raise ModelError(
                f"backbone.edit.{i}: after {told(one)} {model.config.model_type} cannot be run: {first_line(error)}"
            ) from error
        rows.append({"edit": told(one), "places": places, "moved": None if meta else _distance(before, after)})
        before = after
    return model, rows


def _one(model: PreTrainedModel, one: dict[str, Any], processor: Any, inputs: Callable) -> tuple[PreTrainedModel, int]:
    if "remove" in one:
        which = one["remove"]
        return fewer.remove(model, which), int(which.partition("-")[2]) if isinstance(which, str) else len(set(which))
    if "image_size" in one:
        modes.resize(processor, one["image_size"])
        return reshape.image_size(model, one["image_size"]), 1
    if "channels" in one:
        modes.rechannel(processor, one["channels"])
        return reshape.channels(model, one["channels"]), 1
    if "tokens" in one:
        return reshape.tokens(model, processor, one["tokens"]), len(one["tokens"])
    if "replace" in one:
        paths = [""] if one["replace"] == "all" else matching(model, one["replace"])
        return replaced(model, one["replace"], paths, one["with"])
    specs = insertions(model, one["insert"], one["module"], inputs)
    return insert(model, specs), len(specs)


def features(
    model: PreTrainedModel, inputs: dict[str, Tensor], strict: bool = False, whole: bool = False
) -> Tensor | None:
    """The backbone's first output, or the `whole` model's; None where it cannot be run (on the meta device some cannot)."""
    training = model.training
    try:
        with torch.no_grad():
            model.eval()
            output = (model if whole else model.base_model)(**_on_device(model, inputs))
        found = output.logits if "logits" in output else output[0]
        mask = inputs.get("attention_mask")
        padded = found.ndim == 3 and mask is not None and mask.shape == found.shape[:2]
        return found * mask[..., None].to(found.device, found.dtype) if padded and mask is not None else found
    except Exception:
        if strict:
            raise
        return None
    finally:
        model.train(training)


def _on_device(model: PreTrainedModel, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch where the model is; without data no mask can be looked into, and none is given."""
    meta, main = model.device.type == "meta", ("input_ids", "pixel_values")
    return {key: value.to(model.device) for key, value in inputs.items() if not meta or key in main}


def _distance(before: Tensor | None, after: Tensor | None) -> float | None:
    """Relative distance of outputs; of their means over positions where the positions are others."""
    if before is None or after is None:
        return None
    if before.shape != after.shape:
        before, after = (x.mean(1) if x.ndim == 3 else x.flatten(2).mean(2) for x in (before, after))
    if before.shape != after.shape:
        return None
    before, after = before.double(), after.double()
    return float((after - before).norm() / before.norm().clamp(min=1e-30))


# --- by path


def matching(model: nn.Module, place: str) -> list[str]:
    """Paths of the modules a place names: itself, or the outermost that a /regex/ matches; what was inserted is no place.

    Raises:
        ModelError: there is none.
    """
    paths = [path for path, _ in model.named_modules() if path and INSERTED not in path.split(".")]
    if place == "all":
        return [path for path in paths if "." not in path]
    if not place.startswith("/"):
        if place in paths:
            return [place]
        ends = [path for path in paths if path.endswith(f".{place}")]
        near = f"; did you mean {listing(ends, 2)}?" if ends else nearest(place, paths)
        raise ModelError(f"backbone.edit: there is no module {place!r}{near} (such as: {listing(_some(paths), 5)})")
    found: list[str] = []
    for path in paths:
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if not inside and re.search(place.strip("/"), path):
            found.append(path)
    if not found:
        word, parts = re.sub(r"\W+", ".", place).strip("."), {part for path in paths for part in path.split(".")}
        near = nearest(word, [*paths, *sorted(parts)])
        raise ModelError(f"backbone.edit: {place} matches no module{near} (such as: {listing(_some(paths), 5)})")
    return found


def _some(paths: list[str]) -> list[str]:
    """A few paths of different depth."""
    return list({path.count("."): path for path in paths}.values())


def insertions(model: PreTrainedModel, place: str, module: dict[str, Any], inputs: Callable) -> list[dict[str, Any]]:
    """An `insert` edit for each module that the place names, its width found by running the model once.

    Raises:
        ModelError: a module that is not run, or returns nothing that the inserted one could work on.
    """
    paths = matching(model, place)
    shapes = output_shapes(model, paths, inputs())
    found = []
    for path in paths:
        target = model.get_submodule(path)
        if type(target).forward in (nn.Module.forward, nn.ModuleList.forward):
            raise ModelError(f"backbone.edit: {path} holds modules and is not run itself; name one inside it")
        if shapes is None:  # on the meta device, for a model that cannot be run there
            continue
        if not shapes[path]:
            raise ModelError(
                f"backbone.edit: {path} is not run by itself, or returns no tensor; name the module it is in"
            )
        if len({(len(shape), shape[_width(target, shape)[0]]) for shape in shapes[path]}) > 1:
            raise ModelError(f"backbone.edit: {path} is run several times with outputs of other widths; name another")
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
            raise ModelError(f"backbone.edit: prompt goes behind tokens (B, N, C); {path} returns {_told(shape)}")
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
            raise ModelError(f"backbone.edit: conv goes behind positions; {path} returns {_told(shape)}")
        arguments |= {"kernel_size": given.get("kernel_size", 3), "dims": len(shape) - 2}
    return [{"insert": path, "module": arguments}]


def _told(shape: tuple[int, ...]) -> str:
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
    """Path -> the shape of its first tensor each time it is run; None where the model cannot be run."""
    shapes: dict[str, list[tuple[int, ...]]] = {path: [] for path in paths}

    def note(path: str) -> Callable:
        def seen(x: Tensor) -> Tensor:
            shapes[path].append(tuple(x.shape))
            return x

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            with contextlib.suppress(StopIteration, TypeError):  # nothing, or nothing with a tensor in it
                modeling.on_first_tensor(output, seen)

        return hook

    hooks = [model.get_submodule(path).register_forward_hook(note(path)) for path in paths]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(**_on_device(model, inputs))
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
    """Apply edits whose places and widths are written out, and note them in the config."""
    modeling.apply(model, specs)
    model.config.edits = [*(getattr(model.config, "edits", None) or []), *specs]
    model.__class__ = edited(model.__class__)  # the same tensors; what is built anew from its config has the edits
    return model
