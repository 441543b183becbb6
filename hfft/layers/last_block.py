"""Compute only the part of the last block that is used: if the head reads the first token, the others need only keys and values.

A BERT, or a ViT with a class token, computes queries, attention, output projection and MLP of its last block for every token
and reads them for one. It is found from what the modules do and tried before use, so no architecture needs special code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from hfft.eval_mode import eval_mode
from hfft.frozen_cache.split_point import Batch, random_state_kept, swapped
from hfft.frozen_cache.trace import Call, Probe, same, trace

_NAME = "hfft_first_token"  # name of the attention function that uses keys and values computed elsewhere
_WRAPPED = "sdpa"  # the implementation that it calls, and the only one it replaces
_TOLERANCE = {torch.float32: 1e-5}  # rounding of one block; other dtypes use the default tolerance


@dataclass(frozen=True)
class FirstToken:
    """A last block of which only the first token is read.

    Attributes:
        block, attention: paths of the block, and of the module in it that calls the attention function.
        norm: path of the module between the block's input and keys and values; None if there is none.
        key, value: paths of the modules that compute keys and values.
    """

    block: str
    attention: str
    norm: str | None
    key: str
    value: str

    @contextlib.contextmanager
    def reading(self, model: nn.Module) -> Iterator[None]:
        """Inside this context the block returns `(B, 1, D)`; a backward pass that recomputes activations must run in it too."""
        own = model.get_submodule(self.attention).__dict__
        config = own["config"]
        own["config"] = beside = _Beside(config)
        try:
            with swapped(model, {self.block: self._forward(model, beside)}):
                yield
        finally:
            own["config"] = config

    def _forward(self, model: nn.Module, beside: _Beside) -> Callable[..., Any]:
        forward = model.get_submodule(self.block).forward
        norm = nn.Identity() if self.norm is None else model.get_submodule(self.norm)
        key, value = model.get_submodule(self.key), model.get_submodule(self.value)

        def run(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
            given = norm(hidden_states)
            beside.states = key(given), value(given)
            return forward(hidden_states[:, :1], *args, **kwargs)

        return run


class _Beside:
    """The config of an attention module with another attention function, and the keys and values of all tokens."""

    _attn_implementation = _NAME

    def __init__(self, config: Any):
        self._config = config
        self.states: tuple[Tensor, ...] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> Any:
    states = (t.view(*t.shape[:2], -1, key.shape[-1]).transpose(1, 2) for t in module.config.states)
    if attention_mask is not None:
        attention_mask = attention_mask[:, :, :1]
    return ALL_ATTENTION_FUNCTIONS[_WRAPPED](module, query, *states, attention_mask, **kwargs)


AttentionInterface.register(_NAME, _attend)


def first_token(model: nn.Module, batch: Batch, logits: Callable[[Any], Tensor]) -> FirstToken | None:
    """The last block, if only its first token is read; None if more is read, or if that cannot be determined.

    Args:
        batch: inputs without labels.
        logits: extracts the compared outputs from the model's output.
    """
    few = Probe.of(batch).samples()[0].batch
    try:
        with eval_mode(model), torch.no_grad(), random_state_kept(few), _without_zeros(model):
            found, expected = _candidate(model, few, logits)
            if found is None:
                return None
            with found.reading(model):
                return found if same(logits(model(**few)), expected, _TOLERANCE.get(expected.dtype)) else None
    except Exception:  # any failure in the shortened forward pass: compute the whole block
        return None


@contextlib.contextmanager
def _without_zeros(model: nn.Module) -> Iterator[None]:
    """Inside this context parameters that are all zero are not: through such a head, no token that it reads would show."""
    drawn, kept = torch.Generator().manual_seed(0), list[tuple[nn.Parameter, Tensor]]()
    for parameter in model.parameters():
        if parameter.is_floating_point() and not parameter.is_meta and not parameter.any():
            kept.append((parameter, parameter.data))
            parameter.data = (0.1 * torch.randn(parameter.shape, generator=drawn)).to(parameter)
    try:
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data


def _candidate(model: nn.Module, batch: Batch, logits: Callable[[Any], Tensor]) -> tuple[FirstToken | None, Tensor]:
    """How to run the last attention block for one token, if its parts allow it, and the model's outputs."""
    attended: list[tuple[nn.Module, Tensor, Tensor, Tensor]] = []
    wrapped = ALL_ATTENTION_FUNCTIONS[_WRAPPED]

    def seen(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
        attended.append((module, query, key, value))
        return wrapped(module, query, key, value, *args, **kwargs)

    ALL_ATTENTION_FUNCTIONS[_WRAPPED] = seen
    try:
        calls, output = trace(model, batch, 0)
    finally:
        del ALL_ATTENTION_FUNCTIONS[_WRAPPED]
    return (_parts(model, calls, *attended[-1]) if attended else None), logits(output)


def _parts(model: nn.Module, calls: list[Call], attention: nn.Module, *attended: Tensor) -> FirstToken | None:
    """The parts of a block, located from the queries, keys and values of its attention."""
    path = next(call.path for call in calls if call.module is attention)
    block = path
    while block and not isinstance(model.get_submodule(block.rpartition(".")[0]), nn.ModuleList):
        block = block.rpartition(".")[0]
    outer = next((call for call in calls if call.path == block), None)
    if outer is None or outer.count != 1 or next(outer.module.buffers(), None) is not None:
        return None
    inner = [calls[number] for number in outer.inside[1:]]
    makers = [call for call in (next((c for c in inner if _made(c, tensor)), None) for tensor in attended) if call]
    sources = [t for maker in makers for t in _tensors(maker.inputs)[:1]]
    whole = outer.inputs[0]
    if len(sources) != 3 or not isinstance(whole, Tensor) or whole.ndim != 3:
        return None
    if any(source is not sources[0] for source in sources):
        return None
    norm = None
    if sources[0] is not whole:
        norm = next((c for c in inner if any(t is whole for t in _tensors(c.inputs)) and _made(c, sources[0])), None)
        if norm is None:
            return None
    apart = {number for call in (*makers, norm) if call is not None for number in call.inside}
    for call in (calls[number] for number in outer.inside[1:] if number not in apart):
        # such as a dropout, which changes them in training
        if any(_made(call, t) for t in (whole, sources[0], *attended)):
            return None
    return FirstToken(block, path, None if norm is None else norm.path, makers[1].path, makers[2].path)


def _tensors(leaves: list[Any]) -> list[Tensor]:
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _made(call: Call, tensor: Tensor) -> bool:
    """Whether the tensor, or a view of it, is the only output of the call."""
    storages = [t.untyped_storage().data_ptr() for t in _tensors(call.outputs)]
    return storages == [tensor.untyped_storage().data_ptr()]
