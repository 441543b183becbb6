"""Average all weights in the valley of the validation loss (SWAD; Cha et al. 2021, arXiv:2102.08604)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.average.means import Mean, in_place, learning, weights_of
from hfft.strategy.method import At, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn


class SWAD(MethodSpec):
    """Average the weights of every step in the valley of the validation loss; evaluate often, such as 20 times or more.

    Attributes:
        optimum_patience: evaluations without a lower loss until the first of them is taken as the start (N_s).
        overfit_patience: evaluations above the threshold until the end is set before the first of them (N_e).
        tolerance_rate: the threshold, as a multiple of the mean loss of the evaluations that set the start (r).
    """

    optimum_patience: int = Field(default=3, ge=1)
    overfit_patience: int = Field(default=6, ge=1)
    tolerance_rate: float = Field(default=1.3, ge=1)

    def build(self) -> Method | None:
        """The method."""
        return AveragedInValley(self)


class AveragedInValley(Method):
    """Keeps one mean per evaluation until the start is known, then one within the valley and one that may be past its end.

    Evaluations during training are of each step's own weights; the mean is scored and published at the end. If the loss
    is still falling then, there is no valley, and the last weights are used, as in the authors' code; the paper's
    algorithm would average the whole run.
    """

    scored_in_training = False

    def __init__(self, spec: SWAD):
        self.spec = spec
        self.history: list[float] = []
        self.now = Mean()  # the steps since the last evaluation
        self.segments: list[Mean] = []  # before the start is known: those of the last evaluations
        self.valley, self.beyond = Mean(), Mean()
        self.threshold: float | None = None
        self.ended = False

    def start(self, setting: Setting) -> None:
        """Keep what estimates BatchNorm statistics."""
        self.names, self.statistics = learning(setting.model), setting.norm_statistics

    def updated(self, model: nn.Module, at: At) -> None:
        """Add the step's weights."""
        if not self.ended:
            self.now.add(weights_of(model, self.names))

    def evaluated(self, figures: Mapping[str, float], at: At) -> None:
        """Decide whether the valley starts, goes on or ends."""
        if self.ended:
            return
        loss, patience = figures["eval_loss"], self.spec.optimum_patience
        self.history.append(loss if math.isfinite(loss) else math.inf)
        segment, self.now = self.now, Mean()
        if self.threshold is None:
            self.segments = [*self.segments, segment][-patience:]
            last = self.history[-patience:]
            if len(last) == patience and last[0] == min(last) < math.inf:
                self.threshold = self.spec.tolerance_rate * sum(last) / patience
                above = next((n for n, value in enumerate(reversed(last)) if value <= self.threshold), patience)
                split = patience - min(
                    above, self.spec.overfit_patience - 1
                )  # the end is not looked for before the next
                for i, mean in enumerate(self.segments):
                    (self.valley if i < split else self.beyond).join(mean)
                self.segments = []
            return
        self.beyond.join(segment)
        if self.history[-1] <= self.threshold:
            self.valley.join(self.beyond)
            self.beyond = Mean()
        if min(self.history[-self.spec.overfit_patience :]) > self.threshold:
            self.ended, self.beyond = True, Mean()

    def mean(self) -> Mean:
        """The mean over the valley; one that has not ended lasts until now."""
        found = Mean()
        if self.threshold is not None:
            for part in (self.valley, self.beyond, self.now) if not self.ended else (self.valley,):
                found.join(part)
        return found

    @contextlib.contextmanager
    def scored(self, model: nn.Module) -> Iterator[None]:
        """Use the mean, with BatchNorm statistics that belong to it."""
        mean = self.mean()
        if not mean.count:
            yield
            return
        with in_place(model, mean.weights), self.statistics(model):
            yield

    def state(self) -> dict[str, Tensor]:
        """The losses, the threshold, and all means."""
        threshold = math.nan if self.threshold is None else self.threshold
        found = {
            "losses": torch.tensor(self.history, dtype=torch.float64),
            "found": torch.tensor([threshold, self.ended], dtype=torch.float64),
        }
        for name, mean in {"now": self.now, "valley": self.valley, "beyond": self.beyond}.items():
            found |= mean.state(name)
        for i, mean in enumerate(self.segments):
            found |= mean.state(f"segment {i}")
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore them."""
        self.history = state["losses"].tolist()
        threshold, ended = state["found"].tolist()
        self.threshold, self.ended = None if math.isnan(threshold) else threshold, bool(ended)
        self.now, self.valley, self.beyond = (Mean.of_state(state, name) for name in ("now", "valley", "beyond"))
        count = sum(key.startswith("segment ") and key.endswith("/count") for key in state)
        self.segments = [Mean.of_state(state, f"segment {i}") for i in range(count)]


def valley(
    losses: Sequence[float], optimum_patience: int = 3, overfit_patience: int = 6, tolerance_rate: float = 1.3
) -> tuple[int, int] | None:
    """The first and the last evaluation of the valley, counted from 0 (Algorithm 1 of the paper); None if it has not begun.

    Average the weights of all steps after the evaluation before the first, up to the last.

    Args:
        losses: the validation loss of each evaluation, in order.
    """
    start, limit = None, 0.0
    for i in range(len(losses)):
        if start is None:
            last = losses[max(i - optimum_patience + 1, 0) : i + 1]
            if len(last) == optimum_patience and last[0] == min(last):
                start, limit = i - optimum_patience + 1, tolerance_rate * sum(last) / optimum_patience
        elif limit < min(losses[max(i - overfit_patience + 1, 0) : i + 1]):
            return start, i - overfit_patience
    return None if start is None else (start, len(losses) - 1)
