"""Read features off a model as it runs: the states of a layer, reduced to one vector per row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_MAPPING, PreTrainedModel

from hfft.errors import BadInput, ModelError
from hfft.modeling import pool
from hfft.wording import listing, nearest_path

POOLINGS = ("cls", "mean", "max", "last", "pooler")


@dataclass(frozen=True)
class View:
    """Which features: a layer, and how the states of its positions are reduced to one.

    Attributes:
        pooling: `cls`, `mean`, `max`, `last`, or `pooler`, the model's own.
        layer: number of a hidden state, 0 the embeddings and -1 the last, or the path of a module.
    """

    pooling: str
    layer: int | str = -1

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise BadInput(f"pooling: is {self.pooling!r:.40}; expected one of {listing(POOLINGS)}")
        if self.pooling == "pooler" and self.layer != -1:
            raise BadInput(f"pooling: the pooler reads the last layer, not layer {self.layer}; use mean")


def bare(model: nn.Module) -> Any:
    """The part of a model that computes features, without its head; inside an adapter as well.

    A model that has no separate base model, such as CLIP's classifier, contains one or more towers: the largest is used.
    """
    whole: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    base = whole.base_model
    if base is not whole:
        return base
    towers = [child for child in whole.children() if isinstance(child, PreTrainedModel)]
    bare_class = MODEL_MAPPING.get(type(getattr(whole, "config", None)), None)
    if len(towers) == 1 and bare_class is type(whole):  # a bare model whose encoder is a class of its own
        return whole
    return max(towers, key=lambda tower: sum(p.numel() for p in tower.parameters()), default=whole)


class Views:
    """Several views of one model, computed in one forward pass.

    Raises:
        BadInput: a path names no module.
    """

    def __init__(self, model: nn.Module, views: Sequence[View]):
        self.model, self.views = model, tuple(views)
        self.base = bare(model)
        self._states: dict[str, Any] = {}
        self._modules = {view.layer: self._module(view.layer) for view in views if isinstance(view.layer, str)}
        self._numbered = any(isinstance(view.layer, int) and view.layer != -1 for view in views)

    def _module(self, path: str) -> nn.Module:
        for root in (self.model, self.base):
            with contextlib.suppress(AttributeError):
                return root.get_submodule(path)
        known = [name for name, _ in self.model.named_modules() if name]
        raise BadInput(f"layer: the model has no module {path!r:.80}{nearest_path(path, known)}")

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Inside, named modules are observed."""
        handles = [module.register_forward_hook(self._keep(path)) for path, module in self._modules.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._states = {}

    def _keep(self, path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self._states[path] = output if isinstance(output, Tensor) else _first(output)

        return hook

    def __call__(self, batch: Mapping[str, Tensor]) -> list[Tensor]:
        """The features `(B, D)` of a batch for each view, in float32.

        Raises:
            ModelError: the model has no such layer, or its states have no such position.
        """
        self._states = {}
        outputs = self.base(**batch, **({"output_hidden_states": True} if self._numbered else {}))
        return [self._reduced(view, outputs, batch.get("attention_mask")) for view in self.views]

    def _reduced(self, view: View, outputs: Any, mask: Tensor | None) -> Tensor:
        kind = self.base.config.model_type
        if view.pooling == "pooler":
            found = getattr(outputs, "pooler_output", None)
            if found is None:
                raise ModelError(f"pooling: is pooler, but {kind} has none; use mean")
            return found.flatten(1).float()
        states = self._layer(view.layer, outputs, kind)
        if states.ndim == 2:
            return states.float()
        if states.ndim not in (3, 4):
            raise ModelError(f"layer: {view.layer} of {kind} gives {tuple(states.shape)}, not one state per position")
        if states.ndim == 4:
            if view.pooling in ("cls", "last"):
                raise ModelError(
                    f"pooling: {kind} returns a map (C, H, W), which has no {view.pooling} position; use mean or max"
                )
            return pool(states.flatten(2).transpose(1, 2), None, view.pooling).float()
        fits = mask is not None and mask.ndim == 2 and mask.shape[1] == states.shape[1]
        return pool(states.float(), mask if fits else None, view.pooling)

    def _layer(self, layer: int | str, outputs: Any, kind: str) -> Tensor:
        if isinstance(layer, str):
            if layer not in self._states:
                raise ModelError(f"layer: {layer} of {kind} does not run when features are computed; choose another")
            return self._states[layer]
        if layer == -1:
            return outputs[0]
        states = getattr(outputs, "hidden_states", None) or getattr(outputs, "encoder_hidden_states", None)
        if states is None:
            raise ModelError(f"layer: {kind} returns no hidden states; name a module by its path")
        if not -len(states) <= layer < len(states):
            raise BadInput(f"layer: is {layer}, but {kind} has the states {-len(states)} to {len(states) - 1}")
        return outputs[0] if layer == len(states) - 1 else states[layer]  # the last one with the final norm


def _first(output: Any) -> Tensor:
    values = output.values() if isinstance(output, Mapping) else output
    return next(value for value in values if isinstance(value, torch.Tensor))
