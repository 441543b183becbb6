"""Trainings with every method, alone and together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import TrainerCallback

from hfft.data.batch_transform import Pixels
from hfft.evaluate.scores import Metrics
from hfft.evaluate.task_metrics import TaskMetrics
from hfft.strategy.loss.forward_correction import Corrected, ForwardCorrection
from hfft.strategy.method import TASK, At, Batch, Inner, Method, Pass, Setting
from hfft.strategy.outputs import logits_of
from hfft.strategy.spec import Strategy
from hfft.strategy.tasks.own_losses import OwnLoss, OwnLosses
from hfft.tasks.labels import Labels
from hfft.train import FineTuner
from tests import examples, training

# --- a small user of each hook that no shipped method needs yet


class LearnedScale(Method):
    """`modules`: the loss times exp(-s), plus s, of a number s that learns beside the model (Kendall et al. 2018)."""

    name = "learned_scale"

    def start(self, setting: Setting) -> None:
        """Begin at zero."""
        dtype = next(setting.model.parameters()).dtype
        self.inside = nn.ModuleDict({"scale": nn.Linear(1, 1, bias=False, dtype=dtype)}).to(setting.device)
        nn.init.constant_(self.inside["scale"].weight, 0.1)

    def modules(self) -> nn.ModuleDict:
        """The number."""
        return self.inside

    def example_loss(self, inner: Inner, logits: torch.Tensor, labels: torch.Tensor, at: At) -> torch.Tensor:
        """Kendall's."""
        s = self.inside["scale"].weight.squeeze()
        return inner(logits, labels) * torch.exp(-s) + s


class PullToAnswers(Method):
    """`epoch`: hold the logits near what they were when the epoch began."""

    name = "pull_to_answers"
    needs = frozenset({"rows"})

    def epoch(self, model: nn.Module, outputs_of: Callable[[str], Any], at: At) -> None:
        """Keep the answers to all rows."""
        self.answers = outputs_of("train").logits

    def losses(self, seen: Pass) -> dict[str, torch.Tensor]:
        """Squared distance of each row."""
        before = self.answers[torch.from_numpy(seen.rows)].to(seen.logits[TASK])
        return {"pull_to_answers": (seen.logits[TASK] - before).square().sum(1)}

    def state(self) -> dict[str, torch.Tensor]:
        """The answers, for a run that goes on within an epoch."""
        return {"answers": self.answers}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take them over."""
        self.answers = state["answers"].cpu()


def losses_of_tasks() -> Method:
    """Other losses of two tasks: focal for the classes, half as much weight and a robust loss for the regression."""
    own = [OwnLoss(1.0, training.methods_of(focal=2.0)), OwnLoss(0.5, training.methods_of(huber=0.3))]
    made = OwnLosses(own)
    made.name = "tasks"
    return made


class RaisedByGap(Method):
    """`evaluated`: an L2 penalty that grows while the validation loss is above the training loss."""

    name = "raised_by_gap"

    def __init__(self) -> None:
        self.strength = torch.tensor(0.01, dtype=torch.float64)

    def evaluated(self, figures: Mapping[str, float], at: At) -> None:
        """Double it, or halve it."""
        self.strength = self.strength * (2.0 if figures["eval_loss"] > figures["loss"] else 0.5)

    def weights(self, model: nn.Module, at: At) -> dict[str, torch.Tensor]:
        """The penalty."""
        return {"raised_by_gap": self.strength * sum(p.square().sum() for p in model.parameters())}

    def state(self) -> dict[str, torch.Tensor]:
        """The weight."""
        return {"strength": self.strength}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take it over."""
        self.strength = state["strength"].cpu()


class Surgery(Method):
    """`again(only=)`: the gradient of a term without what opposes the task's (PCGrad; Yu et al. 2020)."""

    name = "surgery"

    def losses(self, seen: Pass) -> dict[str, torch.Tensor]:
        """A term that opposes the task's: large logits."""
        return {"opposing": 0.3 * seen.logits[TASK].square().sum(1)}

    def gradients(self, model: nn.Module, again: Callable[..., None], at: At) -> None:
        """Project."""
        found = {}
        for name in (TASK, "opposing"):
            again(only=name)
            found[name] = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        dot = sum((found[TASK][n] * found["opposing"][n]).sum() for n in found[TASK])
        length = sum(grad.square().sum() for grad in found[TASK].values())
        for name, parameter in model.named_parameters():
            if name in found[TASK]:
                share = torch.clamp(dot / length, max=0.0)
                parameter.grad = found[TASK][name] + found["opposing"][name] - share * found[TASK][name]


class ShiftedEmbedding(Method):
    """`around`: forward and backward with embeddings that are moved, also where activations are computed again."""

    name = "shifted_embedding"
    needs = frozenset({"inputs"})

    @contextlib.contextmanager
    def around(self, model: nn.Module, batch: Batch) -> Iterator[None]:
        """Move the answers of the input embedding by a constant."""
        handle = model.get_input_embeddings().register_forward_hook(lambda _, inputs, output: output * 1.1 + 0.05)
        try:
            yield
        finally:
            handle.remove()


class NearStates(Method):
    """`states`: hold what the second block answers small."""

    name = "near_states"
    needs = frozenset({"states"})
    states = (2,)

    def losses(self, seen: Pass) -> dict[str, torch.Tensor]:
        """Mean square of each row's states."""
        return {"near_states": seen.states[TASK][2].flatten(1).square().mean(1)}


class Estimated(Corrected):
    """`forward_correction: anchors`, of a model that learns too little in two epochs to tell random labels apart."""

    name = "forward_correction"

    def __init__(self) -> None:
        super().__init__(ForwardCorrection(matrix="anchors", after=1))

    def untold(self, matrix: torch.Tensor) -> list[int]:
        """None, so that the matrix is used as it is."""
        return []


# --- cases


@dataclass(frozen=True)
class Case:
    """A training with methods.

    Attributes:
        strategy: as in a recipe.
        neutral: a strategy with options of the same method that leave a run as it is without; None where there are none.
        more: methods that are no recipe's.
        dropout: of the model; None for the architecture's own.
        random: it draws differently for another split of a batch, as dropout does.
        changes: whether the run ends with other weights than without.
        problem: of its rows.
        fewest: rows that it needs at least.
    """

    strategy: dict[str, Any] = field(default_factory=dict)
    neutral: dict[str, Any] | None = None
    more: tuple[Callable[[], Method], ...] = ()
    model: str = "bert"
    dropout: float | None = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    random: bool = False
    changes: bool = True
    problem: str = examples.SINGLE
    fewest: int = 9


WIDE = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
}  # of a teacher: other widths, blocks, heads
EVALUATED = {"eval_strategy": "steps", "eval_steps": 1}
CASES = {
    "none": Case(changes=False),
    "balanced": Case({"balanced": {"after": 1}}),
    "curriculum": Case({"curriculum": {"over": 1.0}}, {"curriculum": {"start": 1}}),
    "hard_examples": Case({"hard_examples": {"share": 0.2}}, {"hard_examples": 0}),
    "mcc": Case({"mcc": {"on": "target", "weight": 3.0}}, {"mcc": {"on": "target", "weight": 0.0}}),
    "mcc, two rows for each": Case({"mcc": {"on": "target", "ratio": 2, "weight": 3.0}}),
    "dan": Case({"dan": {"on": "target", "weight": 3.0}}, {"dan": {"on": "target", "weight": 0.0}}),
    "coral": Case({"coral": {"on": "target", "weight": 30.0}}, {"coral": {"on": "target", "weight": 0.0}}),
    "coral of features, dann, bsp": Case(
        {"coral": {"on": "target", "of": "features"}, "dann": "target", "bsp": "target"}
    ),
    "dann": Case({"dann": {"on": "target", "hidden": 8}}, {"dann": {"on": "target", "weight": 0.0}}),
    "dann, two rows for each, sam": Case({"dann": {"on": "target", "hidden": 8, "ratio": 2}, "sam": 0.3}),
    "cdan": Case({"cdan": {"on": "target", "hidden": 8}}, {"cdan": {"on": "target", "weight": 0.0}}),
    "cdan+e, of random products": Case({"cdan": {"on": "target", "hidden": 8, "entropy": True, "randomized_dim": 6}}),
    "mdd": Case({"mdd": {"on": "target", "hidden": 8}}, {"mdd": {"on": "target", "weight": 0.0}}),
    "mcd": Case({"mcd": {"on": "target", "weight": 3.0}}, {"mcd": {"on": "target", "weight": 0.0}}),
    "bsp": Case({"bsp": {"on": "target", "weight": 0.1, "largest": 2}}, {"bsp": {"on": "target", "weight": 0.0}}),
    "afn": Case({"afn": {"on": "target", "delta": 0.5}}, {"afn": {"on": "target", "weight": 0.0}}),
    "balanced by domain": Case({"balanced": {"by": "domain", "after": 1}}),
    "group_dro": Case({"group_dro": 2.0}, {"group_dro": 0.0}),
    "group_dro, balanced by domain, sam": Case(
        {"group_dro": 2.0, "balanced": {"by": "domain"}, "sam": 0.3}, model="vit"
    ),
    "vrex": Case({"vrex": 30.0}, {"vrex": 0.0}),
    "domain_coral": Case({"domain_coral": 3.0}, {"domain_coral": 0.0}),
    "balanced by domain, vrex, domain_coral, swad": Case(
        {"balanced": {"by": "domain"}, "vrex": 3.0, "domain_coral": 3.0, "swad": {"optimum_patience": 1}},
        settings=EVALUATED,
    ),
    # random weights are hardly sure: of three classes, some rows are above such thresholds and some are not
    "pseudo_label": Case(
        {"pseudo_label": {"on": "target", "threshold": 0.36, "weight": 3.0}},
        {"pseudo_label": {"on": "target", "weight": 0.0}},
    ),
    "mean_teacher": Case(
        {"mean_teacher": {"on": "target", "ratio": 2, "weight": 9.0, "decay": 0.9}},
        {"mean_teacher": {"on": "target", "weight": 0.0}},
    ),
    "fixmatch": Case(
        {"fixmatch": {"on": "target", "ratio": 2, "threshold": 0.36, "weight": 3.0}},
        {"fixmatch": {"on": "target", "weight": 0.0}},
    ),
    "flexmatch": Case(
        {"flexmatch": {"on": "target", "ratio": 3, "threshold": 0.36, "weight": 3.0}},
        {"flexmatch": {"on": "target", "weight": 0.0}},
    ),
    "freematch": Case(
        {"freematch": {"on": "target", "ratio": 2, "weight": 3.0, "fairness": 0.5, "momentum": 0.7}},
        {"freematch": {"on": "target", "weight": 0.0}},
    ),
    "freematch without fairness, sam": Case({"freematch": {"on": "target", "fairness": 0}, "sam": 0.3}, model="vit"),
    "mixup, flexmatch, ema": Case({"mixup": 1.0, "flexmatch": "target", "ema": 0.9}, model="vit"),
    "replay": Case({"replay": {"on": "memory", "weight": 2.0}}, {"replay": {"on": "memory", "weight": 0.0}}),
    "der": Case({"der": {"on": "memory", "alpha": 2.0}}, {"der": {"on": "memory", "alpha": 0.0, "beta": 0.0}}),
    "der, replay, mixup, sam": Case({"der": "memory", "replay": "memory", "mixup": 1.0, "sam": 0.3}, model="vit"),
    "shot": Case({"shot": {"pseudo": 0.7}}),
    "shot without pseudo-labels, r_drop": Case({"shot": 0, "r_drop": 1.0}, dropout=0.1, random=True),
    "mixup": Case({"mixup": 1.0}, {"mixup": 0.0}, model="vit"),
    "cutmix": Case({"cutmix": 1.0}, {"cutmix": 0.0}, model="vit"),
    "fgm": Case({"fgm": 1.0}, {"fgm": 0.0}),
    "freelb": Case({"freelb": {"epsilon": 1.0, "step": 0.5}}, {"freelb": 0.0}),
    "pgd": Case({"pgd": {"epsilon": 0.1, "step": 0.05, "steps": 3}}, {"pgd": 0.0}, model="vit"),
    "fast_at": Case({"fast_at": 0.1}, {"fast_at": 0.0}, model="vit"),
    "trades": Case({"trades": {"epsilon": 0.1, "step": 0.05, "steps": 2}}, {"trades": 0.0}, model="vit"),
    "smart": Case({"smart": {"epsilon": 0.3}}, {"smart": 0.0}),
    "word_dropout": Case({"word_dropout": 0.3}, {"word_dropout": 0.0}),
    "token_cutoff": Case({"token_cutoff": {"share": 0.4, "weight": 2.0}}, {"token_cutoff": 0.0}),
    "augmix": Case({"augmix": 12.0}, {"augmix": 0.0}, model="vit"),
    "embedding_mixup": Case({"embedding_mixup": 1.0}, {"embedding_mixup": 0.0}),
    "sam": Case({"sam": 0.5}, {"sam": 0.0}),
    "pcgrad": Case({"pcgrad": ["l2_sp", "bss"], "l2_sp": 0.3, "bss": 0.5}, {"pcgrad": []}),
    "distillation": Case(
        {"distillation": {"teacher": "teacher", "weight": 0.7}}, {"distillation": {"teacher": "x", "weight": 0.0}}
    ),
    "hints": Case({"hints": {"teacher": "wide", "weight": 0.3}}, {"hints": {"teacher": "x", "weight": 0.0}}),
    "attention_transfer": Case(
        {"attention_transfer": {"teacher": "teacher", "weight": 3.0}},
        {"attention_transfer": {"teacher": "x", "weight": 0.0}},
    ),
    "self_distillation": Case({"self_distillation": {"weight": 3.0}}, {"self_distillation": {"weight": 0.0}}),
    "self_distillation from the start": Case({"self_distillation": {"teacher": "start", "weight": 3.0}}),
    # of a text model, since a ViT with eager attention computes softmax in float32
    "hints, attention_transfer, distillation": Case(
        {"hints": "wide", "attention_transfer": "teacher", "distillation": "teacher"}
    ),
    "contrastive": Case({"contrastive": {}}),
    "contrastive, all pairs of a batch": Case({"contrastive": "batch"}),
    "prototypes": Case({"prototypes": {"ways": 2, "shots": 2}}, fewest=17),
    "prototypes of images, sam": Case({"prototypes": {"ways": 2, "shots": 1}, "sam": 0.3}, model="vit", fewest=17),
    "simclr": Case({"simclr": 0.3}, model="vit"),
    "simcse": Case({"simcse": 0.1}, dropout=0.1, random=True),
    "focal": Case({"focal": 2.0}, {"focal": 0.0}),
    "gce": Case({"gce": 0.7}, {"gce": 0.0}),
    "symmetric_cross_entropy": Case(
        {"symmetric_cross_entropy": {"alpha": 0.5, "beta": 2.0}},
        {"symmetric_cross_entropy": {"alpha": 1.0, "beta": 0.0}},
    ),
    "ldam": Case({"ldam": {"margin": 2.0, "after": 1, "beta": 0.9}}, {"ldam": 0.0}),
    "asymmetric_loss": Case(
        {"asymmetric_loss": {}}, {"asymmetric_loss": {"gamma_neg": 0.0, "clip": 0.0}}, problem=examples.MULTI
    ),
    "positive_weights": Case({"positive_weights": "balanced"}, {"positive_weights": 1.0}, problem=examples.MULTI),
    "mixing": Case({"mixing": "equal"}, {"mixing": "size"}, problem=examples.SEVERAL),
    "uncertainty": Case({"uncertainty": True}, {"uncertainty": False}, problem=examples.SEVERAL),
    "grad_norm": Case({"grad_norm": {"rate": 0.1}}, {"grad_norm": {"rate": 0.0}}, problem=examples.SEVERAL),
    "pcgrad between tasks": Case({"pcgrad": {"tasks": True}}, {"pcgrad": []}, problem=examples.SEVERAL),
    "losses of tasks, mixing, uncertainty, pcgrad, ema": Case(
        {"mixing": {"temperature": 3.0}, "uncertainty": True, "pcgrad": {"tasks": True}, "ema": 0.8},
        problem=examples.SEVERAL,
        more=(losses_of_tasks,),
    ),
    "huber": Case({"huber": 0.3}, problem=examples.REGRESSION),
    "quantile": Case({"quantile": 0.8}, problem=examples.REGRESSION),
    "focal, several labels": Case({"focal": 2.0}, {"focal": 0.0}, problem=examples.MULTI),
    "poly": Case({"poly": 2.0}, {"poly": 0.0}),
    "logit_adjustment": Case({"logit_adjustment": 1.0}, {"logit_adjustment": 0.0}),
    "balanced_softmax": Case({"balanced_softmax": True}, {"balanced_softmax": False}),
    "forward_correction": Case({"forward_correction": 0.2}, {"forward_correction": 0.0}),
    "forward_correction from anchors": Case(more=(Estimated,)),
    "class_weights": Case({"class_weights": "balanced"}, {"class_weights": {}}),
    "class_weights by effective number": Case(
        {"class_weights": {"effective_number": 0.9}}, {"class_weights": {"effective_number": 0.0}}
    ),
    "ace": Case({"ace": True}, {"ace": False}, changes=False),
    "elr": Case({"elr": {"weight": 3.0, "momentum": 0.5}}, {"elr": 0.0}),
    "elr, sam, balanced": Case({"elr": 3.0, "sam": 0.3, "balanced": {"after": 1}}),
    "l2_sp": Case({"l2_sp": 0.3}, {"l2_sp": 0.0}),
    "l2_sp whole": Case({"l2_sp": {"weight": 0.3, "whole": True}}, {"l2_sp": {"weight": 0.0, "whole": True}}),
    "decay_to_start": Case({"decay_to_start": 3.0}, {"decay_to_start": 0.0}),
    "ewc": Case({"ewc": {"weight": 1000.0, "rows": 6}}, {"ewc": {"weight": 0.0}}),
    "delta": Case({"delta": {"weight": 2.0, "attention": True, "rows": 4}}, {"delta": 0.0}),
    "co_tuning": Case({"co_tuning": 2.3}, {"co_tuning": 0.0}),
    "lwf": Case({"lwf": 2.0}, {"lwf": 0.0}),
    "lwf of a growing head": Case({"lwf": {"classes": ["class 0", "class 2"], "weight": 3.0}}),
    "confidence_penalty": Case({"confidence_penalty": 0.5}, {"confidence_penalty": 0.0}),
    "entropy": Case({"entropy": {"weight": 0.5, "on": "target"}}, {"entropy": 0.0}),
    "bss": Case({"bss": {"weight": 0.5, "smallest": 2}}, {"bss": 0.0}),
    "r_drop": Case({"r_drop": 1.0}, {"r_drop": 0.0}, dropout=0.1, random=True),
    "mixout": Case({"mixout": 0.7}, {"mixout": 0.0}),
    "drop_path": Case({"drop_path": 0.5}, {"drop_path": 0.0}, model="vit"),
    "drop_path, mixup, distillation": Case(
        {"drop_path": 0.5, "mixup": 1.0, "distillation": {"teacher": "teacher", "weight": 0.7}}, model="vit"
    ),
    "stochnorm": Case({"stochnorm": 0.5}, {"stochnorm": 1.0}, model="resnet", random=True),
    "agc": Case({"agc": 0.02}, {"agc": 0.0}),
    "clip_value": Case({"clip_value": 0.02}, {"clip_value": 0.0}),
    "lr_by_gap": Case({"lr_by_gap": 0.5}, {"lr_by_gap": 1.0}, settings=EVALUATED),
    "inverse_decay": Case({"inverse_decay": 0.3}, {"inverse_decay": 0.0}),
    "ema": Case({"ema": 0.9}, {"ema": 0.0}),
    "swa": Case({"swa": {"start": 0.3, "every": 1}}, {"swa": 1.0}),
    "swad": Case({"swad": {"optimum_patience": 1, "overfit_patience": 1}}, settings=EVALUATED),
    "non_finite": Case({"non_finite": {"skip": 2}}, {"non_finite": "stop"}, changes=False),
    "label smoothing, class weights": Case({"class_weights": "balanced"}, settings={"label_smoothing_factor": 0.2}),
    "mixup, distillation, ema, sam, l2_sp": Case(
        {"mixup": 1.0, "distillation": {"teacher": "teacher"}, "ema": 0.9, "sam": 0.3, "l2_sp": 0.3}, model="vit"
    ),
    "mixup and cutmix in turn, until an epoch": Case(
        {"mixup": {"alpha": 1.0, "until": 1}, "cutmix": {"alpha": 1.0, "switch_prob": 0.6}}, model="vit"
    ),
    "word_dropout, embedding_mixup, token_cutoff, sam": Case(
        {"word_dropout": 0.3, "embedding_mixup": 1.0, "token_cutoff": {"share": 0.4, "span": True}, "sam": 0.3}
    ),
    "word_dropout, embedding_mixup, r_drop": Case(
        {"word_dropout": 0.3, "embedding_mixup": 1.0, "r_drop": 1.0}, dropout=0.1, random=True
    ),
    "mixup, gce, forward_correction, ema": Case(
        {"mixup": 1.0, "gce": 0.7, "forward_correction": 0.3, "ema": 0.9}, model="vit"
    ),
    "mixup, focal, logit_adjustment": Case({"mixup": 1.0, "focal": 2.0, "logit_adjustment": 1.0}, model="vit"),
    "mixup, pgd, distillation, sam": Case(
        {"mixup": 1.0, "pgd": {"epsilon": 0.1, "steps": 1}, "distillation": "teacher", "sam": 0.3}, model="vit"
    ),
    "smart on pixels": Case({"smart": {"epsilon": 0.3}}, model="vit"),
    "mcc, fgm, bss": Case({"mcc": "target", "fgm": 1.0, "bss": 0.5}),
    "freelb, l2_sp, bss": Case({"freelb": 1.0, "l2_sp": 0.3, "bss": 0.5}),
    "bss, sam, mcc": Case({"bss": 0.5, "sam": 0.3, "mcc": "target"}),
    "modules": Case(more=(LearnedScale,)),
    "modules, sam": Case({"sam": 0.3}, more=(LearnedScale,)),
    "weights that change": Case(
        {"l2_sp": {"weight": {"end": 2.0, "shape": "cosine"}}, "bss": {"weight": {"start": 1, "end": 0, "over": 0.5}}}
    ),
    "a weight by the gap": Case({"l2_sp": {"weight": {"adapt": "gap", "start": 0.3}}}, settings=EVALUATED),
    "epoch": Case(more=(PullToAnswers,)),
    "evaluated": Case(more=(RaisedByGap,), settings=EVALUATED),
    "again(only=)": Case({"l2_sp": 0.3}, more=(Surgery,)),
    "around": Case(
        more=(ShiftedEmbedding,),
        settings={"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": False}},
    ),
    "states": Case(more=(NearStates,), model="vit"),  # padding is no part of an image
}
assert set(Strategy.model_fields) <= set(CASES)
# What FSDP refuses: modules of its own beside the model, or a need of whole weights.
NOT_DIVIDED = {
    "dann",
    "dann, two rows for each, sam",
    "coral of features, dann, bsp",
    "cdan",
    "cdan+e, of random products",
    "mdd",
    "mcd",
    "modules",
    "modules, sam",
    "uncertainty",
    "losses of tasks, mixing, uncertainty, pcgrad, ema",
    "co_tuning",
    "lwf",
    "mixout",
    "stochnorm",
    "hints",
    "hints, attention_transfer, distillation",
}
# Cases and numbers of rows of which any split of a batch is the same step. Of 17 rows the last step has one: of its
# micro-batches and processes most have none, which every case has to bear. Of 20 it has four, for those that see several
# rows, epochs or processes at once.
FOUR_LEFT = ("none", "balanced", "sam", "class_weights", "bss", "mixup, distillation, ema, sam, l2_sp", "epoch", "elr")
FOUR_LEFT = (
    "none",
    "balanced",
    "hard_examples",
    "sam",
    "class_weights",
    "bss",
    "mixup, distillation, ema, sam, l2_sp",
    "epoch",
)
WAYS = [(name, 17) for name, case in CASES.items() if not case.random] + [(name, 20) for name in FOUR_LEFT]


PIXELS = Pixels(None, None, "", scale=(0.02,) * 3, shift=(-2.5,) * 3)  # random images are not packed, so they stay


class Drawn(list):
    """Rows that can be read in other draws, which add noise to images, or turn the tokens, drawn from (row, draw)."""

    def in_draw(self, draw: int, augment: Any = ()) -> Drawn:
        """The rows in a draw."""
        changes = {"pixel_values": _noisy, "input_ids": _turned}
        return Drawn(
            [{key: changes.get(key, _same)(value, i, draw) for key, value in row.items()} for i, row in enumerate(self)]
        )


def _same(value: Any, row: int, draw: int) -> Any:
    return value


def _turned(ids: torch.Tensor, row: int, draw: int) -> torch.Tensor:
    return torch.roll(ids, 1 + (row + draw) % 3)


class Memory(list):
    """Labelled rows with the logits that were stored with them, of two of the classes, and of all for the last row."""

    @property
    def stored_logits(self) -> list[list[float]]:
        """The logits."""
        width = [2] * (len(self) - 1) + [3]
        return [np.random.default_rng(i).normal(size=size).tolist() for i, size in enumerate(width)]


def _noisy(pixels: torch.Tensor, row: int, draw: int) -> torch.Tensor:
    return pixels + torch.from_numpy(np.random.default_rng((row, draw)).normal(size=pixels.shape)).to(pixels.dtype)


def trainer_of(
    case: Case,
    folder: Path,
    batch: int = 8,
    accumulation: int = 1,
    rows: int = 20,
    dtype: torch.dtype = torch.float64,
    callbacks: tuple[TrainerCallback, ...] = (),
    dropout: float | None = -1.0,
    **changes: Any,
) -> FineTuner:
    """A trainer of a case: plain SGD over two epochs, unless `changes` say otherwise."""
    modality = examples.ALL[case.model].modality
    model = examples.tiny(case.model, dropout=case.dropout if dropout == -1.0 else dropout).to(dtype)
    train = Drawn(training.examples(modality, case.problem, rows))
    nothing = np.zeros_like(train[0]["labels"]).tolist()  # a set has no labels that are used
    target = Drawn([{**row, "labels": nothing} for row in training.examples(modality, examples.SINGLE, 7, seed=5)])
    memory = Memory(training.examples(modality, examples.SINGLE, 5, seed=6))
    teacher = examples.tiny(case.model, seed=1).to(dtype)

    def load_model(name: str) -> nn.Module:
        return Answering(examples.tiny(case.model, seed=1, **WIDE).to(dtype) if name == "wide" else teacher)

    settings = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation, "max_grad_norm": 0.5}
    own = {key: changes.pop(key) for key in ("cache_settings", "last_block", "depths", "methods") if key in changes}
    return training.finetuner(
        model,
        training.labels_of(case.problem),
        train,
        training.arguments(folder, batch_eval_metrics=True, **{**settings, **case.settings, **changes}),
        eval_dataset=training.examples(modality, case.problem, 6, seed=3),
        compute_metrics=metrics_of(training.labels_of(case.problem)),
        methods=own.pop("methods", None) or [*training.methods_of(**case.strategy), *(make() for make in case.more)],
        sets={"target": target, "memory": memory},
        domain_ids=domains_of(case.problem, train),
        class_ids=np.stack([np.asarray(row["labels"]) for row in train]),
        source_head=lambda: source_head(dtype),
        on_device=PIXELS if modality == "image" else None,
        load_model=load_model,
        callbacks=list(callbacks),
        **own,
    )


def metrics_of(labels: Labels) -> Any:
    """No metric but the loss."""
    return TaskMetrics(labels, {name: () for name, _ in labels.tasks}) if labels.tasks else Metrics(labels, ())


def domains_of(problem: str, rows: Any) -> np.ndarray:
    """Three domains, the last of half as many rows; of several tasks, the task of each row."""
    if problem == examples.SEVERAL:
        return np.array([int(row["labels"][0]) for row in rows])
    return np.arange(len(rows)) % 5 // 2


def source_head(dtype: torch.dtype, width: int = 16, classes: int = 5) -> nn.Linear:
    """A classifier with which a backbone could have been published."""
    draw, head = torch.Generator().manual_seed(4), nn.Linear(width, classes)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return head.to(dtype)


class Answering(nn.Module):
    """A model as a teacher: inputs -> logits."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> torch.Tensor:
        """The logits."""
        return logits_of(self.model(**inputs))
