"""Part 4, the strategy: how the task is learned, one file per method. Torch is imported when a method is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.strategy.build import build_methods, implied_methods, in_order
    from hfft.strategy.clip.agc import agc
    from hfft.strategy.clip.value import clip_value
    from hfft.strategy.distil.distillation import distillation
    from hfft.strategy.gradient.lora_fa import lora_fa
    from hfft.strategy.loss.class_weights import balanced_weights
    from hfft.strategy.loss.focal import focal
    from hfft.strategy.method import Method, MethodSpec
    from hfft.strategy.mix.cutmix import cutmix
    from hfft.strategy.mix.mixup import mixup
    from hfft.strategy.outputs import logits_of, per_example
    from hfft.strategy.rate.lr_by_gap import lr_by_gap
    from hfft.strategy.regularise.bss import bss
    from hfft.strategy.regularise.l2_sp import l2_sp
    from hfft.strategy.regularise.r_drop import r_drop
    from hfft.strategy.shift.mcc import mcc
    from hfft.strategy.spec import Strategy

__getattr__, __all__ = names(
    __name__,
    {
        "Method": "hfft.strategy.method",
        "MethodSpec": "hfft.strategy.method",
        "Strategy": "hfft.strategy.spec",
        "agc": "hfft.strategy.clip.agc",
        "balanced_weights": "hfft.strategy.loss.class_weights",
        "bss": "hfft.strategy.regularise.bss",
        "build_methods": "hfft.strategy.build",
        "clip_value": "hfft.strategy.clip.value",
        "cutmix": "hfft.strategy.mix.cutmix",
        "distillation": "hfft.strategy.distil.distillation",
        "focal": "hfft.strategy.loss.focal",
        "implied_methods": "hfft.strategy.build",
        "l2_sp": "hfft.strategy.regularise.l2_sp",
        "logits_of": "hfft.strategy.outputs",
        "lora_fa": "hfft.strategy.gradient.lora_fa",
        "lr_by_gap": "hfft.strategy.rate.lr_by_gap",
        "mcc": "hfft.strategy.shift.mcc",
        "mixup": "hfft.strategy.mix.mixup",
        "in_order": "hfft.strategy.build",
        "per_example": "hfft.strategy.outputs",
        "r_drop": "hfft.strategy.regularise.r_drop",
    },
)
