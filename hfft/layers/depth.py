"""The one idea about layers: every parameter has a depth, found from the module tree, or from names where the tree misleads.

Embeddings and stem are 0, blocks 1 … N counted from the input, the head N + 1. Depth decides what learns and how fast.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from hfft import head
from hfft.modeling import INSERTED

# What PEFT adds to a parameter's name when it wraps the module that owns the parameter.
_WRAPPING = re.compile(r"\.(?:base_layer|original_module|modules_to_save\.[^.]+)(?=\.)")
_OUTER = ("base_model.model.", "base_model.", "")

# Whether a module beside a stack of blocks runs after it: some architectures register these on the wrong side.
_MISPLACED = {
    "pooler": True,  # GTE, Nomic BERT
    "final_layer_norm": True,  # OPT
    "norm": True,  # T5Gemma
    "layernorm_embedding": False,  # BART and related models, except the next entry
    "bigbird_pegasus.layernorm_embedding": True,
    "rel_pos_bias": False,  # LayoutLMv3: computed once, used by every block
    "rel_pos_x_bias": False,
    "rel_pos_y_bias": False,
}


@dataclass(frozen=True)
class Depths:
    """Depth of every module that owns parameters; the blocks are 1 … `blocks`, the head is `blocks + 1`."""

    blocks: int
    modules: dict[str, int]
    tensors: dict[str, int]

    @property
    def head(self) -> int:
        """The depth of the head."""
        return self.blocks + 1

    def of(self, name: str) -> int:
        """Depth of a parameter by name, even after PEFT has wrapped the model and added parameters of its own.

        Raises:
            KeyError: no module of the model owns the parameter.
        """
        for outer in _OUTER:
            path = _WRAPPING.sub("", name.removeprefix(outer)) if name.startswith(outer) else ""
            if path in self.tensors:
                return self.tensors[path]
            while path:
                path = path.rpartition(".")[0]
                if path and path in self.modules:
                    return self.modules[path]
        if name.startswith("prompt_encoder."):  # learned tokens in front of the input
            return 0
        raise KeyError(f"parameter {name!r} belongs to no depth")


def depths(model: PreTrainedModel, head_names: set[str] | None = None) -> Depths:
    """The depth of every parameter of a model, before any wrapping.

    Args:
        head_names: names of the head's parameters (default: as `hfft.head.parameter_names` finds them).

    A model without a stack of blocks has only the depths 0 and 1.
    """
    in_head = head.parameter_names(model) if head_names is None else head_names
    stages = _stages(model, in_head)
    blocks = [block for _, inner in stages for block in inner]
    names = [name for name, _ in model.named_parameters()]
    order = {name: i for i, name in enumerate(names)}
    number = {block: i + 1 for i, block in enumerate(blocks)}
    # Look up by path: a loop over all blocks for each parameter would take quadratic time in a deep model.
    block_at = {path: number[block] for block in reversed(blocks) for path in block}
    stage_at = {path: i for i in reversed(range(len(stages))) for path in stages[i][0]}
    first: dict[str, int] = {}
    for name in names:
        for path in _around(name):
            first.setdefault(path, order[name])
    start = {block: min(first[path] for path in block if path in first) for block in blocks}
    holding = {path for block in blocks for path in _around(block[0])}
    last = max(start.values(), default=len(names))
    tables = {
        f"{p}.{n}" for p, m in model.named_modules() if isinstance(m, nn.Embedding) for n, _ in m.named_parameters()
    }
    # A table registered after all blocks serves all of them, and so does what is registered after it (DeBERTa's positions).
    late = [(order[name], f"{name.rsplit('.', 2)[0]}.") for name in tables if order.get(name, 0) > last]

    def depth(name: str) -> int:
        if name in in_head:
            return len(blocks) + 1
        around = _around(name)
        if inside := [block_at[path] for path in around if path in block_at]:
            return min(inside)
        if at := [stage_at[path] for path in around if path in stage_at]:
            inner = stages[min(at)][1]  # a module between two stages goes with the adjacent block, a stem with none
            if order[name] > start[inner[0]]:
                return number[inner[-1]]
            return 0 if inner[0] == blocks[0] else number[inner[0]]
        if name in tables or any(at < order[name] and name.startswith(p) for at, p in late):
            return 0
        # Beside a stack: a stem before it is 0, a norm or pooler after a block goes with that block.
        owner = name.rpartition(".")[0]
        while owner and f"{owner}." not in holding:
            owner = owner.rpartition(".")[0]
        prefix = owner and f"{owner}."
        stack = [block for block in blocks if block[0].startswith(prefix)]
        beside = name.removeprefix(prefix).partition(".")[0]
        runs_behind = _MISPLACED.get(f"{model.config.model_type}.{beside}", _MISPLACED.get(beside))
        if runs_behind is not None and any(block[0].count(".") == prefix.count(".") + 2 for block in stack):
            return number[stack[-1]] if runs_behind else 0
        return max((number[block] for block in stack if start[block] < order[name]), default=0)

    tensors = {name: depth(name) for name in names}
    modules: dict[str, int] = {}
    for name, value in tensors.items():
        owner = name.rpartition(".")[0]
        modules[owner] = max(value, modules.get(owner, 0))
    return Depths(len(blocks), modules, tensors)


def block_paths(model: PreTrainedModel) -> list[tuple[str, ...]]:
    """The modules that make up each block, from the input on: one, or several that run side by side."""
    stages = _stages(model, head.parameter_names(model))
    return [tuple(path.removesuffix(".") for path in block) for _, inner in stages for block in inner]


def _around(name: str) -> list[str]:
    """The paths of all modules that contain a parameter, the outermost first, each with a trailing dot."""
    parts = name.split(".")
    return [".".join(parts[:i]) + "." for i in range(1, len(parts))]


_Paths = tuple[str, ...]  # of modules, each with a trailing dot: the modules that make up a stage or block


def _stages(model: nn.Module, in_head: set[str]) -> list[tuple[_Paths, list[_Paths]]]:
    """A stage and its blocks, in order; a flat encoder's blocks are their own stages."""
    size: dict[str, int] = defaultdict(int)
    for name, parameter in model.named_parameters():
        for around in _around(name) if name not in in_head else ():
            size[around] += parameter.numel()

    def weight(path: str) -> int:
        return size.get(f"{path}.", 0)

    lists: dict[str, list[str]] = {}  # path -> its members that have parameters
    for path, module in model.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in lists)
        if path and not inside and isinstance(module, (nn.ModuleList, nn.Sequential)) and not _tables_only(module):
            members = [f"{path}.{name}" for name, _ in module.named_children() if name != INSERTED]
            if any(map(weight, members)):
                lists[path] = [member for member in members if weight(member)]
    # Side stacks (a stem of a few convolutions) do not define the model's depth.
    most = max(map(weight, lists), default=0)
    main = [path for path in lists if weight(path) >= 0.2 * most]
    stages: list[tuple[_Paths, list[_Paths]]] = []
    while main:
        # Lists of equal length in the same module run side by side (XLM's attentions and feed-forward layers).
        alike = [
            path
            for path, members in lists.items()
            if path.rpartition(".")[0] == main[0].rpartition(".")[0] and len(members) == len(lists[main[0]])
        ]
        main = [path for path in main if path not in alike]
        found: list[tuple[_Paths, list[_Paths]]] = []
        for beside in zip(*(lists[path] for path in alike), strict=True):
            stage = tuple(f"{member}." for member in beside)
            heaviest = max(beside, key=weight)
            inner = _inner_blocks(heaviest, model.get_submodule(heaviest), weight)
            found.append((stage, [(f"{path}.",) for path in inner]))
        stages += _with_joins(model, found)
    return stages


def _with_joins(model: nn.Module, found: list[tuple[_Paths, list[_Paths]]]) -> list[tuple[_Paths, list[_Paths]]]:
    """The stages of a list, with a join between two stages counted as part of the second; without stages, each member is a block.

    A join is a member without blocks between members that all have blocks and share one other class (SwiftFormer).
    """

    def kind(stage: _Paths) -> str:
        return type(model.get_submodule(stage[0].removesuffix("."))).__name__

    staged = {kind(stage) for stage, inner in found if inner}
    if len(staged) != 1 or not found[-1][1] or staged & {kind(stage) for stage, inner in found if not inner}:
        return [(stage, inner or [stage]) for stage, inner in found]
    stages: list[tuple[_Paths, list[_Paths]]] = []
    joins: _Paths = ()
    for stage, inner in found:
        if inner:
            stages.append(((*joins, *stage), inner))
        joins = () if inner else (*joins, *stage)
    return stages


def _tables_only(module: nn.Module) -> bool:
    """Whether all parameters of a module belong to embedding tables."""
    tables = [id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()]
    return {id(p) for p in module.parameters()} <= set(tables)


def _inner_blocks(stage: str, module: nn.Module, weight) -> list[str]:  # type: ignore[no-untyped-def]
    """The blocks of a stage: its members if it is a list of like modules, or those of such a list in it that has most weights.

    A `ModuleList` may end in another class if several of one class precede it (SwiftFormer): the parts of one block differ.
    """
    for path, child in ((stage, module), *((f"{stage}.{name}", child) for name, child in module.named_children())):
        members = [(n, member) for n, member in child.named_children() if n != INSERTED]
        kinds = [type(member) for _, member in members]
        several = kinds[:-1] if isinstance(child, nn.ModuleList) and len(kinds) > 2 else kinds
        alike = len(set(several)) == 1
        if isinstance(child, (nn.ModuleList, nn.Sequential)) and alike and 2 * weight(path) >= weight(stage):
            return [f"{path}.{n}" for n, _ in members if weight(f"{path}.{n}")]
    return []
