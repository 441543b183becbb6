"""How fast each parameter learns: one optimiser group per depth and decay, the head's first; and the table that shows it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from hfft.errors import ModelError
from hfft.layers.adapters.lora import is_lora_b
from hfft.layers.depth import Depths
from hfft.layers.schedules.moments import Moment
from hfft.wording import listing, nearest_path

_TABLES = ("position", "pos_embed", "token", "relative", "rel_embeddings", "wpe")
_WORDS = ("embed_tokens", "token_embedding", "token_embeddings", "tokens_embed")


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: it does not for biases, norms and scales (1-D), class or mask tokens, or position tables.

    Word embeddings decay like any matrix. Names are used only for biases, tokens and positions, which shapes do not reveal.
    """
    own, _, leaf = name.rpartition(".")
    matrix = parameter.ndim == 2 and leaf == "weight"  # including a matrix with one row: the head of a single output
    if parameter.ndim <= 1 or "bias" in leaf or not (matrix or sum(size > 1 for size in parameter.shape) > 1):
        return False
    last = own.rpartition(".")[2] if leaf in ("weight", "bias") else leaf
    return last in _WORDS or not any(part in last for part in _TABLES)


def param_groups(
    model: nn.Module,
    depths: Depths,
    lr: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    head_lr_scale: float = 1.0,
    lr_of: Mapping[str, float] | None = None,
    weight_decay_of: Mapping[str, float] | None = None,
    loraplus_lr_ratio: float = 1.0,
) -> list[dict[str, Any]]:
    """Optimiser groups of all learning parameters, deepest (the head) first, so that the logged rate is the head's.

    A block at depth d learns at `lr * layer_decay ** (N + 1 - d)`, the head at `lr * head_lr_scale`. Layer-wise decay
    follows BEiT (arXiv:2106.08254).

    Args:
        lr_of, weight_decay_of: `/regex/` over parameter names -> value, overriding everything else; the first match wins.
        loraplus_lr_ratio: factor on the rate of LoRA's B (LoRA+, arXiv:2402.12354); A has the rate of its depth.

    Raises:
        ModelError: a pattern matches no learning parameter, or there is no B for the ratio.
    """
    members: dict[tuple[int, float, float], list[nn.Parameter]] = defaultdict(list)
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    rates, decay_rates = (
        _matching(learning, of, key) for of, key in ((lr_of, "lr"), (weight_decay_of, "weight_decay"))
    )
    if loraplus_lr_ratio != 1.0 and not any(is_lora_b(name) for name, _ in learning):
        raise ModelError("layers.loraplus_lr_ratio: the adapter has no LoRA layers; use layers.adapter type lora")
    for name, parameter in learning:
        depth = depths.of(name)
        scale = head_lr_scale if depth == depths.head else layer_decay ** (depths.head - depth)
        scale *= loraplus_lr_ratio if is_lora_b(name) else 1.0
        decay = decay_rates.get(name, weight_decay if decays(name, parameter) else 0.0)
        members[depth, rates.get(name, lr * scale), decay].append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay, "depth": depth}
        for (depth, rate, decay), parameters in sorted(members.items(), key=lambda item: (-item[0][0], -item[0][2]))
    ]


def _matching(
    learning: list[tuple[str, nn.Parameter]], values: Mapping[str, float] | None, key: str
) -> dict[str, float]:
    """Parameter name -> the value of the first pattern that matches it."""
    found: dict[str, float] = {}
    for pattern, value in (values or {}).items():
        names = [name for name, _ in learning if re.search(pattern.strip("/"), name)]
        if not names:
            known = [name for name, _ in learning]
            raise ModelError(
                f"layers.{key}: {pattern} matches no parameter that learns{nearest_path(pattern, known)} "
                f"(such as: {listing(known, 4)})"
            )
        for name in names:
            found.setdefault(name, value)
    return found


def table(
    model: nn.Module,
    depths: Depths,
    groups: list[dict[str, Any]],
    begins: Mapping[int, Moment] | None = None,
    relative: Mapping[int, float] | None = None,
) -> list[dict[str, Any]]:
    """One row per depth, input first: its layer, whether it learns, its rate and decay, tensors, parameters, share.

    `lr` is the highest rate at a depth; `lr_lowest` is added if patterns give several rates there. `modules` are the
    outermost modules that lie entirely at the depth, as the paths that `backbone.edit` and patterns accept.

    Args:
        begins: when each depth begins to learn, for the column `begins`.
        relative: relative gradients before the first step, for the column `relative_gradient`.
    """
    decay: dict[int, float] = defaultdict(float)
    rates: dict[int, list[float]] = defaultdict(list)
    for group in groups:
        decay[group["depth"]] = max(decay[group["depth"]], group["weight_decay"])
        rates[group["depth"]].append(group["lr"])
    modules = _modules(depths)
    rows: dict[int, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if ".original_module." in name:  # the copy that PEFT keeps of a module trained in full
            continue
        depth = depths.of(name)
        kind = "embeddings" if depth == 0 else "head" if depth == depths.head else f"block {depth}"
        row = rows.setdefault(depth, {"depth": depth, "layer": kind, "tensors": 0, "parameters": 0, "learning": 0})
        row["tensors"] += 1
        row["parameters"] += parameter.numel()
        row["learning"] += parameter.numel() if parameter.requires_grad else 0
    total = sum(row["parameters"] for row in rows.values())
    return [
        {
            **rows[depth],
            "learns": rows[depth]["learning"] > 0,
            "lr": max(rates[depth], default=None),
            **({"lr_lowest": min(rates[depth])} if len(set(rates[depth])) > 1 else {}),
            "weight_decay": decay.get(depth),
            "share": rows[depth]["parameters"] / total,
            "modules": modules.get(depth, []),
            **({} if begins is None else {"begins": str(begins[depth]) if rows[depth]["learning"] else None}),
            **({} if relative is None else {"relative_gradient": relative.get(depth)}),
        }
        for depth in sorted(rows)
    ]


def _modules(depths: Depths) -> dict[int, list[str]]:
    """Depth -> the outermost modules whose parameters all lie at it; a parameter instead if its module spans several depths."""
    within: dict[str, set[int]] = defaultdict(set)
    paths = {name: [name[: m.start()] for m in re.finditer(r"\.|$", name)] for name in depths.tensors}
    for name, depth in depths.tensors.items():
        for path in paths[name]:
            within[path].add(depth)
    found: dict[int, dict[str, None]] = defaultdict(dict)
    for name, depth in depths.tensors.items():
        found[depth][next(path for path in paths[name] if within[path] == {depth})] = None
    return {depth: list(modules) for depth, modules in found.items()}


def rates(row: Mapping[str, Any], none: str = "-") -> str:
    """The learning rate of a table row, or the lowest and the highest."""
    if row["lr"] is None:
        return none
    return f"{row['lr_lowest']:.2e}–{row['lr']:.2e}" if "lr_lowest" in row else f"{row['lr']:.2e}"


def part(share: float) -> str:
    """A share as a percentage that never rounds to 0% or 100%."""
    return "<0.1%" if share < 0.0005 else ">99.9%" if share >= 0.9995 else f"{share:.1%}"


def places(rows: Sequence[Mapping[str, Any]]) -> str:
    """The modules of neighbouring rows in short: those of the first and the last row if there are several; empty if unknown."""
    ends = [listing(row.get("modules", []), 3) for row in (rows[0], rows[-1])]
    return ends[0] if len(rows) == 1 else " … ".join(filter(None, ends))


# Columns that a schedule of layers adds, with their titles.
EXTRA = {"begins": "begins", "relative_gradient": "rel. grad."}


def shown(value: str | float | None) -> str:
    """An entry of one of these columns."""
    return "-" if value is None else value if isinstance(value, str) else f"{value:.2e}"


def format_table(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of the table of layers, with equal neighbouring rows folded into one line."""
    asked = {key: title for key, title in EXTRA.items() if any(key in row for row in rows)}
    wide = max(9, *(len(rates(row)) for row in rows))
    lines = [
        f"{'depth':>7}  {'layer':<14} {'learns':<7} {''.join(f'{title:>10} ' for title in asked.values())}"
        f"{'lr':>{wide}} {'decay':>7} {'tensors':>8} {'parameters':>12} {'share':>7}  modules"
    ]
    folded: list[list[dict[str, Any]]] = []
    for row in rows:
        alike = ("learns", "lr", "lr_lowest", "weight_decay", "tensors", "parameters", "learning", *asked)
        if folded and row["depth"] > 0 and all(folded[-1][-1].get(k) == row.get(k) for k in alike):
            folded[-1].append(row)
        else:
            folded.append([row])
    for group in folded:
        first, last = group[0], group[-1]
        span = str(first["depth"]) if first is last else f"{first['depth']}-{last['depth']}"
        name = first["layer"] if first is last else f"blocks {span}"
        count, learning = sum(r["parameters"] for r in group), sum(r["learning"] for r in group)
        learns = "no" if not learning else "yes" if learning == count else part(learning / count)
        extra = "".join(f"{shown(first[key]):>10} " for key in asked)
        decay = f"{first['weight_decay']:g}" if first["weight_decay"] is not None else "-"
        lines.append(
            f"{span:>7}  {name:<14} {learns:<7} {extra}{rates(first):>{wide}} {decay:>7} "
            f"{sum(r['tensors'] for r in group):>8} {count:>12,} {sum(r['share'] for r in group):>7.1%}  {places(group)}"
        )
    total, learning = sum(r["parameters"] for r in rows), sum(r["learning"] for r in rows)
    lines.append(f"{learning:,} of {total:,} parameters learn ({learning / total:.2%})")
    return lines
