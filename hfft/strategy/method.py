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
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import model_validator

from hfft.spec import Spec
from hfft.strategy.at import At as At
from hfft.strategy.batch import TASK as TASK
from hfft.strategy.batch import Batch as Batch
from hfft.strategy.batch import Companion as Companion
from hfft.strategy.batch import Pass as Pass
from hfft.strategy.batch import Target as Target
from hfft.strategy.setting import Setting as Setting
from hfft.strategy.weight import Weight

if TYPE_CHECKING:
    from torch import Tensor, nn


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


# logits (b, C) and labels (b,) or (b, K) -> losses in the labels' shape
Inner = Callable[["Tensor", "Tensor"], "Tensor"]


class Method:
    """A way to change how the task is learned. Every hook is optional.

    Attributes:
        needs: requirements that the hooks do not express, from `hfft.strategy.needs.NEEDS`.
        problems: names of the problems that the method suits; None for all.
        replaces_loss: whether its `example_loss` does not call `inner`; at most one method may do so.
        learns_logits: whether the logits of a step matter to it; if not, no method may change a loss of them.
        only_one: what it does, in words, if at most one method of a run may do that.
        reads_as_prepared: whether the rows that it reads beside the task's are in no other draw, and no hook changes their
            inputs: then what frozen layers compute of them is stored as well.
        begins: the epoch in which it, or the last part of it, begins to act, counted from 0.
        mixes: whether it replaces the task's rows by mixtures of rows.
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
    learns_logits: bool = True
    only_one: str | None = None
    reads_as_prepared: bool = False
    begins: int = 0
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
        """Name -> a weighted scalar over all N rows of the global batch. Must not depend on their order.

        Of the notes it has only the method's own, and only if that is a tensor with a value for each row.
        """
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
