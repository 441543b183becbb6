"""What methods need, whom it concerns, and the refusals that follow. No torch: `hfft check` asks before it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfft.strategy.method import Method, defines
from hfft.wording import listing

NEEDS = {
    "features": "what the last layer of the head reads",
    "states": "what blocks answer",
    "inputs": "the model's real inputs",
    "continuous": "inputs that can be averaged",
    "rows": "the numbers of the rows",
    "counts": "how many rows each class has",
    "start": "the pretrained weights",
    "teacher": "another model",
    "whole_weights": "weights that are not divided among processes",
}


@dataclass(frozen=True)
class Situation:
    """What a recipe and a launch say of a run, as far as methods care.

    Attributes:
        continuous: whether inputs are numbers that can be averaged, as pixels are and words are not.
        sets: names of `data.sets`.
    """

    problem: str
    adapter: bool = False
    streaming: bool = False
    continuous: bool = True
    sets: tuple[str, ...] = ()
    divided: bool = False
    deepspeed: bool = False


def refusals(methods: Sequence[Method], situation: Situation) -> list[tuple[str, str]]:
    """(key of the recipe, why) for each method that cannot be in such a run, and for each pair that excludes each other."""
    found = []
    for method in methods:
        for why in _refused(method, situation):
            found.append((method.name, why))
    for what, group in (
        ("replaces the loss", [m for m in methods if m.replaces_loss]),
        ("sets the order of rows", [m for m in methods if defines(m, "order")]),
        ("computes the gradient again", [m for m in methods if defines(m, "gradients")]),
    ):
        if len(group) > 1:
            found.append((group[1].name, f"{what}, as {group[0].name} does; leave one of them out"))
    return found


def _refused(method: Method, situation: Situation) -> list[str]:
    found = []
    if method.problems is not None and situation.problem not in method.problems:
        wants = "classes" if set(method.problems) <= {"single_label_classification"} else listing(method.problems)
        found.append(f"needs {wants}, which {situation.problem} has not")
    if situation.adapter and "start" in method.needs:
        found.append("beside an adapter the pretrained weights stand still; leave it out")
    if "continuous" in method.needs and not situation.continuous:
        found.append("averages inputs, which words do not allow; leave it out")
    if situation.streaming:
        if "counts" in method.needs:
            found.append("needs to count the classes, which a stream does not allow")
        elif defines(method, "companions") or defines(method, "order") or "rows" in method.needs:
            found.append("needs rows by their number, which a stream has not; use data.streaming=false")
    on = getattr(getattr(method, "spec", None), "on", None)
    if on is not None and on not in situation.sets:
        known = listing(situation.sets) or "none"
        found.append(f"on is {on!r}, which data.sets does not name (it has: {known})")
    if situation.divided and ("whole_weights" in method.needs or defines(method, "modules")):
        found.append("needs weights that FSDP divides; leave it out, or launch without FSDP")
    if situation.deepspeed and defines(method, "gradients"):
        found.append("computes the gradient again, which DeepSpeed does not allow; launch without it")
    return found


def uncacheable(methods: Sequence[Method]) -> str | None:
    """Why what frozen layers answer cannot be kept beside these methods; None where it can."""
    for method in methods:
        if "inputs" in method.needs or defines(method, "companions"):
            return f"strategy.{method.name} needs the inputs themselves"
        if "states" in method.needs:
            return f"strategy.{method.name} reads what blocks answer, which a cached row does not run"
    return None


def needed(methods: Sequence[Method], need: str) -> bool:
    """Whether one of the methods needs it."""
    return any(need in method.needs for method in methods)


def row_numbers(methods: Sequence[Method]) -> bool:
    """Whether each batch must say which rows it holds."""
    return any("rows" in m.needs or defines(m, "companions") for m in methods)


def model_copies(methods: Sequence[Method]) -> int:
    """How many more copies of the weights the methods hold: for an estimate of memory."""
    return sum(("start" in m.needs) + ("teacher" in m.needs) + defines(m, "scored") for m in methods)
