"""What a method is: a frozen spec, and a class that defines some of these hooks. Which it defines says what it does.

The Trainer calls the hooks and reduces what they return by its kind (`hfft.train.steps`):

| returned by | shape | counts as |
|---|---|---|
| `example_loss`, `losses` | `(b,)`, a value per row | their sum, divided by the targets, or rows, of the global batch |
| `statistic` | scalar | exactly that of all rows of the global batch, for every split of it |
| `weights` | scalar | once per step |
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import model_validator

from hfft.lazy import torch
from hfft.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.tasks.problem import Problem

TASK = "task"  # the part of a batch that holds the rows drawn for the step


class MethodSpec(Spec):
    """The recipe entry of a method. A plain value in the place of a mapping is its `main` option."""

    main: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if cls.main is None or isinstance(value, (Mapping, Spec)) else {cls.main: value}

    def build(self) -> Method | None:
        """The method; None where its options are neutral, so that the run is bit for bit as without it."""
        raise NotImplementedError


@dataclass(frozen=True)
class At:
    """Where a training is.

    Attributes:
        step: optimiser steps taken.
        epoch: the running one, from 0.
        share: of the whole training that has passed, 0 to 1.
        seed: of the run.
    """

    step: int
    epoch: int
    share: float
    seed: int

    def draws(self, rows: Sequence[int] | np.ndarray, count: int = 1, salt: int = 0) -> np.ndarray:
        """`(len(rows), count)` numbers in [0, 1), from (seed, epoch, row, salt) alone: the same for every split of a batch."""
        return np.stack([np.random.default_rng((self.seed, self.epoch, int(row), salt)).random(count) for row in rows])


@dataclass
class Setting:
    """What a method is told once, before the first step and before a checkpoint is loaded.

    Attributes:
        model: with its pretrained weights, not wrapped by what distributes it.
        head_names: parameters of the head.
        outputs: number of the model's outputs.
        class_names: names of the classes, where there are classes.
        class_ids: `(rows,)` class of each training row, for methods that need `counts`.
        rows: training rows; None for a stream that does not state them.
        sets: rows of each set of `data.sets`.
        fixed_inputs: whether a row's inputs are the same in every epoch.
        load_model: name or folder -> a finished model that reads the same inputs, for methods that need `teacher`.
        answers: a model -> its logits `(rows, C)` for all training rows, in their order.
    """

    model: nn.Module
    head_names: set[str]
    problem: Problem
    outputs: int
    seed: int
    device: torch.device
    class_names: tuple[str, ...] = ()
    class_ids: np.ndarray | None = None
    rows: int | None = None
    sets: Mapping[str, int] = field(default_factory=dict)
    fixed_inputs: bool = True
    load_model: Callable[[str], nn.Module] | None = None
    answers: Callable[[nn.Module], Tensor] | None = None

    @property
    def class_counts(self) -> np.ndarray:
        """Training rows of each class, `(C,)`."""
        assert self.class_ids is not None
        return np.bincount(self.class_ids, minlength=self.outputs)

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that learn and had weights before this run: all but the head's."""
        named = self.model.named_parameters()
        return {name: p for name, p in named if p.requires_grad and name not in self.head_names}


@dataclass(frozen=True)
class Companion:
    """Rows to read beside those of a batch.

    Attributes:
        rows: `(B,)` numbers of rows.
        of: the set of `data.sets` they belong to; None for the training rows.
        draw: which augmentation of the row: 0 is the one that training sees.
    """

    rows: np.ndarray
    of: str | None = None
    draw: int = 0


@dataclass(frozen=True)
class Target:
    """Labels that the answers of a part are held against, each row's loss times its factor."""

    labels: Tensor
    factor: Tensor | None = None
    part: str = TASK


@dataclass
class Batch:
    """A micro-batch in front of the forward pass: one pass runs over all of its parts.

    Attributes:
        inputs: name -> `(K * B, …)`, the K parts one behind the other; row i of each belongs to row i of the task.
        parts: their names, `task` first.
        labels: of the rows of the task `(B, …)`.
        targets: the task loss is the sum over these.
        rows: `(B,)` numbers of the rows; None where no method asked for them.
        own: rows of the task that count, from the first: the rest fills an epoch's last batch up.
        notes: what the hooks of one method tell one another, under its name.
    """

    inputs: dict[str, Any]
    parts: list[str]
    labels: Tensor
    targets: list[Target]
    rows: np.ndarray | None
    own: int
    at: At
    part_labels: dict[str, Tensor] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, Any]:
        """The inputs of one part."""
        size, k = len(self.labels), self.parts.index(name)
        return {key: value[k * size : (k + 1) * size] for key, value in self.inputs.items()}

    def put(self, name: str, inputs: Mapping[str, Any] | None = None) -> None:
        """Add a part: these inputs, or the task's once more."""
        given = self.part(TASK) if inputs is None else inputs
        self.inputs = {key: _joined(value, given[key]) for key, value in self.inputs.items()}
        self.parts.append(name)

    def take(self, name: str) -> dict[str, Any]:
        """Remove a part, which is not run; its inputs."""
        taken, size, k = self.part(name), len(self.labels), self.parts.index(name)
        self.inputs = {key: _joined(value[: k * size], value[(k + 1) * size :]) for key, value in self.inputs.items()}
        self.parts.remove(name)
        return taken

    def replace(self, name: str, inputs: Mapping[str, Any]) -> None:
        """Give a part other inputs; those not named stay."""
        size, k = len(self.labels), self.parts.index(name)
        for key, value in inputs.items():
            whole = self.inputs[key]
            self.inputs[key] = _joined(_joined(whole[: k * size], value), whole[(k + 1) * size :])


def _joined(left: Any, right: Any) -> Any:
    if isinstance(left, np.ndarray):
        return np.concatenate([left, right])
    return torch.cat([left, right])


@dataclass
class Pass:
    """A forward pass behind it: own rows only, in float32 at least, outside of autocast.

    Attributes:
        logits: part -> `(b, C)`.
        features: part -> `(b, D)`, what the last layer of the head reads; only where a method needs them.
        states: part -> depth -> what the block at that depth answered; only where a method needs them.
        labels: `(b, …)` of the task's rows.
        rows: `(b,)` their numbers, where a method needs them.
    """

    logits: dict[str, Tensor]
    features: dict[str, Tensor]
    states: dict[str, dict[int, Tensor]]
    labels: Tensor
    rows: np.ndarray | None
    notes: dict[str, Any]
    at: At


Inner = Callable[
    ["Tensor", "Tensor"], "Tensor"
]  # logits (b, C) and labels (b,) or (b, K) -> losses of the labels' shape


class Method:
    """A way to learn beside the task loss. Every hook is optional.

    Attributes:
        needs: what the hooks do not say, of `hfft.strategy.needs.NEEDS`.
        problems: names of the problems it suits; None for all.
        replaces_loss: its `example_loss` does not ask `inner`; one method at most may.
        states: depths whose outputs it reads, where it needs `states`; negative ones count from the head.
        skips: steps that are not finite and may be left out.
    """

    name: str = ""  # its key in the recipe, set by `build_methods`
    needs: frozenset[str] = frozenset()
    problems: tuple[str, ...] | None = None
    replaces_loss: bool = False
    states: tuple[int, ...] = ()
    skips: int = 0

    # --- once

    def start(self, setting: Setting) -> None:
        """Look at the pretrained model; no checkpoint is loaded yet."""

    def modules(self) -> nn.ModuleDict | None:
        """Modules that learn beside the model, at the head's rate; kept in checkpoints, never published."""

    # --- each epoch

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """Rows `(B,)` of a batch -> part -> the rows to read beside them. A pure function; runs in loader workers."""
        return {}

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """The rows of an epoch in their order, `(M,)`; M is the same for every epoch."""
        raise NotImplementedError

    def epoch(self, model: nn.Module, outputs_of: Callable[[str], Any], at: At) -> None:
        """Before an epoch's first step. `outputs_of("train")`, or of another set, are its rows' answers in their order."""

    def evaluated(self, figures: Mapping[str, float], at: At) -> None:
        """After an evaluation within training; `loss` is the mean training loss since the last one."""

    # --- each micro-batch

    def batch(self, batch: Batch) -> None:
        """Change a batch in place: once per micro-batch and step, never where a step is computed again."""

    def around(self, model: nn.Module, batch: Batch) -> contextlib.AbstractContextManager[Any]:
        """A context around each forward pass and its backward."""
        return contextlib.nullcontext()

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss of each row, `(b,)`: wraps or replaces the task loss. Labels `(b, K)` ask about K classes: `(b, K)`."""
        raise NotImplementedError

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """Name -> a value per row `(b,)`, weighted: added to the task loss."""
        return {}

    # --- each step

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """Name -> a scalar of all N rows of the global batch, weighted. Must not depend on their order."""
        return {}

    def weights(self, model: nn.Module, at: At) -> dict[str, Tensor]:
        """Name -> a scalar of the weights alone, weighted."""
        return {}

    def gradients(self, model: nn.Module, again: Callable[..., None], at: At) -> None:
        """After the step's last backward pass. `again()` computes its gradient anew, `again(add=True)` adds the data's,
        `again(only=name)` computes that of one loss alone. One method at most may define it."""

    def updated(self, model: nn.Module, at: At) -> None:
        """After a step of the optimiser that was taken."""

    # --- scoring and checkpoints

    @contextlib.contextmanager
    def scored(self, model: nn.Module) -> Iterator[None]:
        """A context in which the model is what is evaluated and published."""
        yield

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold of it, beside `modules`."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave."""


HOOKS = (
    "modules",
    "companions",
    "order",
    "epoch",
    "evaluated",
    "batch",
    "around",
    "example_loss",
    "losses",
    "statistic",
    "weights",
    "gradients",
    "updated",
    "scored",
    "state",
)


def defines(method: Method, hook: str) -> bool:
    """Whether a method has a hook of its own."""
    return getattr(type(method), hook) is not getattr(Method, hook)
