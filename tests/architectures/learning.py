"""What must hold of a model that learns: each check returns None, or in one line what does not hold."""

from __future__ import annotations

import copy
import tempfile
from typing import Any

import torch
import transformers
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from hfft import layers
from hfft.tasks.table import TASKS
from tests.architectures.case import Case, logits, loss, moved, some

LORA = {"type": "lora", "r": 2, "lora_alpha": 8}
RATE = 1e-2


# --- what learns


def train(case: Case, what: str, adapter: dict[str, Any] | None = None, **pace: float) -> tuple[nn.Module, str | None]:
    """Two steps of training as the recipe says it, and what was wrong with them."""
    depths = case.depths
    model = layers.adapt(case.fresh(), what, adapter, depths, case.head_names)
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    groups = layers.param_groups(model, depths, RATE, 0.0, **pace)
    grouped = [id(p) for group in groups for p in group["params"]]
    if sorted(grouped) != sorted(map(id, learning.values())):
        return model, "the groups do not hold every learning parameter once"
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    for name, p in learning.items():
        depth = depths.of(name)
        scale = 1.0 if depth == depths.head else pace.get("layer_decay", 1.0) ** (depths.head - depth)
        if abs(rate[id(p)] - RATE * scale) > 1e-9:
            return model, f"{name} learns at {rate[id(p)]:g}"
    first = depths.head if what == "head" or adapter else depths.blocks if what == "last-1" else 0
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(groups)
    for _ in range(2):
        model.train()
        layers.hold(layers.frozen_modules(model))
        optimizer.zero_grad()
        loss(model, case.tiny.inputs, case.tiny.labels).mean().backward()
        optimizer.step()
    changed = moved(before, model.state_dict())
    if (
        adapter
        and {reference(n) for n in learning if ".lora_" not in n} != case.head_names & case.depths.tensors.keys()
    ):
        return model, f"learns beside the adapter: {some(n for n in learning if '.lora_' not in n)}"
    expected = {name for name, _ in model.named_parameters() if ".lora_" in name or depths.of(name) >= first}
    if wrong := set(learning) - expected:
        return model, f"not chosen, yet learning: {some(wrong)}"
    fixed = {name for name, p in case.tiny.model.named_parameters() if not p.requires_grad}
    if not adapter and (wrong := expected - set(learning) - fixed):
        return model, f"chosen, yet fixed: {some(wrong)}"
    learn = {id(p) for p in learning.values()}  # tied tensors have several names
    may = {name for name, t in model.state_dict(keep_vars=True).items() if id(t) in learn}
    may |= {name for name, _ in model.named_buffers() if not first or depths_of(depths, name) >= first}
    if wrong := changed - may:
        return model, f"frozen, yet moved: {some(wrong)}"
    still = {name for name in learning if name not in changed and reference(name) in case.reached}
    if still:
        return model, f"chosen, yet still: {some(still)}"
    if not any(depths.of(name) == depths.head for name in changed & set(learning)):
        return model, "the head did not move"
    return model, None if adapter or first == depths.head or changed_below(changed, depths) else "no block moved"


def depths_of(depths: layers.Depths, name: str) -> int:
    """Depth of a tensor; of a buffer, that of the parameters in the innermost module around it that has any."""
    name = name.replace("base_model.model.", "").replace(".modules_to_save.default", "").replace(".base_layer", "")
    while name not in depths.tensors:
        name = name.rpartition(".")[0]
        around = [depth for other, depth in depths.tensors.items() if other.startswith(f"{name}.") or not name]
        if around:
            return max(around)
    return depths.tensors[name]


def changed_below(changed: set[str], depths: layers.Depths) -> bool:
    """Whether something moved in front of the head."""
    return any(depths_of(depths, name) < depths.head for name in changed)


def reference(name: str) -> str:
    """The parameter of the plain model that a parameter of an adapted one stands for."""
    name = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "").replace(".base_layer", "")
    return name.split(".lora_")[0] + ".weight" if ".lora_" in name else name


def head_only(case: Case) -> str | None:
    """The head learns and nothing else."""
    return train(case, "head")[1]


def last_one(case: Case) -> str | None:
    """The last block learns with the head."""
    return train(case, "last-1")[1]


def layer_decay(case: Case) -> str | None:
    """Everything learns, each at the pace of its depth."""
    return train(case, "all", layer_decay=0.9)[1]


def lora(case: Case) -> str | None:
    """An adapter learns in the blocks, and the head whole."""
    return train(case, "head", LORA)[1]


# --- equalities


def accumulation(case: Case) -> str | None:
    """The gradients of four examples are those of two and two."""
    whole, parts = case.fresh(), case.fresh()
    layers.hold([whole])
    inputs, labels = case.tiny.inputs, case.tiny.labels
    (loss(whole, inputs, labels).sum() / 4).backward()
    for half in (slice(0, 2), slice(2, 4)):
        layers.hold([parts.train()])  # LeViT keeps its biases from one call in eval to the next
        (loss(parts, {name: t[half] for name, t in inputs.items()}, labels[half]).sum() / 4).backward()
    pairs = [
        (a.grad, b.grad) for a, b in zip(whole.parameters(), parts.parameters(), strict=True) if a.grad is not None
    ]
    off = sum((a - b).double().square().sum() for a, b in pairs) ** 0.5
    size = sum(a.double().square().sum() for a, _ in pairs) ** 0.5
    return None if off <= 1e-5 * size else f"the gradients differ by {off / size:.1e} of their norm"


def apart(model: nn.Module, other: nn.Module, case: Case) -> float:
    """How far the logits of two models are apart, for logits of the size of one."""
    with torch.no_grad():
        first, second = logits(model, case.tiny.inputs), logits(other, case.tiny.inputs)
    return ((first - second).abs().max() / first.abs().max().clamp(min=1)).item()


def reload(case: Case, model: PreTrainedModel | None = None, tolerance: float = 1e-5) -> str | None:
    """Saved and loaded by the stock class, the outputs are the same."""
    model = case.fresh() if model is None else model
    auto = getattr(transformers, TASKS[f"{case.modality}-classification"].auto_class)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        off = apart(model, auto.from_pretrained(folder).eval(), case)
    return None if off <= tolerance else f"the logits differ by {off:.1e}"


def lora_apart(case: Case) -> str | None:
    """A trained adapter is saved apart, and PEFT alone puts it back onto the same model."""
    model = train(case, "head", LORA)[0].eval()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        off = apart(model, PeftModel.from_pretrained(case.fresh(), folder).eval(), case)
    return None if off <= 1e-5 else f"the logits differ by {off:.1e}"


def lora_merged(case: Case) -> str | None:
    """A trained adapter merges into the same outputs, and the merged model is a stock one."""
    model = train(case, "head", LORA)[0].eval()
    merged = copy.deepcopy(model).merge_and_unload()
    off = apart(model, merged, case)
    return f"merging changes the logits by {off:.1e}" if off > 1e-4 else reload(case, merged, 1e-4)
