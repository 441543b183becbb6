"""Part 4, the strategy: how the task is learned, one file per method. Torch is imported when a method is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.strategy.adversarial.attacks import fgsm, pgd, pgd_attack
    from hfft.strategy.adversarial.fgm import fgm
    from hfft.strategy.adversarial.freelb import freelb
    from hfft.strategy.adversarial.pcgrad import pcgrad
    from hfft.strategy.adversarial.smart import smart, smart_change
    from hfft.strategy.adversarial.trades import trades
    from hfft.strategy.average.swad import valley
    from hfft.strategy.build import build_methods, further_views, implied_methods, in_order
    from hfft.strategy.clip.agc import agc
    from hfft.strategy.clip.value import clip_value
    from hfft.strategy.distil.attention_transfer import attention_transfer
    from hfft.strategy.distil.distillation import distillation
    from hfft.strategy.distil.hints import hints
    from hfft.strategy.distil.self_distillation import consistency
    from hfft.strategy.gradient.lora_fa import lora_fa
    from hfft.strategy.loss.ace import ace_logits
    from hfft.strategy.loss.asymmetric_loss import asymmetric_loss
    from hfft.strategy.loss.balanced_softmax import balanced_logits
    from hfft.strategy.loss.class_weights import balanced_weights, effective_number_weights
    from hfft.strategy.loss.elr import elr
    from hfft.strategy.loss.focal import binary_focal, focal
    from hfft.strategy.loss.forward_correction import forward_correction
    from hfft.strategy.loss.gce import gce
    from hfft.strategy.loss.huber import huber
    from hfft.strategy.loss.ldam import ldam
    from hfft.strategy.loss.positive_weights import weighted_binary_cross_entropy
    from hfft.strategy.loss.quantile import quantile_loss
    from hfft.strategy.loss.symmetric_cross_entropy import symmetric_cross_entropy
    from hfft.strategy.method import Method, MethodSpec
    from hfft.strategy.metric.contrastive import drawn_pairs, logistic_head, pairs_loss
    from hfft.strategy.metric.nt_xent import nt_xent
    from hfft.strategy.metric.prototypes import episode_loss, prototype_head
    from hfft.strategy.mix.augmix import augmix
    from hfft.strategy.mix.consistency import jensen_shannon
    from hfft.strategy.mix.cutmix import cutmix
    from hfft.strategy.mix.embedding_mixup import embedding_mixup
    from hfft.strategy.mix.mixup import mixup
    from hfft.strategy.mix.word_dropout import word_dropout
    from hfft.strategy.outputs import logits_of, per_example
    from hfft.strategy.rate.inverse_decay import inverse_decay
    from hfft.strategy.rate.lr_by_gap import lr_by_gap
    from hfft.strategy.regularise.bss import bss
    from hfft.strategy.regularise.co_tuning import co_tuning, relationship
    from hfft.strategy.regularise.decay_to_start import decay_to_start
    from hfft.strategy.regularise.delta import channel_attention, delta
    from hfft.strategy.regularise.drop_path import drop_path
    from hfft.strategy.regularise.entropy import entropy
    from hfft.strategy.regularise.ewc import ewc, fisher
    from hfft.strategy.regularise.l2_sp import l2_sp
    from hfft.strategy.regularise.lwf import lwf
    from hfft.strategy.regularise.mixout import mixout
    from hfft.strategy.regularise.r_drop import r_drop
    from hfft.strategy.regularise.stochnorm import stoch_norm
    from hfft.strategy.replay.der import der
    from hfft.strategy.sample.balanced import balanced_order, in_turn
    from hfft.strategy.sample.curriculum import easy_order
    from hfft.strategy.sample.hard_examples import hard_order
    from hfft.strategy.semi_supervised.flexmatch import flexible_thresholds
    from hfft.strategy.semi_supervised.freematch import adaptive_thresholds, fairness
    from hfft.strategy.semi_supervised.views import pseudo_label_loss
    from hfft.strategy.shift.adversary import reverse_gradient, warm_up
    from hfft.strategy.shift.afn import afn
    from hfft.strategy.shift.bsp import bsp
    from hfft.strategy.shift.cdan import certainty, multilinear
    from hfft.strategy.shift.coral import coral
    from hfft.strategy.shift.dan import mk_mmd
    from hfft.strategy.shift.dann import domain_loss
    from hfft.strategy.shift.domain_coral import mean_distance, moment_distance
    from hfft.strategy.shift.mcc import mcc
    from hfft.strategy.shift.mcd import discrepancy
    from hfft.strategy.shift.mdd import agreement, disagreement
    from hfft.strategy.spec import Strategy

__getattr__, __all__ = names(
    __name__,
    {
        "Method": "hfft.strategy.method",
        "MethodSpec": "hfft.strategy.method",
        "Strategy": "hfft.strategy.spec",
        "afn": "hfft.strategy.shift.afn",
        "adaptive_thresholds": "hfft.strategy.semi_supervised.freematch",
        "ace_logits": "hfft.strategy.loss.ace",
        "agc": "hfft.strategy.clip.agc",
        "agreement": "hfft.strategy.shift.mdd",
        "asymmetric_loss": "hfft.strategy.loss.asymmetric_loss",
        "attention_transfer": "hfft.strategy.distil.attention_transfer",
        "augmix": "hfft.strategy.mix.augmix",
        "balanced_logits": "hfft.strategy.loss.balanced_softmax",
        "balanced_order": "hfft.strategy.sample.balanced",
        "balanced_weights": "hfft.strategy.loss.class_weights",
        "binary_focal": "hfft.strategy.loss.focal",
        "bsp": "hfft.strategy.shift.bsp",
        "bss": "hfft.strategy.regularise.bss",
        "build_methods": "hfft.strategy.build",
        "certainty": "hfft.strategy.shift.cdan",
        "channel_attention": "hfft.strategy.regularise.delta",
        "clip_value": "hfft.strategy.clip.value",
        "co_tuning": "hfft.strategy.regularise.co_tuning",
        "consistency": "hfft.strategy.distil.self_distillation",
        "coral": "hfft.strategy.shift.coral",
        "cutmix": "hfft.strategy.mix.cutmix",
        "decay_to_start": "hfft.strategy.regularise.decay_to_start",
        "delta": "hfft.strategy.regularise.delta",
        "disagreement": "hfft.strategy.shift.mdd",
        "discrepancy": "hfft.strategy.shift.mcd",
        "der": "hfft.strategy.replay.der",
        "distillation": "hfft.strategy.distil.distillation",
        "domain_loss": "hfft.strategy.shift.dann",
        "drawn_pairs": "hfft.strategy.metric.contrastive",
        "drop_path": "hfft.strategy.regularise.drop_path",
        "easy_order": "hfft.strategy.sample.curriculum",
        "effective_number_weights": "hfft.strategy.loss.class_weights",
        "elr": "hfft.strategy.loss.elr",
        "embedding_mixup": "hfft.strategy.mix.embedding_mixup",
        "entropy": "hfft.strategy.regularise.entropy",
        "episode_loss": "hfft.strategy.metric.prototypes",
        "ewc": "hfft.strategy.regularise.ewc",
        "fairness": "hfft.strategy.semi_supervised.freematch",
        "fgm": "hfft.strategy.adversarial.fgm",
        "fgsm": "hfft.strategy.adversarial.attacks",
        "fisher": "hfft.strategy.regularise.ewc",
        "flexible_thresholds": "hfft.strategy.semi_supervised.flexmatch",
        "focal": "hfft.strategy.loss.focal",
        "forward_correction": "hfft.strategy.loss.forward_correction",
        "freelb": "hfft.strategy.adversarial.freelb",
        "further_views": "hfft.strategy.build",
        "gce": "hfft.strategy.loss.gce",
        "hard_order": "hfft.strategy.sample.hard_examples",
        "hints": "hfft.strategy.distil.hints",
        "huber": "hfft.strategy.loss.huber",
        "implied_methods": "hfft.strategy.build",
        "in_order": "hfft.strategy.build",
        "inverse_decay": "hfft.strategy.rate.inverse_decay",
        "in_turn": "hfft.strategy.sample.balanced",
        "jensen_shannon": "hfft.strategy.mix.consistency",
        "l2_sp": "hfft.strategy.regularise.l2_sp",
        "ldam": "hfft.strategy.loss.ldam",
        "logistic_head": "hfft.strategy.metric.contrastive",
        "logits_of": "hfft.strategy.outputs",
        "lora_fa": "hfft.strategy.gradient.lora_fa",
        "lr_by_gap": "hfft.strategy.rate.lr_by_gap",
        "lwf": "hfft.strategy.regularise.lwf",
        "mcc": "hfft.strategy.shift.mcc",
        "mean_distance": "hfft.strategy.shift.domain_coral",
        "mixout": "hfft.strategy.regularise.mixout",
        "mixup": "hfft.strategy.mix.mixup",
        "mk_mmd": "hfft.strategy.shift.dan",
        "multilinear": "hfft.strategy.shift.cdan",
        "moment_distance": "hfft.strategy.shift.domain_coral",
        "nt_xent": "hfft.strategy.metric.nt_xent",
        "pairs_loss": "hfft.strategy.metric.contrastive",
        "pcgrad": "hfft.strategy.adversarial.pcgrad",
        "per_example": "hfft.strategy.outputs",
        "pgd": "hfft.strategy.adversarial.attacks",
        "pgd_attack": "hfft.strategy.adversarial.attacks",
        "prototype_head": "hfft.strategy.metric.prototypes",
        "pseudo_label_loss": "hfft.strategy.semi_supervised.views",
        "quantile_loss": "hfft.strategy.loss.quantile",
        "r_drop": "hfft.strategy.regularise.r_drop",
        "relationship": "hfft.strategy.regularise.co_tuning",
        "reverse_gradient": "hfft.strategy.shift.adversary",
        "smart": "hfft.strategy.adversarial.smart",
        "smart_change": "hfft.strategy.adversarial.smart",
        "stoch_norm": "hfft.strategy.regularise.stochnorm",
        "symmetric_cross_entropy": "hfft.strategy.loss.symmetric_cross_entropy",
        "trades": "hfft.strategy.adversarial.trades",
        "valley": "hfft.strategy.average.swad",
        "warm_up": "hfft.strategy.shift.adversary",
        "weighted_binary_cross_entropy": "hfft.strategy.loss.positive_weights",
        "word_dropout": "hfft.strategy.mix.word_dropout",
    },
)
