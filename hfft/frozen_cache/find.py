"""Find the cut of a model: run it on a few examples, and use autograd to see which outputs depend on nothing that learns.

The cut is found from what the modules do, so no architecture needs code of its own. It is tried before use: everything
before it that is not stored is replaced by NaN, and the outputs must stay the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hfft.frozen_cache.split_point import Batch, Cut, Entry, Kept, Leaf, constant, random_state_kept, swapped
from hfft.frozen_cache.trace import Call, NotCuttable, Probe, same, trace

Logits = Callable[[Any], Tensor]
LEAST = 0.1  # least share of the work before a cut worth caching
_ODD = (RuntimeError, ValueError, IndexError, TypeError, KeyError, AttributeError, AssertionError)  # on odd inputs


def find(model: nn.Module, batch: Batch, logits: Logits) -> Cut:
    """The deepest cut before which nothing learns.

    Args:
        model: in its training mode, with frozen modules in `eval()`.
        batch: inputs without labels; text inputs padded.
        logits: extracts the compared outputs from the model's output.

    Raises:
        NotCuttable: there is none, or it fails its test; the message says why.
    """
    few, small = Probe.of(batch).samples()
    # norms that are not held would be updated by every batch
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with random_state_kept(batch), torch.enable_grad():
            return _Search(model, few, small, logits).cut()
    except _ODD as error:
        raise NotCuttable(
            f"its forward pass fails for other input sizes ({str(error).splitlines()[0][:100]})"
        ) from error
    finally:
        with torch.no_grad():
            for buffer, was in buffers:
                buffer.copy_(was)


class _Search:
    """One search: the traces of a few examples, and the cut derived from them."""

    def __init__(self, model: nn.Module, few: Probe, small: Probe, logits: Logits):
        self.model, self.few, self.small, self.logits = model, few, small, logits
        self.plain, output = trace(model, few.batch, 0)
        self.again, _ = trace(model, few.batch, 1)
        self.less, _ = trace(model, small.batch, 0)
        self.expected = logits(output).detach()
        if not [c.path for c in self.plain] == [c.path for c in self.again] == [c.path for c in self.less]:
            raise NotCuttable("its forward pass does not always call the same modules")

    def cut(self) -> Cut:
        """The cut, tried."""
        standing = self.standing()
        if not standing:
            raise NotCuttable("no frozen layers run before those that learn")
        inside = {number for call in standing for number in call.inside}
        work = [call.work for call in self.plain]
        in_front = sum(work[number] for number in inside)
        share, left = in_front / max(sum(work), 1.0), (sum(work) - in_front) / self.few.size
        if share < LEAST:
            raise NotCuttable(f"the layers before the first that learns are only {share:.1%} of the work")
        live = self.live(standing)
        numbers = {key: i for i, key in enumerate(live)}
        stands: dict[str, Any] = {}
        kept = []
        for call in standing:
            leaves: list[Any] = list(call.outputs)
            for i, (tensor, shorter) in enumerate(zip(leaves, self.shorter(call).outputs, strict=True)):
                if isinstance(tensor, Tensor):
                    leaves[i] = Leaf(
                        numbers.get((call.path, i)), _axes(tensor, shorter), tensor.dtype, tensor.requires_grad
                    )
            stands[call.path] = (call.out_spec, tuple(leaves))
            kept += [_kept(leaf) for leaf in leaves if isinstance(leaf, Leaf) and leaf.kept is not None]
        heavy = {
            name: (tuple(t.shape[1:]), t.dtype)
            for name, t in self.few.batch.items()
            if t.is_floating_point() and t.ndim > 2 and t.shape[1:] == self.small.batch[name].shape[1:]
        }
        states = [live[key] for key in numbers]
        cut = self.narrowed(Cut(stands, None, tuple(kept), share, left, heavy), states, inside)
        states = cut.record(self.model, self.few.batch)
        if not same(self.poisoned(cut, states), self.expected):
            raise NotCuttable("the part after the cut reads more than the states at the cut")
        self.each_on_its_own(cut, states)
        return replace(cut, kept=tuple(map(_in_order, cut.kept, states)))

    def standing(self) -> list[Call]:
        """The outermost calls that end before the first learning call, can be replaced, and always return the same outputs."""
        first = next((number for number, call in enumerate(self.plain) if call.learns), len(self.plain))
        found: list[Call] = []
        done = 0
        for number, (call, again, less) in enumerate(zip(self.plain, self.again, self.less, strict=True)):
            holds = next(call.module.parameters(), None) is not None
            free = number >= done and holds and call.count == 1 and call.inside.stop <= first
            free = free and not self.in_block_that_learns(call.path)
            if free and self.alike(call, again, less):
                found.append(call)
                done = call.inside.stop
        return found

    def alike(self, call: Call, again: Call, less: Call) -> bool:
        """Whether the outputs appear to depend on each example alone, and whether their sizes identify their axes."""
        if call.out_spec != less.out_spec or call.out_spec != again.out_spec:
            return False
        if any(m.training and getattr(m, "track_running_stats", False) for m in call.module.modules()):
            return False
        tensors = 0
        for x, y, z in zip(call.outputs, again.outputs, less.outputs, strict=True):
            if not isinstance(x, Tensor):
                if x is None or isinstance(x, (bool, int, float, str)):
                    continue
                return False
            if not x.is_floating_point() or self.learnt(x) or not x.ndim or x.ndim != z.ndim or not same(x, y, 1e-6):
                return False
            if len(x) != self.few.size or len(z) != self.small.size:
                return False
            sizes = {(a, b) for a, b in zip(x.shape[1:], z.shape[1:], strict=True) if a != b}
            if not sizes <= {(self.few.length, self.small.length)}:
                return False
            tensors += 1
        return tensors > 0

    def in_block_that_learns(self, path: str) -> bool:
        """Whether the module is part of a learning block: the states before such a block are smaller than inside it."""
        member = path
        while outer := member.rpartition(".")[0]:
            if isinstance(self.model.get_submodule(outer), (nn.ModuleList, nn.Sequential)):
                block = self.model.get_submodule(member)
                return member != path and any(p.requires_grad for p in block.parameters())
            member = outer
        return False

    def learnt(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on a parameter that learns."""
        if not tensor.requires_grad:
            return False
        learning = [p for p in self.model.parameters() if p.requires_grad]
        grads = torch.autograd.grad(tensor.sum(), learning, retain_graph=True, allow_unused=True)
        return any(grad is not None for grad in grads)

    def shorter(self, call: Call) -> Call:
        """The same call in the trace of fewer examples."""
        return self.less[call.inside.start]

    def live(self, standing: list[Call]) -> dict[tuple[str, int], Tensor]:
        """(path, leaf) -> output before the cut that the model's outputs depend on."""
        swaps, leaves = {}, {}
        for call in standing:
            answer = list(call.outputs)
            for i, tensor in enumerate(answer):
                if isinstance(tensor, Tensor):
                    answer[i] = leaves[call.path, i] = tensor.detach().clone().requires_grad_()
            assert call.out_spec is not None
            swaps[call.path] = constant(call.out_spec, answer)
        torch.manual_seed(0)
        with swapped(self.model, swaps):
            total = self.logits(self.model(**self.few.batch)).float().sum()
        if total.requires_grad:
            grads: tuple[Tensor | None, ...]
            try:
                grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
            except RuntimeError:
                # reentrant checkpointing allows only full backward passes: guess; the cut is tested later
                grads = tuple(leaf if path == standing[-1].path else None for (path, _), leaf in leaves.items())
            found = {
                key: leaf.detach() for (key, leaf), grad in zip(leaves.items(), grads, strict=True) if grad is not None
            }
            if found:
                return found
        raise NotCuttable("the outputs do not depend on the layers before the first that learns")

    def narrowed(self, cut: Cut, states: list[Tensor], inside: set[int]) -> Cut:
        """The same cut, but storing the inputs of a later module if these are smaller: one token of all, or a mean."""
        with contextlib.suppress(*_ODD), torch.no_grad():
            nans = [torch.full_like(state, float("nan")) for state in states]
            with swapped(self.model, cut.answers(self.model, nans, self.few.length, float("nan"))):
                tainted = trace(self.model, self.few.batch, 0)[0]
            for entry, read in self.entries(cut, states, tainted, inside):
                kept = tuple(Kept(tuple(t.shape[1:]), t.dtype, along_tokens=False) for t in read)
                tried = replace(cut, entry=entry, kept=kept)
                with contextlib.suppress(*_ODD):
                    if same(self.poisoned(tried, read), self.expected):
                        return tried
        return cut

    def entries(
        self, cut: Cut, states: list[Tensor], tainted: list[Call], inside: set[int]
    ) -> list[tuple[Entry, list[Tensor]]]:
        """Calls after the cut whose inputs from before it are smaller than the states at the cut; the smallest first."""
        found = []
        most = sum(state.nbytes for state in states)
        with_nan = {(call.path, call.turn): call for call in tainted}
        for number, (call, again, less) in enumerate(zip(self.plain, self.again, self.less, strict=True)):
            other = with_nan.get((call.path, call.turn))
            around = any(path.startswith(f"{call.path}.") for path in cut.stands)
            if number in inside or around or other is None or len(other.inputs) != len(call.inputs):
                continue
            places = [i for i, x in enumerate(other.inputs) if isinstance(x, Tensor) and bool(x.isnan().any())]
            read = [call.inputs[i] for i in places]
            fits = all(
                not t.requires_grad
                and len(t) == self.few.size
                and t.shape[1:] == less.inputs[i].shape[1:]  # if they grow with the tokens, nothing is gained
                and same(t, again.inputs[i], 1e-6)
                for i, t in zip(places, read, strict=True)
            )
            size = sum(t.nbytes for t in read)
            if places and fits and size < most:
                entry = Entry(call.path, call.turn, call.count, {place: i for i, place in enumerate(places)})
                found.append((size, entry, [t.detach() for t in read]))
            if places and call.learns:
                break
        return [candidate[1:] for candidate in sorted(found, key=lambda candidate: candidate[0])[:8]]

    def poisoned(self, cut: Cut, states: Sequence[Tensor]) -> Tensor:
        """The model's outputs when everything before the cut that is not stored is NaN."""
        batch = {n: torch.full_like(t, float("nan")) if n in cut.placeholders else t for n, t in self.few.batch.items()}
        torch.manual_seed(0)
        with torch.no_grad(), swapped(self.model, cut.answers(self.model, states, self.few.length, float("nan"))):
            return self.logits(self.model(**batch))

    def each_on_its_own(self, cut: Cut, together: Sequence[Tensor]) -> None:
        """Make sure that an example's states do not depend on its padding or on other examples in the batch."""
        for row in (0, 1):
            alone, own = self.few.alone(row)
            for kept, a, b in zip(cut.kept, cut.record(self.model, alone.batch), together, strict=True):
                mine = b[row][own] if kept.along_tokens and own is not None else b[row]
                if not same(a[0], mine):
                    raise NotCuttable("the states of an example depend on its padding or on the rest of its batch")


def _axes(tensor: Tensor, shorter: Tensor) -> tuple[int | str, ...]:
    return ("B", *(a if a == b else "L" for a, b in zip(tensor.shape[1:], shorter.shape[1:], strict=True)))


def _in_order(kept: Kept, state: Tensor) -> Kept:
    """The same entry with the memory layout of a state."""
    last = state.ndim == 4 and not state.is_contiguous() and state.is_contiguous(memory_format=torch.channels_last)
    return replace(kept, channels_last=last)


def _kept(leaf: Leaf) -> Kept:
    along = len(leaf.axes) > 1 and leaf.axes[1] == "L"
    tail = leaf.axes[2:] if along else leaf.axes[1:]
    if "L" in tail:
        raise NotCuttable("the states at the cut grow with the length of a text in more than one dimension")
    return Kept(tuple(int(a) for a in tail), leaf.dtype, along)


def features(model: nn.Module, batch: Batch, head_names: set[str], logits: Logits) -> Tensor:
    """The inputs of the head for a batch, `(B, D)` or `(B, L, D)`: for nearest neighbours, linear probes, rankings.

    Args:
        batch: inputs without labels.
        head_names: names of the head's parameters.

    Raises:
        NotCuttable: the inputs of the head cannot be isolated.
    """
    training, learns = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    try:
        model.eval()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in head_names)
        states = find(model, batch, logits).record(model, batch)
        if len(states) != 1:
            raise NotCuttable(f"the head reads {len(states)} tensors")
        return states[0].flatten(1) if states[0].shape[2:].numel() == 1 else states[0]
    finally:
        for module, was in zip(model.modules(), training, strict=True):
            module.training = was
        for parameter, was in zip(model.parameters(), learns, strict=True):
            parameter.requires_grad_(was)
