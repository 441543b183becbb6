"""Score and publish the mean of the weights at the end of the run (SWA; Izmailov et al. 2018, arXiv:1803.05407)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.errors import BadInput
from hfft.strategy.average.means import Mean, in_place, learning, weights_of
from hfft.strategy.method import At, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn


class SWA(MethodSpec):
    """Average the weights of the last part of a run; BatchNorm statistics are estimated again on the training rows.

    The paper averages weights reached at a constant or cyclic learning rate, which differ; set
    `training.lr_scheduler_type: constant`. At a rate that decays to 0 the last weights are nearly equal, and so is their mean.

    Attributes:
        start: fraction of the run after which weights are averaged; 1 for never.
        every: steps between two weights that are averaged; None for the weights at the end of each epoch.
    """

    main = "start"
    start: float = Field(default=0.75, ge=0, le=1)
    every: int | None = Field(default=None, ge=1)

    def build(self) -> Method | None:
        """The method; None if nothing would be averaged."""
        return AveragedAtEnd(self) if self.start < 1 else None


class AveragedAtEnd(Method):
    """Adds the weights of some steps to a mean, which is scored from the first on."""

    def __init__(self, spec: SWA):
        self.spec, self.mean = spec, Mean()

    def start(self, setting: Setting) -> None:
        """Look at the model and the rows.

        Raises:
            BadInput: there are BatchNorms, but no stored rows on which their statistics could be estimated.
        """
        self.names, self.statistics = learning(setting.model), setting.norm_statistics
        if setting.rows is None and setting.moving_norms:
            raise BadInput(
                "strategy.swa: the statistics of the model's BatchNorms are estimated again on the training rows, which a "
                "stream does not keep; set data.streaming=false"
            )

    def updated(self, model: nn.Module, at: At) -> None:
        """Add the weights of every `every`-th step."""
        if self.spec.every is not None and at.step % self.spec.every == 0:
            self._add(model, at)

    def epoch_ended(self, model: nn.Module, at: At) -> None:
        """Add the weights of the epoch's end."""
        if self.spec.every is None:
            self._add(model, at)

    def _add(self, model: nn.Module, at: At) -> None:
        if at.share >= self.spec.start:
            self.mean.add(weights_of(model, self.names))

    @contextlib.contextmanager
    def scored(self, model: nn.Module) -> Iterator[None]:
        """Use the mean, with BatchNorm statistics that belong to it."""
        if not self.mean.count:
            yield
            return
        with in_place(model, self.mean.weights), self.statistics(model):
            yield

    def state(self) -> dict[str, Tensor]:
        """The mean and how many weights it contains."""
        return self.mean.state("mean")

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore them."""
        self.mean = Mean.of_state(state, "mean")
