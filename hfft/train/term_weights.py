"""The weights of the methods' terms during training: adapted after each evaluation, and logged where they are not constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfft.strategy.method import Method, defines


def follows_evaluations(methods: Sequence[Method]) -> bool:
    """Whether a method uses the figures of evaluations during training."""
    return any(defines(m, "evaluated") or m.weight.adapts for m in methods)


def moving(trainer: Any) -> dict[str, float]:
    """`<method>_weight` -> its current value, for each that is not constant."""
    at = trainer.at()
    held = ((method.name, method.weight) for method in trainer.methods)
    return {f"{name}_weight": weight(at) for name, weight in held if not weight.constant}


def evaluated(trainer: Any, figures: Mapping[str, float]) -> None:
    """Pass the figures of an evaluation to the methods, with the mean task loss since the previous one, and adapt weights."""
    if not follows_evaluations(trainer.methods):
        return
    loss = trainer.term_log.task_loss(trainer.accelerator.gather)
    known = {**figures, **({} if loss is None else {"loss": loss})}
    for method in trainer.methods:
        if defines(method, "evaluated"):
            method.evaluated(known, trainer.at())
        if loss is not None:
            method.weight.follow(figures["eval_loss"] - loss)
    if found := moving(trainer):
        trainer.log(found)
