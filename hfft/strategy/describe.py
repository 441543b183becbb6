"""Describe the methods of a run for people: before the first step, in metrics.json, the plan, the card and the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from hfft.lazy import torch
from hfft.strategy.needs import NEEDS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.strategy.method import Method


def describe(methods: Sequence[Method], model: nn.Module) -> list[dict[str, Any]]:
    """Per method: its name, options, needs in words, passes per step, and the bytes that it holds besides the model."""
    return [
        {
            "name": method.name,
            "options": _options(method),
            "needs": [NEEDS[need] for need in sorted(method.needs)],
            "passes": method.passes,
            "bytes": held_bytes([method], model),
        }
        for method in methods
    ]


def in_words(described: Iterable[Mapping[str, Any]]) -> str:
    """Methods with their options in one line, such as `sam (rho 0.05), ema (decay 0.999)`."""
    return ", ".join(
        f"{entry['name']} ({options})" if (options := options_in_words(entry["options"])) else entry["name"]
        for entry in described
    )


def options_in_words(options: Mapping[str, Any]) -> str:
    """Options as `key value, key value`."""
    return ", ".join(f"{key} {value}" for key, value in options.items())


def held_bytes(methods: Iterable[Method], model: nn.Module) -> int:
    """Bytes of the tensors that methods hold, those of the model excluded; under FSDP, of this process's share."""
    tensors = {_place(tensor): tensor for method in methods for tensor in _tensors(vars(method))}
    own = {_place(tensor) for tensor in _tensors(model)}
    return sum(_local(tensor).nbytes for place, tensor in tensors.items() if place not in own)


def _options(method: Method) -> dict[str, Any]:
    spec = getattr(method, "spec", None)
    return {} if spec is None else spec.model_dump(mode="json", exclude_none=True)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, torch.nn.Module):
        yield from (*value.parameters(), *value.buffers())
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif is_dataclass(value):
        yield from _tensors(vars(value))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _local(tensor: Any) -> Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _place(tensor: Any) -> tuple[int, int]:
    return _local(tensor).data_ptr(), _local(tensor).nbytes
