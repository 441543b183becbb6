"""What a method is: a frozen spec, and a class that overrides some of these hooks. The hooks it overrides define what it does.

The Trainer calls the hooks and reduces what they return according to its kind (`hfft.train.steps`):

| returned by | shape | counts as |
|---|---|---|
| `example_loss`, `losses` | `(b,)`, one value per row | their sum, divided by the targets, or rows, of the global batch |
| `statistic` | scalar | the value over all rows of the global batch, however it is split |
| `weights` | scalar | once per step |
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import model_validator

from hfft.lazy import torch
from hfft.spec import Spec
from hfft.strategy.at import At as At
from hfft.strategy.weight import Weight

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.strategy.inspector import Inspector
    from hfft.tasks.problem import Problem

TASK = "task"  # the part of a batch with the rows drawn for the step


class MethodSpec(Spec):
    """The recipe entry of a method. A plain value in place of a mapping sets its `main` option."""

    main: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if cls.main is None or isinstance(value, (Mapping, Spec)) else {cls.main: value}

    def build(self) -> Method | None:
        """The method; None if its options are neutral, so that the run is bit-identical to one without it."""
        raise NotImplementedError


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
        rows: number of training rows; None for a stream of unknown length.
        sets: number of rows of each set in `data.sets`.
        epochs: number of epochs, rounded up.
        fixed_inputs: whether a row's inputs are the same in every epoch, or one of a few views that are shown in turn.
        load_model: name or folder -> a finished model that takes the same inputs, for methods that need `teacher`.
        inspector: answers further questions about the model and the rows.
        black_and_white: the values of the model's input for levels 0 and 1 of each channel, `(C,)` each; None if unknown.
        methods: all methods of the run, in the order of their hooks.
        tokenizer: the tokenizer of the rows, if they are texts.
        norm_statistics: a model -> a context with its BatchNorm statistics estimated again on the training rows.
        moving_norms: whether training updates the statistics of any BatchNorm.
        answers: a model -> its logits `(rows, C)` for all training rows and views; computed once, and kept in the cache's folder.
        place: rows `(b,)` and an epoch -> where their logits are in what `answers` returns.
        blocks: a model -> its blocks, from the input to the head.
        sample: the inputs of two training rows, on the device.
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
    epochs: int = 1
    fixed_inputs: bool = True
    load_model: Callable[[str], nn.Module] | None = None
    answers: Callable[[nn.Module], Tensor] | None = None
    inspector: Inspector | None = None
    black_and_white: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    methods: Sequence[Method] = ()
    tokenizer: Any = None
    norm_statistics: Callable[[nn.Module], contextlib.AbstractContextManager[None]] = lambda _: contextlib.nullcontext()
    moving_norms: bool = False
    place: Callable[[np.ndarray, int], np.ndarray] = lambda rows, epoch: rows
    blocks: Callable[[nn.Module], list[nn.Module]] | None = None
    sample: Callable[[], dict[str, Any]] | None = None

    @property
    def class_counts(self) -> np.ndarray:
        """Number of training rows of each class, `(C,)`."""
        assert self.class_ids is not None
        if self.class_ids.ndim == 2:
            return self.class_ids.sum(0).astype(int)
        return np.bincount(self.class_ids, minlength=self.outputs)

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """The learning parameters that had weights before this run: all except the head's."""
        named = self.model.named_parameters()
        return {name: p for name, p in named if p.requires_grad and name not in self.head_names}


@dataclass(frozen=True)
class Companion:
    """Rows to read in addition to those of a batch.

    Attributes:
        rows: `(B,)` row numbers.
        of: the set of `data.sets` that the rows belong to; None for the training rows.
        draw: number of the row's augmentation: 0 is the one used in training.
        augment: further operations, as in `data.augment`: the row is augmented as in training, and then by these in this draw.
    """

    rows: np.ndarray
    of: str | None = None
    draw: int = 0
    augment: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Target:
    """Labels for the loss of one part, with each row's loss multiplied by its factor."""

    labels: Tensor
    factor: Tensor | None = None
    part: str = TASK


@dataclass
class Batch:
    """A micro-batch before the forward pass; one pass runs all of its parts.

    Attributes:
        inputs: name -> `(K * B, …)`, the K parts concatenated; row i of each part belongs to row i of the task.
        parts: names of the parts, `task` first.
        labels: labels of the task's rows `(B, …)`.
        targets: the task loss is the sum over these.
        rows: `(B,)` row numbers; None if no method needs them.
        own: number of task rows that count, from the first on; the rest pads an epoch's last batch.
        notes: values that the hooks of a method pass to each other, by method name.
        logits: inputs of a part -> its logits `(B, C)`, by a pass of the model in `eval()`, as it is before the step.
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
    logits: Callable[[Mapping[str, Any]], Tensor] | None = None

    def part(self, name: str) -> dict[str, Any]:
        """The inputs of one part."""
        size, k = len(self.labels), self.parts.index(name)
        return {key: value[k * size : (k + 1) * size] for key, value in self.inputs.items()}

    def put(self, name: str, inputs: Mapping[str, Any] | None = None) -> None:
        """Add a part with these inputs, or with the task's inputs again."""
        given = self.part(TASK) if inputs is None else inputs
        self.inputs = {key: _joined(value, given[key]) for key, value in self.inputs.items()}
        self.parts.append(name)

    def take(self, name: str) -> dict[str, Any]:
        """Remove a part, so that it is not run, and return its inputs."""
        taken, size, k = self.part(name), len(self.labels), self.parts.index(name)
        self.inputs = {key: _joined(value[: k * size], value[(k + 1) * size :]) for key, value in self.inputs.items()}
        self.parts.remove(name)
        return taken

    def replace(self, name: str, inputs: Mapping[str, Any]) -> None:
        """Give a part other inputs; those not named are unchanged."""
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
    """The results of a forward pass: only the process's own rows, at least in float32, outside autocast.

    Attributes:
        logits: part -> `(b, C)`.
        features: part -> `(b, D)`, the inputs of the head's last layer; only if a method needs them.
        states: part -> depth -> the output of the block at that depth; only if a method needs them.
        labels: `(b, …)` labels of the task's rows.
        rows: `(b,)` row numbers, if a method needs them.
    """

    logits: dict[str, Tensor]
    features: dict[str, Tensor]
    states: dict[str, dict[int, Tensor]]
    labels: Tensor
    rows: np.ndarray | None
    notes: dict[str, Any]
    at: At


# logits (b, C) and labels (b,) or (b, K) -> losses in the labels' shape
Inner = Callable[["Tensor", "Tensor"], "Tensor"]


class Method:
    """A way to change how the task is learned. Every hook is optional.

    Attributes:
        needs: requirements that the hooks do not express, from `hfft.strategy.needs.NEEDS`.
        problems: names of the problems that the method suits; None for all.
        replaces_loss: whether its `example_loss` does not call `inner`; at most one method may do so.
        only_one: what it does, in words, if at most one method of a run may do that.
        mixes: whether it makes one row's inputs of several rows'.
        attacks: whether it looks for harmful inputs by gradients with respect to them; at most one method may do so.
        terms: names of other methods whose losses it treats one by one.
        states: depths whose outputs it reads, if it needs `states`; negative ones count from the head.
        skips: number of non-finite steps that may be skipped.
        passes: forward and backward passes per step, in units of the task's rows.
        weight: of the term that it adds; the Trainer adapts it, saves it in checkpoints and logs it.
        scored_in_training: whether evaluations during training also use `scored`, and not the weights of the step.
    """

    name: str = ""  # its key in the recipe, set by `build_methods`
    needs: frozenset[str] = frozenset()
    problems: tuple[str, ...] | None = None
    replaces_loss: bool = False
    only_one: str | None = None
    attacks: bool = False
    terms: tuple[str, ...] = ()
    states: tuple[int, ...] = ()
    skips: int = 0
    passes: int = 1
    weight: Weight = Weight(1.0)
    mixes: bool = False
    scored_in_training: bool = True

    # --- once

    def start(self, setting: Setting) -> None:
        """Inspect the pretrained model; no checkpoint is loaded yet."""

    def modules(self) -> nn.ModuleDict | None:
        """Modules trained with the model, at the head's rate; saved in checkpoints, never published."""

    # --- each epoch

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """Rows `(B,)` of a batch -> part -> the additional rows to read. A pure function; runs in loader workers."""
        return {}

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """The rows of an epoch in order, `(M,)`; M must be the same for every epoch."""
        raise NotImplementedError

    def epoch(self, model: nn.Module, outputs_of: Callable[..., Any], at: At) -> None:
        """Called before an epoch's first step. `outputs_of("train")`, or of another set, gives its rows' outputs in order,
        with their features unless `features=False`."""

    def evaluated(self, figures: Mapping[str, float], at: At) -> None:
        """Called after an evaluation during training; `loss` is the mean task loss of the steps since the previous one."""

    # --- each micro-batch

    def batch(self, batch: Batch) -> None:
        """Change a batch in place: called once per micro-batch and step, not when a step is recomputed."""

    def around(self, model: nn.Module, batch: Batch) -> contextlib.AbstractContextManager[Any]:
        """A context around each forward pass and its backward pass."""
        return contextlib.nullcontext()

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss of each row, `(b,)`: wraps or replaces the task loss. For labels `(b, K)` of K classes: `(b, K)`."""
        raise NotImplementedError

    def row_weights(self, labels: Tensor) -> Tensor:
        """The factor that `example_loss` puts on each row's loss, `(b,)`: clipping measures the gradient per unit of weight."""
        raise NotImplementedError

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """Name -> one weighted value per row `(b,)`, added to the task loss."""
        return {}

    # --- each step

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """Name -> a weighted scalar over all N rows of the global batch. Must not depend on their order."""
        return {}

    def weights(self, model: nn.Module, at: At) -> dict[str, Tensor]:
        """Name -> a weighted scalar of the weights alone."""
        return {}

    def gradients(self, model: nn.Module, again: Callable[..., None], at: At) -> None:
        """Called after the step's last backward pass. `again()` recomputes its gradient, `again(add=True)` adds the data's
        gradient, `again(only=name)` computes the gradient of one loss alone. At most one method may define this hook."""

    def change_gradients(self, parameters: Mapping[str, nn.Parameter], weight: Tensor | None, at: At) -> None:
        """Called after `gradients`, before `max_grad_norm` is applied: change `.grad` of the learning parameters in place.

        Args:
            parameters: name -> parameter of the model; those of methods' modules are named `method/name`.
            weight: mean factor of the step's rows, as given by `row_weights`; None without weights.
        """

    def rate(self, at: At) -> float:
        """A factor on the learning rates that the scheduler sets for the step."""
        return 1.0

    def updated(self, model: nn.Module, at: At) -> None:
        """Called after each optimiser step that was not skipped."""

    def epoch_ended(self, model: nn.Module, at: At) -> None:
        """Called after an epoch's last step, before the model is evaluated and saved."""

    # --- scoring and checkpoints

    @contextlib.contextmanager
    def scored(self, model: nn.Module) -> Iterator[None]:
        """A context in which the model is as it should be evaluated and published."""
        yield

    def reference(self) -> nn.Module | None:
        """A model that the finished one is compared with on held-out rows, such as a teacher: distance, size, latency."""

    def state(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint must save for this method, in addition to `modules`."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""


HOOKS = (
    "modules",
    "companions",
    "order",
    "epoch",
    "evaluated",
    "batch",
    "around",
    "example_loss",
    "row_weights",
    "losses",
    "statistic",
    "weights",
    "gradients",
    "change_gradients",
    "rate",
    "updated",
    "epoch_ended",
    "scored",
    "reference",
    "state",
)


def defines(method: Method, hook: str) -> bool:
    """Whether a method overrides a hook."""
    return getattr(type(method), hook) is not getattr(Method, hook)
