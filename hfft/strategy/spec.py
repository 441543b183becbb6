"""Part 4 of a recipe: every method by its key. This is the only list of methods, and its order is the order of their hooks.

Families come in the order `sample, shift, mix, adversarial, distil, loss, regularise, gradient, clip, rate, average`,
whatever the order in the YAML. Within the loss family, the first method is the innermost.
"""

from __future__ import annotations

from hfft.spec import Spec
from hfft.strategy.adversarial.sam import SAM
from hfft.strategy.average.ema import EMA
from hfft.strategy.clip.agc import AGC
from hfft.strategy.clip.value import ClipValue
from hfft.strategy.distil.distillation import Distillation
from hfft.strategy.loss.class_weights import ClassWeights
from hfft.strategy.loss.focal import Focal
from hfft.strategy.loss.logit_adjustment import LogitAdjustment
from hfft.strategy.loss.poly import Poly
from hfft.strategy.mix.cutmix import CutMix
from hfft.strategy.mix.mixup import Mixup
from hfft.strategy.non_finite import NonFinite
from hfft.strategy.rate.lr_by_gap import LRByGap
from hfft.strategy.regularise.bss import BSS
from hfft.strategy.regularise.l2_sp import L2SP
from hfft.strategy.regularise.r_drop import RDrop
from hfft.strategy.sample.balanced import Balanced
from hfft.strategy.shift.mcc import MCC


class Strategy(Spec):
    """Part 4: how the task is learned."""

    balanced: Balanced | None = None
    mcc: MCC | None = None
    mixup: Mixup | None = None
    cutmix: CutMix | None = None
    sam: SAM | None = None
    distillation: Distillation | None = None
    focal: Focal | None = None
    poly: Poly | None = None
    logit_adjustment: LogitAdjustment | None = None
    class_weights: ClassWeights | None = None
    l2_sp: L2SP | None = None
    bss: BSS | None = None
    r_drop: RDrop | None = None
    agc: AGC | None = None
    clip_value: ClipValue | None = None
    lr_by_gap: LRByGap | None = None
    ema: EMA | None = None
    non_finite: NonFinite = NonFinite()
