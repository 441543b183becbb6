"""The cut: layers that run before anything that learns return the same outputs every time, so they need not run again.

`Cut.record` runs only that part; `Cut.handing` lets the model's own `forward` continue from what was recorded. Modules
stay in place, and only their `forward` returns the stored outputs, so masks, positions and pooling are still computed by
the model itself, and the saved model is complete.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from hfft.frozen_cache.trace import NotCuttable, Probe

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """One example's tensor at the cut: `(B, *tail)`, or `(B, L, *tail)` along the tokens of a text.

    Attributes:
        channels_last: its memory layout, which decides the order of dropout's draws.
    """

    tail: tuple[int, ...]
    dtype: torch.dtype
    along_tokens: bool
    channels_last: bool = False


@dataclass(frozen=True)
class Leaf:
    """One tensor in a stand-in's output: a stored one by number, or a placeholder that nothing reads."""

    kept: int | None
    axes: tuple[int | str, ...]
    dtype: torch.dtype
    asks_grad: bool  # some checkpointing requires it of inputs, even if nothing before them learns


@dataclass(frozen=True)
class Entry:
    """A module after the cut whose inputs are stored: which of its calls in a pass, and leaf of the inputs -> number."""

    path: str
    call: int
    calls: int
    numbers: dict[int, int]


@dataclass(frozen=True)
class Cut:
    """A cut through a model.

    Attributes:
        stands: path of a module before the cut -> the output of its stand-in.
        entry: the module after the cut whose inputs are stored, if they are smaller than the outputs before the cut.
        kept: the tensors at the cut.
        share: fraction of the model's multiplications that lies before the cut, 0 to 1.
        left: multiplications after the cut in a forward pass, per example of the probe.
        placeholders: inputs that only the part before the cut reads -> their shape without the batch.
    """

    stands: dict[str, tuple[TreeSpec, tuple[Any, ...]]]
    entry: Entry | None
    kept: tuple[Kept, ...]
    share: float
    left: float
    placeholders: dict[str, tuple[tuple[int, ...], torch.dtype]]

    @property
    def bytes_per_token(self) -> int:
        """Bytes stored for each token of a text."""
        return sum(_size(k) for k in self.kept if k.along_tokens)

    @property
    def bytes_per_example(self) -> int:
        """Bytes stored for each example in addition to its tokens."""
        return sum(_size(k) for k in self.kept if not k.along_tokens)

    def record(self, model: nn.Module, inputs: Batch) -> list[Tensor]:
        """The states of a batch at the cut; the part after it does not run, and torch's random state is unchanged.

        Raises:
            NotCuttable: the forward pass did not reach the cut.
        """
        found: dict[int, Tensor] = {}

        def captured(leaves: Sequence[Any], numbers: Mapping[int, int]) -> None:
            for position, number in numbers.items():
                found[number] = leaves[position].detach()
            if len(found) == len(self.kept):
                raise _Reached

        def answering(forward: Callable[..., Any], leaves: tuple[Any, ...]) -> Callable[..., Any]:
            numbers = {i: e.kept for i, e in enumerate(leaves) if isinstance(e, Leaf) and e.kept is not None}

            def run(*args: Any, **kwargs: Any) -> Any:
                output = forward(*args, **kwargs)
                captured(tree_flatten(output)[0], numbers)
                return output

            return run

        def seen(leaves: list[Any], numbers: dict[int, int]) -> list[Any]:
            captured(leaves, numbers)
            return leaves

        swaps: dict[str, Callable[..., Any]] = {}
        if self.entry is None:
            for path, (_, leaves) in self.stands.items():
                if any(isinstance(leaf, Leaf) and leaf.kept is not None for leaf in leaves):
                    swaps[path] = answering(model.get_submodule(path).forward, leaves)
        else:
            swaps[self.entry.path] = _entering(model, self.entry, seen)
        with torch.no_grad(), random_state_kept(inputs), swapped(model, swaps), contextlib.suppress(_Reached):
            model(**inputs)
        if len(found) != len(self.kept):
            raise NotCuttable("the forward pass took another path than on the probe")
        return [found[i] for i in range(len(self.kept))]

    @contextlib.contextmanager
    def handing(self, model: nn.Module, states: Sequence[Tensor], batch: Batch) -> Iterator[None]:
        """Inside this context, a forward pass of the model starts from `states`, as returned by `record`.

        Args:
            batch: the model's inputs, for the batch's sizes. A backward pass that recomputes activations must run inside too.
        """
        with swapped(model, self.answers(model, states, Probe.of(batch).length, None)):
            yield

    def answers(
        self, model: nn.Module, states: Sequence[Tensor], length: int | None, poison: float | None
    ) -> dict[str, Callable[..., Any]]:
        """The forwards of the stand-ins; placeholders are filled with `poison`, if given."""
        states = [
            state.contiguous(memory_format=torch.channels_last) if kept.channels_last else state
            for kept, state in zip(self.kept, states, strict=True)
        ]
        size, device = len(states[0]), states[0].device

        def made(leaf: Any) -> Any:
            if not isinstance(leaf, Leaf):
                return leaf
            if leaf.kept is not None and self.entry is None:
                state = states[leaf.kept]
                return state.detach().requires_grad_() if leaf.asks_grad and torch.is_grad_enabled() else state
            return _placeholder(leaf, size, length or 0, device, poison or 0.0)

        swaps: dict[str, Callable[..., Any]] = {
            path: constant(spec, [made(leaf) for leaf in leaves]) for path, (spec, leaves) in self.stands.items()
        }
        if self.entry is not None:

            def given(leaves: list[Any], numbers: dict[int, int]) -> list[Any]:
                return [states[numbers[i]] if i in numbers else leaf for i, leaf in enumerate(leaves)]

            swaps[self.entry.path] = _entering(model, self.entry, given)
        return swaps

    def fill_in(self, batch: Batch, size: int, device: torch.device | str) -> dict[str, Tensor]:
        """The batch with placeholders for inputs that only the part before the cut reads."""
        filled = {
            name: torch.zeros((), dtype=dtype, device=device).expand(size, *shape)
            for name, (shape, dtype) in self.placeholders.items()
        }
        return {**batch, **filled}


class _Reached(Exception):
    """All tensors at the cut have been recorded."""


def _size(kept: Kept) -> int:
    return torch.Size(kept.tail).numel() * kept.dtype.itemsize


def _placeholder(leaf: Leaf, size: int, length: int, device: Any, value: float) -> Tensor:
    shape = [size if a == "B" else length if a == "L" else int(a) for a in leaf.axes]
    return torch.full((), value if leaf.dtype.is_floating_point else 0, dtype=leaf.dtype, device=device).expand(shape)


def constant(spec: TreeSpec, leaves: list[Any]) -> Callable[..., Any]:
    """A forward that always returns the same output."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return tree_unflatten(leaves, spec)

    return stand_in


def _entering(model: nn.Module, entry: Entry, change: Callable[[list[Any], dict[int, int]], list[Any]]) -> Any:
    """The module's forward, which changes the leaves of its inputs in one particular call of a pass."""
    forward, called = model.get_submodule(entry.path).forward, itertools.count()

    def enter(*args: Any, **kwargs: Any) -> Any:
        if next(called) % entry.calls == entry.call:
            leaves, spec = tree_flatten((args, kwargs))
            args, kwargs = tree_unflatten(change(leaves, entry.numbers), spec)
        return forward(*args, **kwargs)

    return enter


@contextlib.contextmanager
def swapped(model: nn.Module, swaps: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Replace the `forward` of modules inside the context; the modules themselves stay in place."""
    modules = [(model.get_submodule(path), forward) for path, forward in swaps.items()]
    before = [module.__dict__.get("forward") for module, _ in modules]
    for module, forward in modules:
        module.__dict__["forward"] = forward
    try:
        yield
    finally:
        for (module, _), was in zip(modules, before, strict=True):
            if was is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = was


def random_state_kept(inputs: Batch) -> Any:
    """A context after which torch's random state is as before."""
    devices = {t.device for t in inputs.values() if t.device.type == "cuda"}
    return torch.random.fork_rng(devices=list(devices))
