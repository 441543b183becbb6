"""Trace the module calls of a forward pass, in order, with inputs and outputs, to find where a model can be cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}


class NotCuttable(Exception):
    """There is no cut; the message says why."""


@dataclass(frozen=True)
class Probe:
    """A batch for tracing a model: inputs, number of examples, tokens of the longest (None for images)."""

    batch: Mapping[str, Tensor]
    size: int
    length: int | None

    def samples(self, most: int = 4) -> tuple[Probe, Probe]:
        """A few examples, long and short, and the same with one example and one token less, so that sizes identify axes."""
        mask = self.batch.get("attention_mask")
        order = list(range(self.size)) if mask is None else mask.sum(1).argsort().tolist()
        rows = [order[0], order[-1], *order[1:-1]][: max(3, min(most, self.size))]
        rows = (rows * 3)[: max(3, len(rows))]
        few = self.of({name: t[rows] for name, t in self.batch.items()})
        small = {name: t[:-1] for name, t in few.batch.items()}
        if self.length is not None:
            small = {
                name: torch.cat([t[:, :1], t[:, 2:]], 1) if t.ndim > 1 and t.shape[1] == self.length else t
                for name, t in small.items()
            }
        return few, self.of(small)

    def alone(self, row: int) -> tuple[Probe, Tensor | None]:
        """One example without padding, and a mask of its real tokens."""
        mask = self.batch.get("attention_mask")
        if mask is None or self.length is None:
            return self.of({name: t[row : row + 1] for name, t in self.batch.items()}), None
        own = mask[row].bool()
        cut = {n: t[row : row + 1] for n, t in self.batch.items()}
        cut = {n: t[:, own] if t.ndim > 1 and t.shape[1] == self.length else t for n, t in cut.items()}
        return self.of(cut), own

    @staticmethod
    def of(batch: Mapping[str, Tensor]) -> Probe:
        """The sizes of a batch, from its mask or tokens."""
        tokens = batch.get("attention_mask", batch.get("input_ids"))
        length = tokens.shape[1] if tokens is not None and "input_ids" in batch else None
        return Probe(batch, len(next(iter(batch.values()))), length)


@dataclass
class Call:
    """A call of a module: the leaves of its inputs and outputs, and the numbers of the calls inside it, including its own."""

    path: str
    module: nn.Module
    inputs: list[Any]
    outputs: list[Any] = field(default_factory=list)
    out_spec: TreeSpec | None = None
    inside: range = range(0)
    turn: int = 0  # position among the module's calls in the pass
    count: int = 1  # number of the module's calls in the pass

    @property
    def learns(self) -> bool:
        """Whether the module itself owns a parameter that learns."""
        return any(p.requires_grad for p in self.module.parameters(recurse=False))

    @property
    def work(self) -> float:
        """Number of multiplications with the module's own weight matrix, or matrices if it is recurrent."""
        outputs = next((t.numel() for t in self.outputs if isinstance(t, Tensor)), 0)
        if isinstance(self.module, nn.RNNBase):
            states = self.module.hidden_size * (2 if self.module.bidirectional else 1)
            return outputs / states * sum(p.numel() for p in self.module.parameters() if p.ndim > 1)
        weight = getattr(self.module, "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim < 2 or isinstance(self.module, nn.Embedding):
            return 0.0
        return outputs * weight.numel() / len(weight)


def trace(model: nn.Module, batch: Mapping[str, Tensor], seed: int) -> tuple[list[Call], Any]:
    """Run the model; returns its calls in the order in which they began, and its output."""
    calls: list[Call] = []
    running: list[int] = []
    handles = []

    def begin(path: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        calls.append(Call(path, module, tree_flatten((args, kwargs))[0]))
        running.append(len(calls) - 1)

    def end(module: nn.Module, args: Any, output: Any) -> None:
        number = running.pop()
        calls[number].inside = range(number, len(calls))
        calls[number].outputs, calls[number].out_spec = tree_flatten(output)

    try:
        for path, module in model.named_modules():
            if path:
                pre = lambda m, args, kwargs, path=path: begin(path, m, args, kwargs)  # noqa: E731
                handles.append(module.register_forward_pre_hook(pre, with_kwargs=True))
                # Runs before other hooks: a module inserted after this one (`hfft.modeling`) is a separate call.
                handles.append(module.register_forward_hook(end, prepend=True))
        torch.manual_seed(seed)
        output = model(**batch)
    finally:
        for handle in handles:
            handle.remove()
    times: Counter[str] = Counter()
    for call in calls:
        call.turn = times[call.path]
        times[call.path] += 1
    for call in calls:
        call.count = times[call.path]
    return calls, output


def same(a: Tensor, b: Tensor, tolerance: float | None = None) -> bool:
    """Whether two tensors agree within a tolerance (default: one that suits their dtype); NaN agrees with nothing."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    tolerance = TOLERANCE.get(a.dtype, 0.0) if tolerance is None else tolerance
    finite = b.isfinite()
    if not torch.equal(a.isfinite(), finite):  # masks contain minus infinity
        return False
    a, b = a[finite].double(), b[finite].double()
    return not a.numel() or bool((a - b).abs().max() <= tolerance * b.abs().max().clamp(min=1e-3))
