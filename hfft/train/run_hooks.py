"""The hooks of methods outside of a step: after it, at an epoch's start and end, around evaluation and saving."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from hfft.strategy.method import Method
from hfft.strategy.tensors import divide_again
from hfft.train import method_state


class RunHooks:
    """Calls these hooks, for one Trainer.

    Attributes:
        methods: all methods of the run, in order.
        of: hook -> the methods that define it.
    """

    trainer: Any
    methods: Sequence[Method]
    of: Mapping[str, Sequence[Method]]
    _scoring = False

    def rate(self) -> float:
        """The factor on the learning rates of the step."""
        return math.prod(method.rate(self.trainer.at()) for method in self.of["rate"])

    def updated(self) -> None:
        """Call after each optimiser step that was not skipped."""
        for method in self.of["updated"]:
            method.updated(self.trainer.accelerator.unwrap_model(self.trainer.model), self.trainer.at(1))

    def epoch(self, outputs_of: Callable[..., Any]) -> None:
        """Call at the start of each epoch."""
        for method in self.of["epoch"]:
            method.epoch(self.trainer.model, outputs_of, self.trainer.at())

    def epoch_ended(self) -> None:
        """Call after an epoch's last step."""
        for method in self.of["epoch_ended"]:
            method.epoch_ended(self.trainer.accelerator.unwrap_model(self.trainer.model), self.trainer.at())

    @contextlib.contextmanager
    def scored(self) -> Iterator[None]:
        """A context with the model as it is evaluated and published; inside another one it changes nothing."""
        if self._scoring:  # it would undo what was done to the model since, such as its calibration
            yield
            return
        model, training = self.trainer.accelerator.unwrap_model(self.trainer.model), self.trainer.is_in_train
        methods = [method for method in self.of["scored"] if method.scored_in_training or not training]
        with contextlib.ExitStack() as stack:
            if methods:
                divide_again(model)
            for method in methods:
                stack.enter_context(method.scored(model))
            if methods:
                stack.callback(divide_again, model)  # before the weights are restored
            self._scoring = True
            stack.callback(setattr, self, "_scoring", False)
            yield

    def state(self) -> dict[str, Tensor]:
        """The methods' state for a checkpoint; all processes must call this."""
        return method_state.state_of(self.methods)
