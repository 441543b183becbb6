"""Where computing can start: what runs before anything that learns answers the same every time, and need not run again.

`Cut.record` runs that part alone; `Cut.handing` lets the model's own `forward` go on from what was recorded. Modules stay
what and where they are, only their `forward` answers with what is kept, so masks, positions and pooling are the model's
business, and what is saved is whole.
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
    """A tensor of one example that flows across the cut: `(B, *tail)`, or `(B, L, *tail)` along the tokens of a text.

    Attributes:
        channels_last: the order of its numbers in memory, in which dropout draws for them.
    """

    tail: tuple[int, ...]
    dtype: torch.dtype
    along_tokens: bool
    channels_last: bool = False


@dataclass(frozen=True)
class Leaf:
    """One tensor that a stand-in answers with: a kept one by number, or a place holder that nothing reads."""

    kept: int | None
    axes: tuple[int | str, ...]
    dtype: torch.dtype
    asks_grad: bool  # some checkpointing wants its inputs to, though nothing in front of them learns


@dataclass(frozen=True)
class Entry:
    """A module behind the cut whose inputs are kept: which of its calls in a pass, and leaf of the inputs -> number."""

    path: str
    call: int
    calls: int
    numbers: dict[int, int]


@dataclass(frozen=True)
class Cut:
    """A cut through a model.

    Attributes:
        stands: path of a module in front of the cut -> how its stand-in answers.
        entry: where inputs behind the cut are kept, since they are less than the outputs in front of it.
        kept: what flows across.
        share: part of the model's multiplications that stands in front of it, 0 to 1.
        left: multiplications behind it for each example of the probe, of a forward pass.
        placeholders: inputs that only the part in front of the cut reads -> their shape without the batch.
    """

    stands: dict[str, tuple[TreeSpec, tuple[Any, ...]]]
    entry: Entry | None
    kept: tuple[Kept, ...]
    share: float
    left: float
    placeholders: dict[str, tuple[tuple[int, ...], torch.dtype]]

    @property
    def bytes_per_token(self) -> int:
        """Bytes of what is kept for each token of a text."""
        return sum(_size(k) for k in self.kept if k.along_tokens)

    @property
    def bytes_per_example(self) -> int:
        """Bytes of what is kept for each example beside its tokens."""
        return sum(_size(k) for k in self.kept if not k.along_tokens)

    def record(self, model: nn.Module, inputs: Batch) -> list[Tensor]:
        """What flows across the cut for a batch; the part behind it does not run and no random number is drawn.

        Raises:
            NotCuttable: the forward pass did not come by the cut.
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
            raise NotCuttable("the forward pass took another way than on the probe")
        return [found[i] for i in range(len(self.kept))]

    @contextlib.contextmanager
    def handing(self, model: nn.Module, states: Sequence[Tensor], batch: Batch) -> Iterator[None]:
        """Inside, a forward pass of the model goes on from `states`, as `record` returns them.

        Args:
            batch: the model's inputs, for the sizes of the batch; also a backward pass that computes again runs inside.
        """
        with swapped(model, self.answers(model, states, Probe.of(batch).length, None)):
            yield

    def answers(
        self, model: nn.Module, states: Sequence[Tensor], length: int | None, poison: float | None
    ) -> dict[str, Callable[..., Any]]:
        """The forwards of the stand-ins; place holders hold `poison`, where that is given."""
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
        """The batch with place holders for the inputs that only the part in front of the cut reads."""
        filled = {
            name: torch.zeros((), dtype=dtype, device=device).expand(size, *shape)
            for name, (shape, dtype) in self.placeholders.items()
        }
        return {**batch, **filled}


class _Reached(Exception):
    """Everything that flows across the cut has been seen."""


def _size(kept: Kept) -> int:
    return torch.Size(kept.tail).numel() * kept.dtype.itemsize


def _placeholder(leaf: Leaf, size: int, length: int, device: Any, value: float) -> Tensor:
    shape = [size if a == "B" else length if a == "L" else int(a) for a in leaf.axes]
    return torch.full((), value if leaf.dtype.is_floating_point else 0, dtype=leaf.dtype, device=device).expand(shape)


def constant(spec: TreeSpec, leaves: list[Any]) -> Callable[..., Any]:
    """A forward that always answers the same."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return tree_unflatten(leaves, spec)

    return stand_in


def _entering(model: nn.Module, entry: Entry, change: Callable[[list[Any], dict[int, int]], list[Any]]) -> Any:
    """The module's forward, with the leaves of its inputs changed in the one call of a pass that is meant."""
    forward, called = model.get_submodule(entry.path).forward, itertools.count()

    def enter(*args: Any, **kwargs: Any) -> Any:
        if next(called) % entry.calls == entry.call:
            leaves, spec = tree_flatten((args, kwargs))
            args, kwargs = tree_unflatten(change(leaves, entry.numbers), spec)
        return forward(*args, **kwargs)

    return enter


@contextlib.contextmanager
def swapped(model: nn.Module, swaps: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Let modules answer by other functions, whatever happens inside; the modules stay where and what they are."""
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
    """A context behind which torch draws as if nothing had been drawn inside."""
    devices = {t.device for t in inputs.values() if t.device.type == "cuda"}
    return torch.random.fork_rng(devices=list(devices))
