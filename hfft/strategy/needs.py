"""What methods need, and why a run refuses them. Without torch: `hfft check` uses this before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfft.strategy.method import Method, defines
from hfft.wording import listing

NEEDS = {
    "features": "the inputs of the head's last layer",
    "states": "the outputs of blocks",
    "inputs": "the model's real inputs",
    "continuous": "inputs that can be averaged",
    "rows": "the row numbers",
    "counts": "the number of rows of each class",
    "start": "the pretrained weights",
    "teacher": "another model",
    "whole_weights": "weights that are not sharded over processes",
}


@dataclass(frozen=True)
class Situation:
    """The facts about a recipe and its launch that matter to methods.

    Attributes:
        continuous: whether inputs are numbers that can be averaged, such as pixels but not words.
        sets: names of `data.sets`.
        evaluates: whether the model is evaluated during training.
        divided: whether FSDP shards the weights.
        scaled: whether gradients are scaled until they are clipped by norm (fp16).
    """

    problem: str
    adapter: bool = False
    streaming: bool = False
    continuous: bool = True
    sets: tuple[str, ...] = ()
    divided: bool = False
    deepspeed: bool = False
    evaluates: bool = True
    scaled: bool = False


def refusals(methods: Sequence[Method], situation: Situation) -> list[tuple[str, str]]:
    """(key of the recipe, problem) for each method that this run cannot use, and each pair that excludes each other."""
    found = []
    for method in methods:
        for why in _refused(method, situation):
            found.append((method.name, why))
    for what, group in (
        ("replaces the loss", [m for m in methods if m.replaces_loss]),
        ("sets the order of rows", [m for m in methods if defines(m, "order")]),
        ("recomputes the gradient", [m for m in methods if defines(m, "gradients")]),
    ):
        if len(group) > 1:
            found.append((group[1].name, f"{what}, as {group[0].name} does; leave one of them out"))
    return found


def _refused(method: Method, situation: Situation) -> list[str]:
    found = []
    if method.problems is not None and situation.problem not in method.problems:
        wants = "classes" if set(method.problems) <= {"single_label_classification"} else listing(method.problems)
        found.append(f"needs {wants}, which {situation.problem} does not have")
    if situation.adapter and "start" in method.needs:
        found.append("the pretrained weights are frozen beside an adapter; leave it out")
    if "continuous" in method.needs and not situation.continuous:
        found.append("averages inputs, which is impossible for text; leave it out")
    if situation.streaming:
        if "counts" in method.needs:
            found.append(
                "needs the number of rows of each class, which a stream does not have; use data.streaming=false"
            )
        elif defines(method, "companions") or defines(method, "order") or "rows" in method.needs:
            found.append("needs row numbers, which a stream does not have; use data.streaming=false")
    on = getattr(getattr(method, "spec", None), "on", None)
    if on is not None and on not in situation.sets:
        known = listing(situation.sets) or "none"
        found.append(f"on is {on!r}, which is not in data.sets (known: {known})")
    if situation.divided and ("whole_weights" in method.needs or defines(method, "modules")):
        found.append("needs whole weights, but FSDP shards them; leave it out, or launch without FSDP")
    if not situation.evaluates and (defines(method, "evaluated") or method.weight.adapts):
        found.append("follows evaluations during training; set training.eval_strategy=epoch and keep validation rows")
    for hook, does in (("gradients", "recomputes"), ("change_gradients", "changes")):
        if situation.deepspeed and defines(method, hook):
            found.append(f"{does} the gradient, which DeepSpeed does not allow; launch without it")
    if situation.scaled and defines(method, "change_gradients"):
        found.append("changes the gradient, which fp16 has scaled by then; use training.bf16=true and fp16=false")
    return found


def uncacheable(methods: Sequence[Method]) -> str | None:
    """Why the outputs of frozen layers cannot be cached with these methods; None if they can."""
    for method in methods:
        if "inputs" in method.needs or defines(method, "companions"):
            return f"strategy.{method.name} needs the inputs themselves"
        if "states" in method.needs:
            return f"strategy.{method.name} reads the outputs of blocks, which are not run for cached rows"
    return None


def needed(methods: Sequence[Method], need: str) -> bool:
    """Whether one of the methods has this need."""
    return any(need in method.needs for method in methods)


def row_numbers(methods: Sequence[Method]) -> bool:
    """Whether each batch must include its row numbers."""
    return any("rows" in m.needs or defines(m, "companions") for m in methods)
