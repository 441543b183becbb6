"""What the options of each method may be, what they are by default, and where a method is left out."""

import re
import typing
from pathlib import Path

import pytest

from hfft.recipe.yaml_lines import parse
from hfft.strategy.method import MethodSpec
from hfft.strategy.spec import Strategy
from hfft.strategy.weight import Ramp
from tests.training import methods_of

# What methods that read rows of another set have in common, and those with a network that opposes the backbone.
TARGET = {
    "on": (["x"], [3], None),
    "ratio": ([1, 7], [0, 0.5], 1),
    "weight": ([0, 1e-6], [-1, -1e-6], 1.0),
}
ADVERSARY = {**TARGET, "alpha": ([1e-6, 9], [0, -1], 10.0), "hidden": ([1, 64], [0, 0.5], 1024)}
VIEWS = ([[], ["rand_augment"], [{"word_drop": {"p": 0.5}}]], ["rand_augment", ["x"], [{"word_drop": {"p": 2}}]], None)
MATCH = {
    **TARGET,
    "ratio": ([1, 9], [0, 1.5], 1),
    "threshold": ([0, 1], [-1e-6, 1 + 1e-6], 0.95),
    "strong": VIEWS,
}
# Method -> option -> values at the edge of what it may be, values just outside, and its default (None: there is none).
OPTIONS = {
    "balanced": {
        "after": ([0, 1], [-1, 0.5], 0),
        "by": (["class", "sqrt", "effective", "domain"], ["root", 1], "class"),
        "beta": ([0, 1 - 1e-6], [1, 1.5, -1e-6, -0.5], 0.999),
    },
    "curriculum": {
        "over": ([0, 1], [-1e-6, -0.5, 1 + 1e-6, 1.5], 0.5),
        "start": ([1e-6, 1], [0, -0.5, 1 + 1e-6, 1.5], 0.3),
        "by": (["features", "loss"], ["class"], "features"),
    },
    "hard_examples": {
        "share": ([0, 1], [-1e-6, -0.5, 1 + 1e-6, 1.5], 0.25),
        "after": ([0, 1], [-1, 0.5], 1),
    },
    "mcc": {**TARGET, "temperature": ([1e-6], [0, -1], 2.5)},
    "dan": TARGET,
    "coral": {**TARGET, "of": (["logits", "features"], ["states"], "logits")},
    "dann": ADVERSARY,
    "cdan": {
        **ADVERSARY,
        "entropy": ([True, False], [1], False),
        "randomized_dim": ([1, 1024], [0, 0.5], None),
    },
    "mdd": {**ADVERSARY, "margin": ([1e-6, 9], [0, -1], 4.0), "reversal": ([1e-6, 1], [0, -1], 0.1)},
    "mcd": TARGET,
    "bsp": {**TARGET, "weight": ([0, 1e-6], [-1, -1e-6], 2e-4), "largest": ([1, 9], [0, 0.5], 1)},
    "afn": {**TARGET, "weight": ([0, 1e-6], [-1, -1e-6], 0.05), "delta": ([1e-6, 9], [0, -1], 1.0)},
    "group_dro": {"eta": ([0, 1e-6, 9], [-1e-6, "1/2"], 0.01)},
    "vrex": {"weight": ([0, 1e-6], [-1e-6], Ramp(start=1.0, end=10.0, over=0.1))},
    "domain_coral": {"weight": ([0, 1e-6], [-1e-6], 1.0)},
    "pseudo_label": {
        "on": (["x"], [3], None),
        "ratio": ([1, 9], [0, 1.5], 1),
        "threshold": ([0, 1], [-1e-6, 1 + 1e-6], 0.95),
        "weight": ([0, 1e-6], [-1], Ramp(end=1.0, over=0.4)),
    },
    "mean_teacher": {
        "on": (["x"], [3], None),
        "ratio": ([1, 9], [0, 1.5], 1),
        "decay": ([0, 1 - 1e-6], [1, -1e-6], 0.999),
        "weight": ([0, 1e-6], [-1], Ramp(end=5.0, over=0.4, shape="sigmoid")),
        "strong": VIEWS,
    },
    "fixmatch": MATCH,
    "flexmatch": MATCH,
    "freematch": {
        **{key: value for key, value in MATCH.items() if key != "threshold"},
        "momentum": ([0, 1 - 1e-6], [1, -1e-6], 0.99),
        "fairness": ([0, 1e-6], [-1e-6], 0.01),
    },
    "shot": {
        "pseudo": ([0, 1e-6, 9], [-1e-6], 0.3),
        "diversity": ([0, 9], [-1e-6], 1.0),
        "threshold": ([0, 5], [-1, 0.5], 0),
    },
    "simclr": {
        "temperature": ([1e-6, 9], [0, -1], 0.5),
        "views": VIEWS,
        "C": ([1e-6, 9], [0, -1], 1.0),
    },
    "simcse": {"temperature": ([1e-6, 9], [0, -1], 0.05), "C": ([1e-6, 9], [0, -1], 1.0)},
    "fgm": {"epsilon": ([0, 1e-6, 9], [-1e-6, "1/2"], None)},
    "freelb": {
        "epsilon": ([0, 1e-6, 9], [-1e-6], None),
        "step": ([1e-6, 9], [0, -1], None),
        "steps": ([1, 5], [0, 1.5], 3),
    },
    "pgd": {
        "epsilon": ([0, 1], [-1e-6, 1 + 1e-6, "8/", "8/0", "x"], 8 / 255),
        "step": ([0, 1], [-1e-6, 1 + 1e-6], 2 / 255),
        "steps": ([1, 50], [0, 1.5], 10),
    },
    "fast_at": {"epsilon": ([0, 1], [-1e-6, 1 + 1e-6], 8 / 255), "step": ([0, 1], [-1e-6, 1 + 1e-6], None)},
    "trades": {
        "beta": ([0, 1e-6, 9], [-1e-6, "6"], 6.0),
        "epsilon": ([0, 1], [-1e-6, 1 + 1e-6], 8 / 255),
        "step": ([0, 1], [-1e-6, 1 + 1e-6], 2 / 255),
        "steps": ([1, 50], [0, 1.5], 10),
    },
    "smart": {
        "weight": ([0, 1e-6, 9], [-1e-6, "1"], 1.0),
        "epsilon": ([0, 1e-6, 9], [-1e-6], None),
        "step": ([1e-6, 9], [0, -1], 0.3),
        "steps": ([1, 5], [0, 1.5], 1),
    },
    "mixing": {"by": (["size", "sqrt", "equal"], ["half"], "size"), "temperature": ([1, 4.0], [0.5], None)},
    "uncertainty": {"enabled": ([True, False], [1], True), "scale": ([0.1, 100], [0, -1], 10.0)},
    "grad_norm": {"alpha": ([0, 1.5], [-0.1], 1.5), "rate": ([0, 0.1], [-0.1], 0.025)},
    "pcgrad": {"terms": ([[], ["l2_sp"]], ["l2_sp", [3]], []), "tasks": ([True, False], [1], False)},
    "replay": {"on": (["x"], [3], None), "weight": ([0, 1e-6, 9], [-1e-6, -1], 1.0)},
    "der": {"on": (["x"], [3], None), "alpha": ([0, 1e-6, 9], [-1e-6], 0.3), "beta": ([0, 1e-6, 9], [-1e-6], 0.5)},
    "mixup": {"alpha": ([0, 1e-6, 9], [-1e-6, -0.5], 0.2), "until": ([0, 1], [-1, 0.5], None)},
    "cutmix": {
        "alpha": ([0, 1e-6, 9], [-1e-6, -0.5], 1.0),
        "until": ([0, 1], [-1, 0.5], None),
        "switch_prob": ([0, 1], [-1e-6, 1 + 1e-6], 0.5),
    },
    "word_dropout": {
        "p": ([0, 1e-6, 1 - 1e-6], [-1e-6, 1], 0.05),
        "fill": (["mask", "unk", "pad"], ["cls", 0], None),
    },
    "token_cutoff": {
        "share": ([0, 1e-6, 1 - 1e-6], [-1e-6, 1], 0.1),
        "span": ([True, False], [1], False),
        "alpha": ([0, 1e-6, 9], [-1e-6, -0.5], 1.0),
        "weight": ([0, 0.5, 9], [-1e-6, -0.5], 1.0),
    },
    "augmix": {
        "weight": ([0, 0.5, 9], [-1e-6, -0.5], 12.0),
        "severity": ([1, 10], [0, 11, 0.5], 3),
        "mixture_width": ([1, 9], [0, 0.5], 3),
        "chain_depth": ([-1, 9], [-2, 0.5], -1),
        "alpha": ([1e-6, 9], [0, -0.5], 1.0),
    },
    "embedding_mixup": {"alpha": ([0, 1e-6, 9], [-1e-6, -0.5], 0.2), "until": ([0, 1], [-1, 0.5], None)},
    "sam": {"rho": ([0, 1e-6, 9], [-1e-6, -0.5], 0.05)},
    "distillation": {
        "teacher": (["x"], ["", 3], None),
        "temperature": ([1e-6, 9], [0, -0.5], 2.0),
        "weight": ([0, 1], [-1e-6, 1 + 1e-6, 1.5], 0.5),
    },
    "hints": {
        "teacher": (["x"], ["", 3], None),
        "depths": ([[1.0], [0.5, 1.0]], [[], [0.0], [1.1]], [0.5, 1.0]),
        "weight": ([0, 0.5, 9], [-1e-6, -0.5], 1.0),
    },
    "attention_transfer": {
        "teacher": (["x"], ["", 3], None),
        "weight": ([0, 0.5, 9], [-1e-6, -0.5], 0.01),
    },
    "self_distillation": {
        "teacher": (["ema", "start"], ["x"], "ema"),
        "weight": ([0, 0.5, 9], [-1e-6, -0.5], 1.0),
        "decay": ([0, 0.5, 1 - 1e-6], [1, 1.5, -1e-6, -0.5], 0.99),
    },
    "contrastive": {"pairs": (["drawn", "batch"], ["all", 1], "drawn"), "C": ([1e-6, 9], [0, -1], 1.0)},
    "prototypes": {"ways": ([2, 9], [1, 2.5], 5), "shots": ([1, 9], [0, 0.5], 5)},
    "focal": {"gamma": ([0, 0.5, 9], [-1e-6, -0.5], 2.0)},
    "gce": {"q": ([0, 0.7, 1], [-1e-6, 1 + 1e-6], 0.7)},
    "symmetric_cross_entropy": {
        "alpha": ([0, 6], [-1e-6, -0.5], 0.1),
        "beta": ([0, 6], [-1e-6, -0.5], 1.0),
    },
    "ldam": {
        "margin": ([0, 0.5, 15], [-1e-6, -0.5], 0.5),
        "after": ([0, 1], [-1, 0.5], None),
        "beta": ([0, 1 - 1e-6], [1, -1e-6], 0.9999),
    },
    "asymmetric_loss": {
        "gamma_neg": ([0, 0.5, 9], [-1e-6, -0.5], 4.0),
        "gamma_pos": ([0, 0.5, 9], [-1e-6, -0.5], 0.0),
        "clip": ([0, 1 - 1e-6], [1, -1e-6], 0.05),
    },
    "positive_weights": {"weights": (["balanced", 1e-6, {"a": 2}], ["balance", 0, {"a": 0}, {"a": -0.5}], None)},
    "huber": {"delta": ([1e-6, 9], [0, -0.5], 1.0)},
    "quantile": {"tau": ([1e-6, 1 - 1e-6], [0, 1], 0.5)},
    "poly": {"epsilon": ([-1, 0, 9], ["x"], 1.0)},
    "logit_adjustment": {"tau": ([0, 0.5, 9], [-1e-6, -0.5], 1.0)},
    "balanced_softmax": {"enabled": ([True, False], [1, "x"], True)},
    "forward_correction": {
        "matrix": ([0, 0.5, "anchors", {"a": {"b": 0.1}}], [1, -1e-6, "x", {"a": {"a": 0.9}}], None),
        "after": ([1, 2], [0, 0.5], 1),
    },
    "class_weights": {
        "weights": (["balanced", {"a": 0}], ["balance", {"a": -1e-6}, {"a": -0.5}], {}),
        "effective_number": ([0, 1 - 1e-6], [1, -1e-6], None),
    },
    "ace": {"enabled": ([True, False], [1, "x"], True)},
    "elr": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], 3.0), "momentum": ([0, 1 - 1e-6], [1, -1e-6], 0.7)},
    "l2_sp": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], None), "whole": ([True, False], [1, "x"], False)},
    "decay_to_start": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], 10.0)},
    "ewc": {
        "weight": ([0, 0.5, 9], [-1e-6, -0.5], None),
        "on": (["x"], ["", 3], None),
        "rows": ([1, 9], [0, 0.5], 256),
        "information": (["x"], ["", 3], None),
    },
    "delta": {
        "weight": ([0, 0.5, 9], [-1e-6, -0.5], 0.001),
        "blocks": ([[1], [-1, 3]], [[], "last", [0.5]], None),
        "attention": ([True, False], ["x"], False),
        "rows": ([1, 9], [0, 0.5], 64),
    },
    "co_tuning": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], 2.3)},
    "lwf": {
        "weight": ([0, 0.5, 9], [-1e-6, -0.5], 1.0),
        "temperature": ([1e-6, 9], [0, -0.5], 2.0),
        "classes": ([["a", "b"]], [["a"], "a", 3], None),
    },
    "confidence_penalty": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], 0.1)},
    "entropy": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], 0.1), "on": (["x"], ["", 3], None)},
    "bss": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], 1e-3), "smallest": ([1, 2], [0, -1], 1)},
    "r_drop": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], 1.0)},
    "agc": {"clip_factor": ([0, 1e-6, 9], [-1e-6, -0.5], 0.01), "eps": ([1e-9, 1], [0, -1], 1e-3)},
    "clip_value": {"value": ([0, 1e-6, 9], [-1e-6, -0.5], None)},
    "inverse_decay": {"gamma": ([0, 1e-6, 9], [-1e-6, "x"], 1e-3), "power": ([0, 1e-6, 9], [-1e-6], 0.75)},
    "lr_by_gap": {
        "factor": ([1e-6, 0.5, 1], [0, -0.5, 1 + 1e-6], 0.5),
        "threshold": ([0, 1e-6, 9], [-1e-6, -1], 0.0),
        "low": ([1e-6, 0.5, 1], [0, -0.5, 1 + 1e-6], 0.01),
    },
    "ema": {"decay": ([0, 0.5, 1 - 1e-6], [1, 1.5, -1e-6, -0.5], 0.999)},
    "drop_path": {"rate": ([0, 0.5, 1 - 1e-6], [1, 1.5, -1e-6], 0.1)},
    "mixout": {"p": ([0, 0.5, 1 - 1e-6], [1, 1.5, -1e-6], 0.1)},
    "stochnorm": {"p": ([0, 0.5, 1], [-1e-6, 1 + 1e-6], 0.5)},
    "swa": {"start": ([0, 0.5, 1], [-1e-6, 1 + 1e-6], 0.75), "every": ([1, 2], [0, 0.5], None)},
    "swad": {
        "optimum_patience": ([1, 2], [0, 0.5], 3),
        "overfit_patience": ([1, 2], [0, 0.5], 6),
        "tolerance_rate": ([1, 1.3, 9], [1 - 1e-6, 0], 1.3),
    },
    "non_finite": {"skip": ([0, 1], [-1, 0.5], 0)},
}
SHIFT = ("mcc", "dan", "coral", "dann", "cdan", "mdd", "mcd", "bsp", "afn")
NEEDED = {
    **{name: {"on": "x"} for name in SHIFT},
    **{key: {"on": "x"} for key in ("pseudo_label", "mean_teacher", "fixmatch", "flexmatch", "freematch")},
    "replay": {"on": "x"},
    "der": {"on": "x"},
    "distillation": {"teacher": "x"},
    "l2_sp": {"weight": 1},
    "class_weights": {},
    "positive_weights": {},
    "forward_correction": {"matrix": 0.1},
    "ewc": {"weight": 1},
    "hints": {"teacher": "x"},
    "attention_transfer": {"teacher": "x"},
    "clip_value": {"value": 1},
}
# The options that make a run the same as without the method.
NEUTRAL = [
    {"curriculum": 0},
    {"curriculum": {"start": 1}},
    {"hard_examples": 0},
    {"mcc": {"on": "x", "weight": 0}},
    {"replay": {"on": "x", "weight": 0}},
    {"der": {"on": "x", "alpha": 0, "beta": 0}},
    {"ace": False},
    {"mixup": 0},
    {"mixup": {"until": 0}},
    {"cutmix": 0},
    {"fgm": 0},
    {"freelb": 0},
    {"pgd": 0},
    {"fast_at": 0},
    {"trades": 0},
    {"trades": {"epsilon": 0}},
    {"smart": 0},
    {"smart": {"epsilon": 0}},
    {"pcgrad": []},
    {"mixing": "size"},
    {"mixing": {"temperature": 1}},
    {"uncertainty": False},
    {"grad_norm": {"rate": 0}},
    {"cutmix": {"until": 0}},
    {"word_dropout": 0},
    {"token_cutoff": 0},
    {"token_cutoff": {"alpha": 0, "weight": 0}},
    {"augmix": 0},
    {"embedding_mixup": 0},
    {"embedding_mixup": {"until": 0}},
    {"sam": 0},
    {"distillation": {"teacher": "x", "weight": 0}},
    {"hints": {"teacher": "x", "weight": 0}},
    {"attention_transfer": {"teacher": "x", "weight": 0}},
    {"self_distillation": {"weight": 0}},
    {"focal": 0},
    {"poly": 0},
    {"gce": 0},
    {"symmetric_cross_entropy": {"alpha": 1, "beta": 0}},
    {"ldam": 0},
    {"ldam": {"margin": 0, "after": 1, "beta": 0}},
    {"asymmetric_loss": {"gamma_neg": 0, "clip": 0}},
    {"positive_weights": 1},
    {"positive_weights": {"a": 1, "b": 1}},
    {"positive_weights": {}},
    {"logit_adjustment": 0},
    {"balanced_softmax": False},
    {"forward_correction": 0},
    {"class_weights": {}},
    {"class_weights": {"effective_number": 0}},
    {"elr": 0},
    {"l2_sp": 0},
    {"decay_to_start": 0},
    {"ewc": 0},
    {"delta": 0},
    {"co_tuning": 0},
    {"lwf": 0},
    {"confidence_penalty": 0},
    {"entropy": {"on": "x", "weight": 0}},
    {"group_dro": 0},
    {"vrex": 0},
    {"domain_coral": 0},
    {"fixmatch": {"on": "x", "weight": 0}},
    {"bss": 0},
    {"r_drop": 0},
    {"mixout": 0},
    {"drop_path": 0},
    {"stochnorm": 1},
    {"agc": 0},
    {"clip_value": 0},
    {"lr_by_gap": 1},
    {"inverse_decay": 0},
    {"inverse_decay": {"power": 0}},
    *({name: {"on": "x", "weight": 0}} for name in SHIFT),
    {"ema": 0},
    {"swa": 1},
    {"non_finite": {"skip": 0}},
    {"non_finite": "stop"},
]


def spec_of(name):
    annotation = Strategy.model_fields[name].annotation
    kinds = (annotation, *typing.get_args(annotation))
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, MethodSpec))


def given(name, option, value):
    plain = (name, option) in (("class_weights", "weights"), ("positive_weights", "weights"))
    return {name: value if plain else {**NEEDED.get(name, {}), option: value}}


def test_every_option_of_every_method_is_here():
    assert {name: set(options) for name, options in OPTIONS.items()} == {
        name: set(spec_of(name).model_fields) for name in Strategy.model_fields
    }


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in OPTIONS for option in OPTIONS[name]])
def test_an_option_takes_what_lies_within_its_bounds_and_nothing_else(name, option):
    right, wrong, default = OPTIONS[name][option]
    for value in right:
        assert getattr(getattr(Strategy.model_validate(given(name, option, value)), name), option) == value
    for value in wrong:
        with pytest.raises(ValueError, match=name):
            Strategy.model_validate(given(name, option, value))
    field = spec_of(name).model_fields[option]
    assert (None if field.is_required() else field.default) == default


@pytest.mark.parametrize("strategy", NEUTRAL, ids=str)
def test_what_would_change_nothing_is_left_out(strategy):
    assert methods_of(**strategy) == []


BUILT = {
    **dict.fromkeys(SHIFT, "x"),
    **dict.fromkeys(("pseudo_label", "mean_teacher", "fixmatch", "flexmatch", "freematch"), "x"),
    "distillation": "x",
    "class_weights": "balanced",
    "balanced": 1,
    "balanced_softmax": True,
    "symmetric_cross_entropy": {},
    "non_finite": {"skip": 1},
    "pcgrad": ["l2_sp"],
    "mixing": "equal",
    "uncertainty": True,
    "swad": {},
    "hints": "x",
    "attention_transfer": "x",
    "self_distillation": "ema",
    "contrastive": "batch",
    "prototypes": 1,
    "replay": "x",
    "der": "x",
    "ace": True,
}


@pytest.mark.parametrize("name", OPTIONS)
def test_what_changes_something_is_built_under_its_name(name):
    [method] = methods_of(**{name: BUILT.get(name, 0.5)})
    assert method.name == name


def test_only_stop_stands_for_a_number_of_steps():
    with pytest.raises(ValueError, match=r"is 'skip'; expected stop, or \{skip: 5\}"):
        Strategy.model_validate({"non_finite": "skip"})
    assert Strategy.model_validate({"non_finite": {"skip": 2}}).non_finite.plain() == {"skip": 2}
    assert Strategy.model_validate({"non_finite": "stop"}).non_finite.plain() == "stop"


README = Path(__file__).parents[2] / "hfft/strategy/README.md"


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL))
def test_the_recipes_of_the_chapter_are_right(text):
    values, _ = parse(text)  # raises on keys that are there twice
    Strategy.model_validate(values["strategy"])


def test_every_method_has_a_row_in_the_chapter():
    rows = [line.split("|")[1] for line in README.read_text().splitlines() if line.startswith("| `")]
    assert {key for key in Strategy.model_fields if f"`{key}`" not in "".join(rows)} == {"non_finite"}
