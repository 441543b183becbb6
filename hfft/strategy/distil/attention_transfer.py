"""Learn where a teacher's last block attends (MiniLM; Wang et al. 2020, arXiv:2002.10957)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.errors import BadInput
from hfft.eval_mode import eval_mode
from hfft.lazy import torch
from hfft.strategy.distil.teacher import FromTeacher, real_positions
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass, Setting
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn

STUDENT = "attention of the model"  # in a batch's notes


class AttentionTransfer(MethodSpec):
    """Match the attention maps of the last blocks, without MiniLM's relations between values.

    Both models compute attention in the `eager` way, which takes more time and memory than `sdpa`. Without dropout in the last
    attention, whose zeros have no logarithm.

    Attributes:
        teacher: a run folder, a model folder or a hub id, with the same classes and the same processor.
        weight: factor of the divergence. MiniLM learns it alone, before any task; beside a task's loss it has to be small: two of
            MiniLM's blocks on 545 rows of TREC came to 0.772 at 0.01, 0.612 at 0.1, 0.390 at 1 and 0.728 without (one seed).
    """

    main = "teacher"
    teacher: str = Field(min_length=1)
    weight: WeightSpec = 0.01

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Attentive(self)


class Attentive(FromTeacher):
    """Runs the teacher in every step."""

    needs = frozenset({"teacher", "attentions"})

    def __init__(self, spec: AttentionTransfer):
        self.spec, self.weight = spec, Weight(spec.weight, default=0.01)

    def start(self, setting: Setting) -> None:
        """Load the teacher, and find the last attention of both models.

        Raises:
            BadInput: one of them has no attention maps, or they are of other positions.
        """
        self.teacher = self.load_teacher(setting)
        inputs = setting.inspector.sample()
        self.attention = self._last_attention(setting, setting.model, "the model", inputs)
        self.of_teacher = self._last_attention(setting, self.teacher, "the teacher", inputs)
        sizes = []
        for model, attention in ((setting.model, self.attention), (self.teacher, self.of_teacher)):
            with eval_mode(model), torch.no_grad(), attention_map(attention) as found:
                model(**inputs)
            sizes.append(found[0].shape[3])
        if sizes[0] != sizes[1]:
            raise BadInput(
                f"strategy.{self.name}.teacher: attends to {sizes[1]} positions, the model to {sizes[0]}; choose a teacher "
                f"with the same patches or tokens"
            )

    def _last_attention(self, setting: Setting, model: nn.Module, whose: str, inputs: dict[str, Any]) -> nn.Module:
        eager(model)
        block, found = setting.inspector.blocks_of(model)[-1], list[torch.nn.Module]()

        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            if map_in(output) is not None:
                found.append(module)

        handles = [module.register_forward_hook(note) for module in block.modules()]
        with eval_mode(model), torch.no_grad():
            model(**inputs)
        for handle in handles:
            handle.remove()
        if not found:
            raise BadInput(
                f"strategy.{self.name}: {whose} has no attention maps of shape (rows, heads, tokens, tokens) in its last "
                f"block; use hints or distillation instead"
            )
        return found[0]

    def batch(self, batch: Batch) -> None:
        """The teacher's map for the rows of the batch."""
        inputs = batch.part(TASK)
        with torch.no_grad(), attention_map(self.of_teacher) as found:
            self.teacher(**inputs)
        batch.notes[self.name] = found[0], inputs.get("attention_mask")

    @contextlib.contextmanager
    def around(self, model: nn.Module, batch: Batch) -> Iterator[None]:
        """Note the model's map."""
        with attention_map(self.attention) as found:
            batch.notes[STUDENT] = found
            yield

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted divergence."""
        own = len(seen.labels)
        wanted, mask = seen.notes[self.name]
        student = seen.notes[STUDENT][0][:own]
        real = real_positions(None if mask is None else mask[:own], student[:, 0])
        found = attention_transfer(wanted[:own].to(student.dtype), student, real)
        return {self.name: self.weight(seen.at) * found}


def attention_transfer(teacher: Tensor, student: Tensor, mask: Tensor) -> Tensor:
    """`KL(teacher || student)` of attention maps `(B, heads, L, L)`, the mean over heads and positions of each row: `(B,)`.

    If the numbers of heads differ, of the maps' means over the heads.

    Args:
        mask: `(B, L)`, 1 for the positions that count, 0 for padding.
    """
    if teacher.shape[1] != student.shape[1]:
        teacher, student = teacher.mean(1, keepdim=True), student.mean(1, keepdim=True)
    tiny = torch.finfo(student.dtype).tiny
    divergence = (torch.xlogy(teacher, teacher) - teacher * student.clamp(min=tiny).log()).sum(3).mean(1)
    return (divergence * mask).sum(1) / mask.sum(1)


def eager(model: nn.Module) -> None:
    """Let a model of transformers compute attention step by step, so that its maps can be read."""
    for module in model.modules():
        switch: Any = getattr(module, "set_attn_implementation", None)
        if switch is not None:
            switch("eager")
            return


def map_in(output: Any) -> Tensor | None:
    """The attention map in what a module returns, beside its states; None if there is none."""
    second = output[1] if isinstance(output, tuple) and len(output) > 1 else None
    return second if isinstance(second, torch.Tensor) and second.ndim == 4 else None


@contextlib.contextmanager
def attention_map(attention: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, a forward pass puts the map `(B, heads, L, L)` of an attention, without dropout, into the list that this yields.

    If the pass is recomputed, the first one counts.
    """
    found: list[Tensor] = []
    training = attention.training

    def before(module: nn.Module, inputs: Any) -> None:
        nonlocal training
        training, module.training = module.training, False

    def after(module: nn.Module, inputs: Any, output: Any) -> None:
        module.training = training
        if not found and (one := map_in(output)) is not None:
            found.append(one)

    handles = [attention.register_forward_pre_hook(before), attention.register_forward_hook(after)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
        attention.training = training
