"""Learn a teacher's hidden states (FitNets; Romero et al. 2015, arXiv:1412.6550; TinyBERT; Jiao et al. 2020, arXiv:1909.10351).

Blocks are matched by their share of the depth, and TinyBERT's mean squared differences are summed over them. Padding is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hfft.errors import BadInput
from hfft.eval_mode import eval_mode
from hfft.lazy import F, torch
from hfft.strategy.distil.teacher import FromTeacher, block_outputs, real_positions
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass, Setting
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn


class Hints(MethodSpec):
    """Match the states of a teacher's blocks; where the widths differ, through a linear layer that learns with the model.

    Attributes:
        teacher: a run folder, a model folder or a hub id, with the same classes and the same processor.
        depths: which blocks are matched, as fractions of the depth of each model: 0.5 is the middle (FitNets), 1 the last block.
        weight: factor of the sum of their mean squared differences.
    """

    main = "teacher"
    teacher: str = Field(min_length=1)
    depths: list[Annotated[float, Field(gt=0, le=1)]] = Field(default=[0.5, 1.0], min_length=1)
    weight: WeightSpec = 1.0

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Hinted(self)


class Hinted(FromTeacher):
    """Runs the teacher in every step: its states would take too much space to be stored."""

    needs = frozenset({"teacher", "states"})

    def __init__(self, spec: Hints):
        self.spec, self.weight = spec, Weight(spec.weight)

    def start(self, setting: Setting) -> None:
        """Load the teacher, map blocks by their share of the depth, and compare the shapes of their states.

        Raises:
            BadInput: their states belong to different positions.
        """
        self.teacher = self.load_teacher(setting)
        ours, theirs = (setting.inspector.blocks_of(model) for model in (setting.model, self.teacher))
        # student's depth -> teacher's
        self.matched = {block_at(share, len(ours)): block_at(share, len(theirs)) for share in self.spec.depths}
        self.states = tuple(sorted(self.matched))
        self.blocks = {depth: theirs[other - 1] for depth, other in self.matched.items()}
        inputs = setting.inspector.sample()
        with eval_mode(setting.model), torch.no_grad(), block_outputs({d: ours[d - 1] for d in self.matched}) as found:
            setting.model(**inputs)
        wanted = self._states_of_teacher(inputs)
        self.maps = torch.nn.ModuleDict()
        for depth in self.states:
            left, right = positions(found[depth], wanted[depth])
            if left.shape[:2] != right.shape[:2]:
                raise BadInput(
                    f"strategy.{self.name}.teacher: block {self.matched[depth]} of the teacher has {right.shape[1]} positions, "
                    f"block {depth} of the model {left.shape[1]}; choose a teacher with the same patches or tokens"
                )
            if left.shape[2] != right.shape[2]:
                self.maps[str(depth)] = _linear(left, right, setting.seed + depth)

    def modules(self) -> nn.ModuleDict | None:
        """The linear layers, where widths differ."""
        return self.maps if len(self.maps) else None

    def _states_of_teacher(self, inputs: dict[str, Tensor]) -> dict[int, Tensor]:
        with torch.no_grad(), block_outputs(self.blocks) as found:
            self.teacher(**inputs)
        return found

    def batch(self, batch: Batch) -> None:
        """The teacher's states for the rows of the batch."""
        inputs = batch.part(TASK)
        batch.notes[self.name] = self._states_of_teacher(inputs), inputs.get("attention_mask")

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted sum over the blocks."""
        wanted, mask = seen.notes[self.name]
        own = len(seen.labels)
        terms = []
        for depth in self.states:
            left, right = positions(seen.states[TASK][depth], wanted[depth][:own])
            left = self.maps[str(depth)](left) if str(depth) in self.maps else left
            terms.append(hints(left, right.to(left.dtype), real_positions(None if mask is None else mask[:own], left)))
        return {self.name: self.weight(seen.at) * torch.stack(terms).sum(0)}


def block_at(share: float, blocks: int) -> int:
    """The number of the block, from 1, at a fraction of a model's depth."""
    return min(blocks, max(1, int(share * blocks + 0.5)))


def positions(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Two states as `(B, L, D)`. Feature maps `(B, D, H, W)` are first averaged to the smaller of their sizes."""
    if left.ndim == right.ndim == 4:
        size = (min(left.shape[2], right.shape[2]), min(left.shape[3], right.shape[3]))
        left, right = (F.adaptive_avg_pool2d(states, size) for states in (left, right))
    left, right = (states.flatten(2).mT if states.ndim == 4 else states for states in (left, right))
    return left, right


def hints(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of states `(B, L, D)` over the positions of each row and their dimensions: `(B,)`.

    Args:
        mask: `(B, L)`, 1 for the positions that count, 0 for padding.
    """
    return ((student - teacher).square().mean(2) * mask).sum(1) / mask.sum(1)


def _linear(left: Tensor, right: Tensor, seed: int) -> nn.Linear:
    """A linear layer between the widths of two states, from random numbers of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Linear(left.shape[2], right.shape[2]).to(left.device, left.dtype)
