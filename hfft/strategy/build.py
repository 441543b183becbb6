"""Build a recipe's `strategy` into methods, in the order of their hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfft.strategy.gradient.lora_fa import FrozenA, pairs
from hfft.strategy.loss.label_smoothing import Smoothed
from hfft.strategy.method import Method, MethodSpec
from hfft.strategy.regularise.orthogonality import Orthogonality
from hfft.strategy.spec import Strategy
from hfft.strategy.tasks.row_losses import RowLosses

FAMILIES = (
    "tasks",
    "sample",
    "shift",
    "replay",
    "semi_supervised",
    "mix",
    "adversarial",
    "distil",
    "metric",
    "loss",
    "regularise",
    "gradient",
    "clip",
    "rate",
    "average",
)


def build_methods(spec: Strategy | RowLosses) -> list[Method]:
    """The methods that a recipe asks for; those with neutral options are left out, so that they cost and change nothing."""
    methods = []
    for name in type(spec).model_fields:
        entry = getattr(spec, name)
        if isinstance(entry, MethodSpec) and (method := entry.build()) is not None:
            method.name = name
            methods.append(method)
    return methods


def implied_methods(arguments: Any, model: Any) -> list[Method]:
    """The methods requested by other parts of a recipe.

    Args:
        arguments: transformers' TrainingArguments, for `label_smoothing_factor`.
        model: a model whose adapter may add a loss term of its own, or change its gradient.
    """
    smoothing = getattr(arguments, "label_smoothing_factor", 0.0)
    methods: list[Method] = [Smoothed(smoothing)] if smoothing else []
    for config in getattr(model, "peft_config", {}).values():
        if config.peft_type == "ADALORA" and config.orth_reg_weight > 0:
            methods.append(Orthogonality(config.orth_reg_weight))
        if config.peft_type == "LORA" and pairs(model):
            methods.append(FrozenA())
    for method in methods:
        method.name = type(method).__module__.rpartition(".")[2]
    return methods


def further_views(methods: Sequence[Method]) -> dict[str, list[Any]]:
    """Set of `data.sets` -> the operations, as in `data.augment`, by which methods draw further views of its rows."""
    specs = [spec for method in methods if (spec := getattr(method, "spec", None)) is not None]
    return {spec.on: list(spec.strong) for spec in specs if getattr(spec, "strong", None)}


def in_order(methods: Sequence[Method]) -> list[Method]:
    """Methods in the order of their hooks: by family, and within a family in the given order."""
    return sorted(methods, key=lambda method: _family(method))


def _family(method: Method) -> int:
    parts = type(method).__module__.split(".")
    return next((i for i, family in enumerate(FAMILIES) if family in parts), len(FAMILIES))
