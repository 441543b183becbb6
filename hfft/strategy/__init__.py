"""Part 4, the strategy: how the task is learned, one file per method. Torch is imported when a method is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.strategy.build import build_methods, implied_methods, in_order
    from hfft.strategy.distil.distillation import distillation
    from hfft.strategy.loss.class_weights import balanced_weights
    from hfft.strategy.loss.focal import focal
    from hfft.strategy.method import Method, MethodSpec
    from hfft.strategy.mix.cutmix import cutmix
    from hfft.strategy.mix.mixup import mixup
    from hfft.strategy.outputs import logits_of, per_example
    from hfft.strategy.regularise.bss import bss
    from hfft.strategy.regularise.co_tuning import co_tuning, relationship
    from hfft.strategy.regularise.decay_to_start import decay_to_start
    from hfft.strategy.regularise.delta import channel_attention, delta
    from hfft.strategy.regularise.entropy import entropy
    from hfft.strategy.regularise.ewc import ewc, fisher
    from hfft.strategy.regularise.l2_sp import l2_sp
    from hfft.strategy.regularise.lwf import lwf
    from hfft.strategy.regularise.r_drop import r_drop
    from hfft.strategy.shift.mcc import mcc
    from hfft.strategy.spec import Strategy

__getattr__, __all__ = names(
    __name__,
    {
        "Method": "hfft.strategy.method",
        "MethodSpec": "hfft.strategy.method",
        "Strategy": "hfft.strategy.spec",
        "balanced_weights": "hfft.strategy.loss.class_weights",
        "bss": "hfft.strategy.regularise.bss",
        "build_methods": "hfft.strategy.build",
        "channel_attention": "hfft.strategy.regularise.delta",
        "co_tuning": "hfft.strategy.regularise.co_tuning",
        "cutmix": "hfft.strategy.mix.cutmix",
        "decay_to_start": "hfft.strategy.regularise.decay_to_start",
        "delta": "hfft.strategy.regularise.delta",
        "distillation": "hfft.strategy.distil.distillation",
        "entropy": "hfft.strategy.regularise.entropy",
        "ewc": "hfft.strategy.regularise.ewc",
        "fisher": "hfft.strategy.regularise.ewc",
        "focal": "hfft.strategy.loss.focal",
        "implied_methods": "hfft.strategy.build",
        "in_order": "hfft.strategy.build",
        "l2_sp": "hfft.strategy.regularise.l2_sp",
        "logits_of": "hfft.strategy.outputs",
        "lwf": "hfft.strategy.regularise.lwf",
        "mcc": "hfft.strategy.shift.mcc",
        "mixup": "hfft.strategy.mix.mixup",
        "per_example": "hfft.strategy.outputs",
        "r_drop": "hfft.strategy.regularise.r_drop",
        "relationship": "hfft.strategy.regularise.co_tuning",
    },
)
