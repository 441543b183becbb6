"""Let the learning rates fall as `(1 + gamma step) ** -power`: the schedule of domain adaptation (Ganin et al. 2016)."""

from __future__ import annotations

from pydantic import Field

from hfft.strategy.method import At, Method, MethodSpec


class InverseDecay(MethodSpec):
    """Lower the rates in inverse proportion to the steps done, with `training.lr_scheduler_type: constant`.

    Attributes:
        gamma: how fast they fall; 0 changes nothing.
        power: exponent; 0 changes nothing.
    """

    main = "gamma"
    gamma: float = Field(default=1e-3, ge=0)
    power: float = Field(default=0.75, ge=0)

    def build(self) -> Method | None:
        """The method; None if gamma or power is 0."""
        return Decay(self) if self.gamma and self.power else None


class Decay(Method):
    """A factor that depends on the step alone."""

    needs = frozenset({"constant_rate"})

    def __init__(self, spec: InverseDecay):
        self.spec = spec

    def rate(self, at: At) -> float:
        """The factor in this step."""
        return inverse_decay(at.step, self.spec.gamma, self.spec.power)


def inverse_decay(step: int, gamma: float = 1e-3, power: float = 0.75) -> float:
    """The factor on the learning rates after so many steps, in (0, 1]: `(1 + gamma step) ** -power`."""
    return float((1 + gamma * step) ** -power)
