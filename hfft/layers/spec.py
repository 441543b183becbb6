"""The recipe section for part 3, the layers that learn."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from hfft.frozen_cache.spec import FrozenCacheSpec
from hfft.spec import Spec, as_list, check_pattern
from hfft.wording import nearest

_LAYERS = re.compile(
    r"all|head|embeddings|norms|biases|(first|last|middle)-[1-9][0-9]*|blocks-[1-9][0-9]*(-[1-9][0-9]*)?|/.+/"
)
_EXPECTED = (
    "all, head, embeddings, norms, biases, last-N, first-N or middle-N such as last-4, blocks-A-B such as blocks-3-8"
)


def _check_layers(entries: list[str]) -> None:
    for entry in entries:
        if not _LAYERS.fullmatch(entry):
            words = re.fullmatch(r"(first|last|middle|blocks?)[ _:-]?([1-9][0-9]*)(?:[ _:-]+([1-9][0-9]*))?", entry)
            meant = "-".join(filter(None, words.groups())).replace("block-", "blocks-") if words else ""
            hint = (
                f"; did you mean '{meant}'?" if _LAYERS.fullmatch(meant) else nearest(entry, _EXPECTED.split(", ")[:5])
            )
            raise ValueError(f"is {entry!r}; expected {_EXPECTED}, or /regex/{hint}")
        if entry.startswith("blocks-") and entry.count("-") == 2:
            low, high = map(int, entry.split("-")[1:])
            if low > high:
                raise ValueError(f"is {entry!r}, from the higher block to the lower; write blocks-{high}-{low}")
        check_pattern(entry)


# Which keys each type of `layers.schedule` accepts.
SCHEDULES = {
    "head-then-all": ("head_epochs", "head_steps", "head_learning_rate"),
    "gradual": ("every", "every_steps", "blocks"),
    "surgical": ("blocks", "batches"),
}


class Schedule(Spec):
    """When each layer learns. Each key except `type` belongs to some types only, see `SCHEDULES`.

    Attributes:
        type: `head-then-all` is LP-FT (Kumar et al., arXiv:2202.10054): first only the head, then everything in
            `layers.train`;
            `gradual` (ULMFiT, arXiv:1801.06146): the head, then block by block from the top, the embeddings last;
            `surgical` (Auto-RGN, arXiv:2210.11466): each block in proportion to its relative gradient.
        head_epochs, head_steps: how long only the head learns, in epochs (or a fraction of one) or steps; default 1 epoch.
        head_learning_rate: peak learning rate of the head in that phase; default: as without a schedule.
        every, every_steps: interval until the next blocks start, in epochs or steps; default 1 epoch.
        blocks: for `gradual`, how many blocks start at a time (default 1); for `surgical`, how many depths learn, chosen
            by their relative gradients before the first step, at the full rate (default: all, each at a scaled rate).
        batches: number of training batches used to measure the relative gradients (default 5).
    """

    type: Literal["head-then-all", "gradual", "surgical"]
    head_epochs: float | None = Field(default=None, gt=0)
    head_steps: int | None = Field(default=None, ge=1)
    head_learning_rate: float | None = Field(default=None, gt=0)
    every: float | None = Field(default=None, gt=0)
    every_steps: int | None = Field(default=None, ge=1)
    blocks: int | None = Field(default=None, ge=1)
    batches: int | None = Field(default=None, ge=1)


class Layers(Spec):
    """Part 3: what learns, how fast, when, through which adapter.

    Attributes:
        train: layers that learn, one entry or a list; the head and what is inserted always learn unless `freeze` names them.
            Default: `all`, `head` with an adapter, or `[embeddings, norms]` with `backbone.cross_modal`.
        freeze: layers that do not learn, even if `train` names them.
        schedule: when layers start to learn, a name or a mapping with options; default: all at once.
        norms: whether statistics of frozen norms (BatchNorm's) are held too, or still updated (`live`).
        layer_decay: factor on the learning rate from each depth to the one below it.
        head_lr_scale: factor on the head's learning rate.
        lr: pattern over parameter names -> learning rate, overriding layer_decay and head_lr_scale.
        weight_decay: pattern over parameter names -> weight decay.
        adapter: a PEFT adapter: its `type` and the arguments of its config.
        loraplus_lr_ratio: LoRA+ (arXiv:2402.12354): factor on the learning rate of LoRA's B; the authors use 16.
        lora_fa: LoRA-FA (arXiv:2308.03303): LoRA's A is frozen, and the gradient of B is adjusted to it.
        cache: whether frozen layers run once per row (`auto`: if possible), and what is stored of their outputs.
        last_block: `auto` computes only what the head reads of it (if the head reads one token), `whole` computes all of it.
    """

    train: str | list[str] | None = None
    freeze: str | list[str] = []
    schedule: Schedule | None = None
    norms: Literal["held", "live"] = "held"
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    head_lr_scale: float = Field(default=1.0, gt=0)
    lr: dict[str, float] = {}
    weight_decay: dict[str, float] = {}
    adapter: dict[str, Any] | None = None
    loraplus_lr_ratio: float = Field(default=1.0, ge=1)
    lora_fa: bool = False
    cache: Literal["auto", "off"] | FrozenCacheSpec = "auto"
    last_block: Literal["auto", "whole"] = "auto"

    @field_validator("train", "freeze")
    @classmethod
    def _known(cls, value: str | list[str] | None) -> str | list[str] | None:
        _check_layers(as_list(value))
        return value

    @field_validator("train")
    @classmethod
    def _some(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value == []:
            raise ValueError("names no layers; write head to train only the head, or leave it out for all")
        return value

    @field_validator("schedule", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @field_validator("lr", "weight_decay")
    @classmethod
    def _patterns(cls, value: dict[str, float]) -> dict[str, float]:
        for pattern, number in value.items():
            if not re.fullmatch("/.+/", pattern):
                raise ValueError(f"{pattern!r} is not a pattern; write /{pattern}/")
            if not 0 <= number < float("inf"):
                raise ValueError(f"{pattern} is {number}; expected a finite number of at least 0")
        _check_layers(list(value))
        return value
