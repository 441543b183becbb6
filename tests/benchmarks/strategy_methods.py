"""The methods that are tried, as keys of a recipe: another method is one more line.

A `$` names a value of the setting: `$noise` is its share of wrong labels, `$radius` and `$step` are those of its attack,
`$late` is an epoch near its end, `$teacher` the finished model of another setting, with the same seed. Keys of `soup` are
not the recipe's: they say what `hfft soup` makes of the finished run. What the package does not have is left out and told.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from hfft.strategy.spec import Strategy

Keys = Mapping[str, Any]  # `section.key` -> value

METHODS: dict[str, Keys] = {
    "plain": {},
    # terms
    "L2-SP": {"strategy.l2_sp": 0.01},
    "decay to start": {"strategy.decay_to_start": 10.0},
    "DELTA": {"strategy.delta": 0.001},
    "BSS": {"strategy.bss": 0.001},
    "Co-Tuning": {"strategy.co_tuning": 2.3},
    "R-Drop": {"strategy.r_drop": 1.0, "head.dropout": 0.1},
    "confidence penalty": {"strategy.confidence_penalty": 0.1},
    "label smoothing": {"training.label_smoothing_factor": 0.1},
    "LwF": {"strategy.lwf": 1.0},
    "mixout": {"strategy.mixout": 0.1},
    "drop path": {"strategy.drop_path": 0.1},
    "StochNorm": {"strategy.stochnorm": 0.5},
    # mixing
    "mixup": {"strategy.mixup": 0.2},
    "cutmix": {"strategy.cutmix": 1.0},
    "AugMix": {"strategy.augmix": {}},
    "embedding mixup": {"strategy.embedding_mixup": 0.2},
    "word dropout": {"strategy.word_dropout": 0.05},
    "token cutoff": {"strategy.token_cutoff": 0.1},
    # wrapped steps
    "SAM": {"strategy.sam": 0.05},
    "SMART": {"strategy.smart": {}},
    "FGM": {"strategy.fgm": {}},
    "FreeLB": {"strategy.freelb": {}},
    "PGD-AT": {"strategy.pgd": {"epsilon": "$radius", "step": "$step", "steps": 7}},
    "fast AT": {"strategy.fast_at": {"epsilon": "$radius"}},
    "TRADES": {"strategy.trades": {"epsilon": "$radius", "step": "$step", "steps": 7}},
    # base losses
    "GCE": {"strategy.gce": 0.7},
    "symmetric CE": {"strategy.symmetric_cross_entropy": {}},
    "ELR": {"strategy.elr": 3.0},
    "forward, true matrix": {"strategy.forward_correction": "$noise"},
    "forward, anchors": {"strategy.forward_correction": "anchors"},
    "focal": {"strategy.focal": 2.0},
    "poly": {"strategy.poly": {}},
    "class weights": {"strategy.class_weights": "balanced"},
    "effective number": {"strategy.class_weights": {"effective_number": 0.999}},
    "balanced sampler": {"strategy.balanced": 0},
    "balanced sampler, deferred": {"strategy.balanced": {"after": "$late"}},
    "square-root sampler": {"strategy.balanced": {"by": "sqrt"}},
    "curriculum": {"strategy.curriculum": {}},
    "hard examples": {"strategy.hard_examples": {}},
    "logit adjustment": {"strategy.logit_adjustment": 1.0},
    "balanced softmax": {"strategy.balanced_softmax": {}},
    "LDAM": {"strategy.ldam": {}},
    "LDAM-DRW": {"strategy.ldam": {"after": "$late"}},
    # teachers
    "distillation": {"strategy.distillation": {"teacher": "$teacher"}},
    "hints": {"strategy.hints": {"teacher": "$teacher"}},
    "attention transfer": {"strategy.attention_transfer": {"teacher": "$teacher"}},
    "self-distillation": {"strategy.self_distillation": {}},
    # averages
    "EMA": {"strategy.ema": 0.98},
    "SWA": {"strategy.swa": 0.5, "training.lr_scheduler_type": "constant_with_warmup"},
    "SWAD": {"strategy.swad": {}, "training.eval_steps": 10, "training.eval_strategy": "steps"},
    "WiSE-FT": {"soup.with_start": "0:1:0.1"},
    "greedy soup of three rates": {"soup.rates": [0.5, 1, 2]},
}


def is_there(method: str) -> bool:
    """Whether the package has what a method names."""
    return all(
        key.split(".")[1] in Strategy.model_fields
        if key.startswith("strategy.")
        else not key.startswith("soup.") or importlib.util.find_spec("hfft.pipeline.soup") is not None
        for key in METHODS[method]
    )
