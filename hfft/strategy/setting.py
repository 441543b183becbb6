"""What a method receives once, before training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hfft.errors import BadInput, DataError
from hfft.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from hfft.strategy.inspector import Inspector
    from hfft.strategy.method import Method
    from hfft.tasks.problem import Problem


@dataclass
class Setting:
    """What a method receives once, before the first step and before a checkpoint is loaded.

    Attributes:
        model: the model with its pretrained weights, not wrapped for distributed training.
        head_names: names of the head's parameters.
        outputs: number of the model's outputs.
        class_names: names of the classes, if there are classes.
        class_ids: class of each training row, for methods that need `counts`: `(rows,)`, or `(rows, C)` of 0 and 1 if a
            row may have several.
        domain_ids: `(rows,)` number of each training row's domain, or of its task if there are several, for methods that need
            `domains`.
        rows: number of training rows; None for a stream of unknown length.
        batch_rows: number of rows of a step.
        sets: number of rows of each set in `data.sets`.
        epochs: number of epochs, rounded up.
        fixed_inputs: whether a row's inputs are the same in every epoch, or one of a few views that are shown in turn.
        load_model: name or folder -> a finished model that takes the same inputs, for methods that need `teacher`.
        inspector: answers further questions about the model and the rows.
        black_and_white: the values of the model's input for levels 0 and 1 of each channel, `(C,)` each; None if unknown.
        methods: all methods of the run, in the order of their hooks.
        tokenizer: the tokenizer of the rows, if they are texts.
        modality: of the rows, if they are neither texts nor images.
        norm_statistics: a model -> a context with its BatchNorm statistics estimated again on the training rows.
        moving_norms: whether training updates the statistics of any BatchNorm.
    """

    model: nn.Module
    head_names: set[str]
    problem: Problem
    outputs: int
    seed: int
    device: torch.device
    class_names: tuple[str, ...] = ()
    class_ids: np.ndarray | None = None
    domain_ids: np.ndarray | None = None
    rows: int | None = None
    batch_rows: int = 1
    sets: Mapping[str, int] = field(default_factory=dict)
    epochs: int = 1
    fixed_inputs: bool = True
    load_model: Callable[[str], nn.Module] | None = None
    inspector: Inspector = None  # type: ignore[assignment]  # None only for a method that is tested by itself
    black_and_white: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    methods: Sequence[Method] = ()
    tokenizer: Any = None
    modality: str = ""
    norm_statistics: Callable[[nn.Module], contextlib.AbstractContextManager[None]] = lambda _: contextlib.nullcontext()
    moving_norms: bool = False

    @property
    def class_counts(self) -> np.ndarray:
        """Number of training rows of each class, `(C,)`."""
        assert self.class_ids is not None
        if self.class_ids.ndim == 2:
            return self.class_ids.sum(0).astype(int)
        return np.bincount(self.class_ids, minlength=self.outputs)

    def counts_above_zero(self, method: str, otherwise: str) -> list[int]:
        """Number of training rows of each class, for a method that cannot do with a class without rows.

        Args:
            otherwise: what such a class would lead to, for the message.

        Raises:
            DataError: a class has no rows.
        """
        counts: list[int] = self.class_counts.tolist()
        if 0 in counts:
            name = self.class_names[counts.index(0)] if self.class_names else f"class {counts.index(0)}"
            raise DataError(
                f"strategy.{method}: {name} has no rows, so that {otherwise}; add rows of it, or remove the class"
            )
        return counts

    def source_head(self, method: str) -> nn.Linear:
        """The classifier with which the backbone was published, for a method.

        Raises:
            BadInput: there is none that fits the model.
        """
        try:
            return self.inspector.source_head()
        except BadInput as error:
            raise BadInput(f"strategy.{method}: {error}") from error

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """The learning parameters that had weights before this run: all except the head's."""
        named = self.model.named_parameters()
        return {name: p for name, p in named if p.requires_grad and name not in self.head_names}
