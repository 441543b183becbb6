"""What the methods that learn from a teacher share: loading it, its stored or live outputs, and states inside a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, Setting
from hfft.strategy.outputs import logits_of
from hfft.strategy.tensors import states_of
from hfft.wording import listing

if TYPE_CHECKING:
    from torch import Tensor, nn


class FromTeacher(Method):
    """A method with a teacher that is loaded by name: a run folder, a model folder or a hub id.

    Attributes:
        spec: its options, with the `teacher`.
        own_inputs: whether a teacher with another tokenizer will do, which reads the rows by itself, before the first step.
    """

    needs = frozenset({"teacher"})
    own_inputs = False
    spec: Any

    def load_teacher(self, setting: Setting) -> nn.Module:
        """The teacher on the device, in `eval()` and without gradients.

        Raises:
            BadInput: there is no such model, or it has other classes or other inputs.
        """
        assert setting.load_model is not None
        self.problem, self.setting = setting.problem, setting
        try:
            teacher = setting.load_model(self.spec.teacher)
        except BadInput as error:
            raise BadInput(f"strategy.{self.name}.teacher: {error}") from error
        self._check_inputs(teacher, setting)
        return teacher.requires_grad_(False).eval().to(setting.device)

    def _check_inputs(self, teacher: Any, setting: Setting) -> None:
        """Raise BadInput if the teacher has another tokenizer than the model, and this method or training cannot do with it."""
        if not (differing := getattr(teacher, "differing", ())):
            return
        changing = [method.name for method in setting.methods if "inputs" in method.needs]
        if not self.own_inputs:
            why = f"strategy.{self.name} compares states of the same tokens"
        elif changing:
            why = f"strategy.{changing[0]} changes the inputs in every step"
        elif setting.rows is None:
            why = "streamed rows cannot be read twice"
        else:
            return
        raise BadInput(
            f"strategy.{self.name}.teacher: {self.spec.teacher} has another tokenizer than this model ({listing(differing, 3)}), "
            f"but {why}; choose a teacher with the same tokenizer"
        )

    def reference(self) -> nn.Module:
        """The teacher, loaded again."""
        return self.load_teacher(self.setting)


@dataclass
class Outputs:
    """A fixed model's outputs for batches.

    Attributes:
        kept: those of all rows and views; None to run `model` each time.
        place: rows and an epoch -> where their outputs are in `kept`.
    """

    kept: Tensor | None
    model: nn.Module | None
    place: Callable[[np.ndarray, int], np.ndarray]

    @classmethod
    def of_model(cls, setting: Setting, model: nn.Module) -> Outputs:
        """The outputs of a model, computed now for all rows if their inputs never change, or if it has inputs of its own."""
        own = getattr(model, "prepared", None) is not None
        kept = setting.inspector.kept_logits(model) if own or setting.fixed_inputs else None
        return cls(kept, model if kept is None else None, _row_itself if own else setting.inspector.place)

    def of(self, batch: Batch) -> Tensor:
        """The logits of the batch's rows, `(B, C)`."""
        if self.kept is not None:
            assert batch.rows is not None
            answers = self.kept[torch.from_numpy(self.place(batch.rows, batch.at.epoch))]
        else:
            assert self.model is not None
            with torch.no_grad():
                answers = logits_of(self.model(**batch.part(TASK)))
        return answers.to(batch.labels.device)


def _row_itself(rows: np.ndarray, epoch: int) -> np.ndarray:
    return rows


@contextlib.contextmanager
def block_outputs(blocks: Mapping[int, nn.Module]) -> Iterator[dict[int, Tensor]]:
    """Inside, a forward pass fills the dictionary that this yields: depth -> the output of the block with that key."""
    found: dict[int, Tensor] = {}

    def hook(depth: int) -> Any:
        return lambda module, inputs, output: found.setdefault(depth, states_of(output))

    handles = [block.register_forward_hook(hook(depth)) for depth, block in blocks.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def real_positions(mask: Tensor | None, like: Tensor) -> Tensor:
    """`(B, L)` 1 for each position of a row and 0 for padding, from a mask of that shape if there is one.

    Args:
        like: a tensor `(B, L, …)`.
    """
    if mask is not None and mask.shape == like.shape[:2]:
        return mask.to(like.dtype)
    return torch.ones(like.shape[:2], dtype=like.dtype, device=like.device)
