"""Part 4 of a recipe: every method by its key. This is the only list of methods, and its order is the order of their hooks.

Families come in the order `sample, shift, replay, semi_supervised, mix, adversarial, distil, metric, loss, regularise,
gradient, clip, rate, average`, whatever the order in the YAML. Within the loss family, the first method is the innermost.
"""

from __future__ import annotations

from hfft.spec import Spec
from hfft.strategy.adversarial.fast_at import FastAT
from hfft.strategy.adversarial.fgm import FGM
from hfft.strategy.adversarial.freelb import FreeLB
from hfft.strategy.adversarial.pcgrad import PCGrad
from hfft.strategy.adversarial.pgd import PGD
from hfft.strategy.adversarial.sam import SAM
from hfft.strategy.adversarial.smart import SMART
from hfft.strategy.adversarial.trades import TRADES
from hfft.strategy.average.ema import EMA
from hfft.strategy.average.swa import SWA
from hfft.strategy.average.swad import SWAD
from hfft.strategy.clip.agc import AGC
from hfft.strategy.clip.value import ClipValue
from hfft.strategy.distil.attention_transfer import AttentionTransfer
from hfft.strategy.distil.distillation import Distillation
from hfft.strategy.distil.hints import Hints
from hfft.strategy.distil.self_distillation import SelfDistillation
from hfft.strategy.loss.ace import ACE
from hfft.strategy.loss.asymmetric_loss import AsymmetricLoss
from hfft.strategy.loss.balanced_softmax import BalancedSoftmax
from hfft.strategy.loss.class_weights import ClassWeights
from hfft.strategy.loss.elr import ELR
from hfft.strategy.loss.focal import Focal
from hfft.strategy.loss.forward_correction import ForwardCorrection
from hfft.strategy.loss.gce import GCE
from hfft.strategy.loss.huber import Huber
from hfft.strategy.loss.ldam import LDAM
from hfft.strategy.loss.logit_adjustment import LogitAdjustment
from hfft.strategy.loss.poly import Poly
from hfft.strategy.loss.positive_weights import PositiveWeights
from hfft.strategy.loss.quantile import Quantile
from hfft.strategy.loss.symmetric_cross_entropy import SymmetricCrossEntropy
from hfft.strategy.metric.contrastive import Contrastive
from hfft.strategy.metric.prototypes import Prototypes
from hfft.strategy.metric.simclr import SimCLR
from hfft.strategy.metric.simcse import SimCSE
from hfft.strategy.mix.augmix import AugMix
from hfft.strategy.mix.cutmix import CutMix
from hfft.strategy.mix.embedding_mixup import EmbeddingMixup
from hfft.strategy.mix.mixup import Mixup
from hfft.strategy.mix.token_cutoff import TokenCutoff
from hfft.strategy.mix.word_dropout import WordDropout
from hfft.strategy.non_finite import NonFinite
from hfft.strategy.rate.inverse_decay import InverseDecay
from hfft.strategy.rate.lr_by_gap import LRByGap
from hfft.strategy.regularise.bss import BSS
from hfft.strategy.regularise.co_tuning import CoTuning
from hfft.strategy.regularise.confidence_penalty import ConfidencePenalty
from hfft.strategy.regularise.decay_to_start import DecayToStart
from hfft.strategy.regularise.delta import DELTA
from hfft.strategy.regularise.drop_path import DropPath
from hfft.strategy.regularise.entropy import Entropy
from hfft.strategy.regularise.ewc import EWC
from hfft.strategy.regularise.l2_sp import L2SP
from hfft.strategy.regularise.lwf import LwF
from hfft.strategy.regularise.mixout import Mixout
from hfft.strategy.regularise.r_drop import RDrop
from hfft.strategy.regularise.stochnorm import StochNorm
from hfft.strategy.replay.der import DER
from hfft.strategy.replay.replay import Replay
from hfft.strategy.sample.balanced import Balanced
from hfft.strategy.sample.curriculum import Curriculum
from hfft.strategy.sample.hard_examples import HardExamples
from hfft.strategy.semi_supervised.fixmatch import FixMatch
from hfft.strategy.semi_supervised.flexmatch import FlexMatch
from hfft.strategy.semi_supervised.freematch import FreeMatch
from hfft.strategy.semi_supervised.mean_teacher import MeanTeacher
from hfft.strategy.semi_supervised.pseudo_label import PseudoLabel
from hfft.strategy.shift.afn import AFN
from hfft.strategy.shift.bsp import BSP
from hfft.strategy.shift.cdan import CDAN
from hfft.strategy.shift.coral import CORAL
from hfft.strategy.shift.dan import DAN
from hfft.strategy.shift.dann import DANN
from hfft.strategy.shift.domain_coral import DomainCORAL
from hfft.strategy.shift.group_dro import GroupDRO
from hfft.strategy.shift.mcc import MCC
from hfft.strategy.shift.mcd import MCD
from hfft.strategy.shift.mdd import MDD
from hfft.strategy.shift.shot import SHOT
from hfft.strategy.shift.vrex import VREx
from hfft.strategy.tasks.grad_norm import GradNorm
from hfft.strategy.tasks.mixing import Mixing
from hfft.strategy.tasks.uncertainty import Uncertainty


class Strategy(Spec):
    """Part 4: how the task is learned."""

    mixing: Mixing | None = None
    uncertainty: Uncertainty | None = None
    grad_norm: GradNorm | None = None
    balanced: Balanced | None = None
    curriculum: Curriculum | None = None
    hard_examples: HardExamples | None = None
    mcc: MCC | None = None
    dan: DAN | None = None
    coral: CORAL | None = None
    dann: DANN | None = None
    cdan: CDAN | None = None
    mdd: MDD | None = None
    mcd: MCD | None = None
    bsp: BSP | None = None
    afn: AFN | None = None
    shot: SHOT | None = None
    group_dro: GroupDRO | None = None
    vrex: VREx | None = None
    domain_coral: DomainCORAL | None = None
    replay: Replay | None = None
    der: DER | None = None
    pseudo_label: PseudoLabel | None = None
    mean_teacher: MeanTeacher | None = None
    fixmatch: FixMatch | None = None
    flexmatch: FlexMatch | None = None
    freematch: FreeMatch | None = None
    mixup: Mixup | None = None
    cutmix: CutMix | None = None
    word_dropout: WordDropout | None = None
    embedding_mixup: EmbeddingMixup | None = None
    token_cutoff: TokenCutoff | None = None
    augmix: AugMix | None = None
    fgm: FGM | None = None
    freelb: FreeLB | None = None
    pgd: PGD | None = None
    fast_at: FastAT | None = None
    trades: TRADES | None = None
    smart: SMART | None = None
    sam: SAM | None = None
    pcgrad: PCGrad | None = None
    distillation: Distillation | None = None
    hints: Hints | None = None
    attention_transfer: AttentionTransfer | None = None
    self_distillation: SelfDistillation | None = None
    contrastive: Contrastive | None = None
    prototypes: Prototypes | None = None
    simclr: SimCLR | None = None
    simcse: SimCSE | None = None
    focal: Focal | None = None
    gce: GCE | None = None
    symmetric_cross_entropy: SymmetricCrossEntropy | None = None
    ldam: LDAM | None = None
    asymmetric_loss: AsymmetricLoss | None = None
    positive_weights: PositiveWeights | None = None
    huber: Huber | None = None
    quantile: Quantile | None = None
    poly: Poly | None = None
    logit_adjustment: LogitAdjustment | None = None
    balanced_softmax: BalancedSoftmax | None = None
    forward_correction: ForwardCorrection | None = None
    class_weights: ClassWeights | None = None
    ace: ACE | None = None
    elr: ELR | None = None
    l2_sp: L2SP | None = None
    decay_to_start: DecayToStart | None = None
    ewc: EWC | None = None
    delta: DELTA | None = None
    co_tuning: CoTuning | None = None
    lwf: LwF | None = None
    confidence_penalty: ConfidencePenalty | None = None
    entropy: Entropy | None = None
    bss: BSS | None = None
    r_drop: RDrop | None = None
    mixout: Mixout | None = None
    drop_path: DropPath | None = None
    stochnorm: StochNorm | None = None
    agc: AGC | None = None
    clip_value: ClipValue | None = None
    lr_by_gap: LRByGap | None = None
    inverse_decay: InverseDecay | None = None
    ema: EMA | None = None
    swa: SWA | None = None
    swad: SWAD | None = None
    non_finite: NonFinite = NonFinite()
